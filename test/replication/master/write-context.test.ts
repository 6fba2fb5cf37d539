import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, type SqlEntityManager } from '@mikro-orm/postgresql';
import type { Kysely } from 'kysely';
import pg from 'pg';
import { masterClass, MasterEntity } from '../../../src/index.js';
import type { MetaContext } from '../../../src/kernel/settings.js';
import type { WireValue } from '../../../src/wire/values.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What a transaction says of itself reaches the hooks of its messages, and of no others. */

const properties = { id: p.integer().primary(), name: p.string() };
const NoteSchema = defineEntity({ name: 'Note', tableName: 'note', extends: MasterEntity, properties });
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);
const HookedSchema = defineEntity({ name: 'Hooked', tableName: 'hooked', extends: MasterEntity, properties });
class Hooked extends masterClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
  override getCqrsMeta({ context }: MetaContext): WireValue {
    return { hook: context };
  }
}
HookedSchema.setClass(Hooked);

const request = new AsyncLocalStorage<unknown>();

describe.each(['driver', 'trigger'] as const)('captured by %s', (capture) => {
  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Note, Hooked], {
      // One connection: what a transaction leaves behind on it, the next would find.
      options: { pool: { min: 1, max: 1 } },
      settings: {
        master: {
          capture,
          contextFunction: () => request.getStore() as WireValue,
          correlationFunction: ({ context }) => (context as { id?: string } | null)?.id ?? null,
          metaFunction: ({ context }) => ({ context }),
        },
      },
    });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await service.cqrs.withoutReplication(() => service.sql('delete from note'));
    await service.cqrs.withoutReplication(() => service.sql(`insert into note (id, name) values (1, 'a'), (2, 'b')`));
    await service.take();
  });

  const em = (): SqlEntityManager => service.orm.em.fork();
  const metas = async (): Promise<unknown[]> => (await service.take()).map(({ meta }) => meta);
  const said = { id: "r-1'\\", user: { name: 'Ägidius', age: 2n ** 60n }, at: new Date(0) };
  const seen = { id: said.id, user: { name: 'Ägidius', age: 1152921504606846976 }, at: '1970-01-01 00:00:00+00:00' };
  const name = 'x';

  test.each<[string, (em: SqlEntityManager) => Promise<unknown>]>([
    [
      'flush',
      async (one) => {
        (await one.findOneOrFail(Note, 1)).name = name;
        await one.flush();
      },
    ],
    ['em.insert', (one) => one.insert(Note, { id: 3, name })],
    ['em.nativeUpdate', (one) => one.nativeUpdate(Note, { id: 1 }, { name })],
    ['em.nativeDelete', (one) => one.nativeDelete(Note, { id: 1 })],
    ['em.upsert', (one) => one.upsert(Note, { id: 1, name })],
    ['a query builder', (one) => one.qb(Note).update({ name }).where({ id: 1 }).execute()],
    ['a bulk operation', (one) => Note.cqrs(one).bulkUpdate({ id: 1 }, { name })],
    ['em.transactional', (one) => one.transactional((inner) => inner.nativeUpdate(Note, { id: 1 }, { name }))],
    [
      'a transaction that is begun by hand',
      async (one) => {
        await one.begin();
        await one.nativeUpdate(Note, { id: 1 }, { name });
        await one.commit();
      },
    ],
    [
      'savepoints',
      (one) =>
        one.transactional(async (inner) => {
          await inner
            .transactional(async (nested) => {
              await nested.nativeUpdate(Note, { id: 1 }, { name: 'undone' });
              throw new Error('rolled back');
            })
            .catch(() => {});
          await inner.transactional((nested) => nested.nativeUpdate(Note, { id: 1 }, { name }));
        }),
    ],
    ['cqrsSync', async (one) => (await one.findOneOrFail(Note, 1)).cqrsSync()],
    [
      'SQL',
      async (one) => {
        if (capture === 'trigger') return one.execute(`update note set name = 'x' where id = 1`);
        return one.transactional(async (inner) => {
          await inner.execute(`update note set name = 'x' where id = 1`);
          await Note.callPostUpdate([{ id: 1 }], { em: inner });
        });
      },
    ],
  ])('%s', async (_, write) => {
    await request.run(said, () => write(em()));
    const [message, ...more] = await service.take();
    expect(more).toEqual([]);
    expect(message).toMatchObject({ correlationId: said.id, meta: { context: seen } });
    // Nothing of it is left on the connection.
    await em().nativeUpdate(Note, { id: 2 }, { name });
    expect(await metas()).toEqual([{ context: null }]);
  });

  test('getCqrsMeta is told, too', async () => {
    await request.run('r', () => em().insert(Hooked, { id: 1, name }));
    expect(await metas()).toEqual([{ hook: 'r' }]);
  });

  // claims: trigger-context
  test('transactions at the same time have their own, also in one message batch', async () => {
    const ids = Array.from({ length: 20 }, (_one, index) => index + 10);
    await Promise.all(ids.map((id) => request.run(id, () => em().insert(Note, { id, name }))));
    const told = (await service.take()).map(({ pk, meta }) => [pk, meta]);
    expect(told.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual(ids.map((id) => [id, { context: id }]));
  });

  test('a transaction that is rolled back leaves nothing of it behind', async () => {
    await request.run('gone', async () => {
      const one = em();
      await one.begin();
      await one.nativeUpdate(Note, { id: 1 }, { name });
      await one.rollback();
    });
    await em().nativeUpdate(Note, { id: 2 }, { name });
    expect(await metas()).toEqual([{ context: null }]);
  });

  test.each<[string, unknown, string]>([
    ['too long', 'ä'.repeat(1_024), 'it has 2050 bytes, and at most 2048 are allowed'],
    ['a promise', Promise.resolve(1), 'it is a promise'],
    ['a function', () => 1, 'it has no form in JSON'],
    ['nested too deeply', Array.from({ length: 250 }).reduce<unknown>((inner) => [inner], 1), 'nested deeper'],
  ])('an answer that is %s is refused at BEGIN', async (_, answer, reason) => {
    const written = request.run(answer, () => em().transactional((one) => one.nativeDelete(Note, {})));
    await expect(written).rejects.toThrow(reason);
    await expect(request.run(answer, () => em().nativeDelete(Note, {}))).rejects.toThrow(reason);
    // The one connection of the pool is free.
    expect(await em().count(Note)).toBe(2);
    expect(await service.take()).toEqual([]);
  });

  test('what is not used is not sent', async () => {
    const setting = (one: SqlEntityManager) => one.execute(`select current_setting('cqrs.context', true) as context`);
    await em().transactional(async (one) => {
      expect((await setting(one))[0]!.context ?? '').toBe('');
    });
    await request.run('r', () =>
      em().transactional(async (one) => {
        expect((await setting(one))[0]!.context ?? '').toBe(capture === 'trigger' ? '"r"' : '');
      }),
    );
  });
});

