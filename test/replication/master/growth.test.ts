import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p, type SqlEntityManager } from '@mikro-orm/postgresql';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What a row costs does not grow with the rows that were written before it in the transaction. */
const define = (name: string, composite: boolean, tracked: boolean) =>
  master(
    defineEntity({
      name,
      tableName: name.toLowerCase(),
      extends: MasterEntity,
      properties: {
        id: p.integer().primary(),
        ...(composite ? { part: p.string().primary() } : {}),
        v: p.integer(),
      } as never,
    }) as never,
    { id: name.toLowerCase(), ...(tracked ? { trackedFields: ['v'] } : {}) } as never,
  );
const masters = {
  'one key': define('Single', false, false),
  'one key, tracked fields': define('SingleTracked', false, true),
  'a composite key': define('Pair', true, false),
  'a composite key, tracked fields': define('PairTracked', true, true),
};

type Em = SqlEntityManager;
type Row = { id: number; part?: string; v: number };

let service: MasterService;
/** Of all statements since it was set to nothing. */
let sent = { statements: 0, characters: 0, longest: 0 };
beforeAll(async () => {
  service = await masterService(Object.values(masters) as never[], {
    options: {
      onQuery: (sql: string) => {
        sent = {
          statements: sent.statements + 1,
          characters: sent.characters + sql.length,
          longest: Math.max(sent.longest, sql.length),
        };
        return sql;
      },
    },
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const ways: Record<string, (em: Em, entity: never, rows: Row[]) => Promise<unknown>> = {
  'one flush': async (em, entity, rows) => {
    for (const one of (await em.find(entity, {}, { limit: rows.length })) as Row[]) one.v++;
    await em.flush();
  },
  'a loop of flushes of single rows': async (em, entity, rows) => {
    for (const { v: _v, ...key } of rows) {
      const one = (await em.findOneOrFail(entity, key as never)) as Row;
      one.v++;
      await em.flush();
      em.clear(); // a flush compares everything that is loaded
    }
  },
  'a loop of nativeUpdate': async (em, entity, rows) => {
    for (const { v: _v, ...key } of rows) await em.nativeUpdate(entity, key as never, { v: 7 } as never);
  },
  'upsertMany in pages': async (em, entity, rows) => {
    for (let start = 0; start < rows.length; start += 100) {
      await em.upsertMany(entity, rows.slice(start, start + 100) as never[]);
    }
  },
  savepoints: async (em, entity, rows) => {
    for (const { v: _v, ...key } of rows) {
      await em.transactional((inner) => inner.nativeUpdate(entity, key as never, { v: 8 } as never));
    }
  },
};

describe.each(Object.entries(masters))('a master with %s', (keys, entity) => {
  const E = entity as never;
  const composite = keys.startsWith('a composite key');
  const rowsOf = (count: number): Row[] =>
    Array.from({ length: count }, (_row, id) => ({ id, ...(composite ? { part: `p${id}` } : {}), v: 0 }));

  test.each(Object.entries(ways))('%s', async (name, way) => {
    const measure = async (count: number): Promise<{ perRow: number; longest: number }> => {
      const rows = rowsOf(count);
      await service.cqrs.withoutReplication(async () => {
        await service.orm.em.fork().nativeDelete(E, {});
        await service.orm.em.fork().insertMany(E, rows as never[]);
      });
      await service.take();
      await service.orm.em.fork().transactional(async (em) => {
        // everything has been written once already
        await em.nativeUpdate(E, {}, { v: 1 } as never);
        sent = { statements: 0, characters: 0, longest: 0 };
        await way(em as Em, E, rows);
      });
      const { characters, longest } = sent;
      const messages = await service.take();
      expect(messages).toHaveLength(count);
      expect(messages.every(({ data }) => data['cqrs_revision'] === 1)).toBe(true);
      return { perRow: characters / count, longest };
    };
    // a flush writes 300 rows a statement
    const unit = name === 'one flush' ? 300 : 100;
    const few = await measure(unit);
    const many = await measure(4 * unit);
    expect(many.perRow).toBeLessThan(few.perRow * 1.2);
    expect(many.longest).toBeLessThan(few.longest * 1.2);
  });
});

// claims: bounded-capture
test('a hundred thousand rows in one flush cost what they cost ten at a time', async () => {
  const E = masters['one key'] as never;
  const measure = async (count: number): Promise<number> => {
    await service.cqrs.withoutReplication(async () => {
      await service.orm.em.fork().nativeDelete(E, {});
      await service.sql(`insert into single (id, v) select n, 0 from generate_series(1, ${count}) n /* cqrs */`);
    });
    const em = service.orm.em.fork();
    for (const one of (await em.find(E, {})) as Row[]) one.v++;
    const began = process.hrtime.bigint();
    await em.flush();
    const took = Number(process.hrtime.bigint() - began);
    const [{ n }] = (await service.sql<{ n: number }>('select count(*)::int as n from cqrs_outbox')) as [{ n: number }];
    expect(n).toBe(count);
    await service.sql('truncate cqrs_outbox');
    return took / count;
  };
  await measure(1_000);
  const few = await measure(5_000);
  expect(await measure(100_000)).toBeLessThan(few * 3);
}, 120_000);