// claims: trigger-context
describe('triggers', () => {
  let service: MasterService;
  let other: pg.Client;
  beforeAll(async () => {
    service = await masterService([Note], {
      settings: {
        master: {
          capture: 'trigger',
          contextFunction: () => request.getStore() as WireValue,
          metaFunction: ({ context }) => ({ context }),
        },
      },
    });
    other = new pg.Client({ connectionString: service.orm.config.get('clientUrl') });
    await other.connect();
  });
  afterAll(async () => {
    await other.end();
    await service[Symbol.asyncDispose]();
  });
  const metas = async (): Promise<unknown[]> => (await service.take()).map(({ meta }) => meta);

  test('another program says nothing, or what it sets itself', async () => {
    await other.query(`insert into note (id, name) values (1, 'a')`);
    await other.query(`begin; set local cqrs.context = '{"by": "psql"}'`);
    await other.query(`insert into note (id, name) values (2, 'b')`);
    await other.query('commit');
    await other.query(`delete from note where id = 1`);
    expect(await metas()).toEqual([{ context: null }, { context: { by: 'psql' } }, { context: null }]);
  });

  test.each([
    ['no JSON', 'nonsense', 'invalid input syntax for type json'],
    ['too long', JSON.stringify('x'.repeat(2_047)), 'cqrs.context has 2049 bytes, and at most 2048 are allowed'],
  ])('what it sets is refused with the write: %s', async (_, context, message) => {
    await other.query('delete from note');
    await service.take();
    await other.query('begin');
    await other.query(`select set_config('cqrs.context', $1, true)`, [context]);
    await expect(other.query(`insert into note (id, name) values (7, 'g')`)).rejects.toThrow(message);
    await other.query('rollback');
    await other.query(`insert into note (id, name) values (7, 'g')`);
    expect(await metas()).toEqual([{ context: null }]);
  });

  test('SQL of several statements, a native query, and what cannot be in a transaction', async () => {
    const em = service.orm.em.fork();
    await service.sql(`create procedure p() language plpgsql as $$
      begin update note set name = 'p'; commit; update note set name = 'q'; end $$`);
    await service.sql('truncate note');
    await service.sql(`insert into note (id, name) values (1, 'a')`);
    await service.take();
    await request.run('r', async () => {
      await em.execute(`insert into note (id, name) values (2, 'b'); delete from note where id = 2 or id = 1`);
      await em.execute(em.createQueryBuilder(Note).insert({ id: 3, name: 'c' }).getNativeQuery() as never);
      expect(await metas()).toEqual([{ context: 'r' }, { context: 'r' }]);
      await em.execute('call p()');
      await em.execute('vacuum note');
      // Its transactions are its own.
      expect(await metas()).toEqual([{ context: null }, { context: null }]);
      const kysely = em.getKysely() as never as Kysely<{ note: { name: string } }>;
      await kysely.updateTable('note').set({ name: 'k' }).execute();
      expect(await metas()).toEqual([{ context: null }]);
      await em.transactional(async (inner) => {
        await (inner.getKysely() as never as typeof kysely).updateTable('note').set({ name: 'l' }).execute();
      });
      expect(await metas()).toEqual([{ context: 'r' }]);
    });
  });
});
