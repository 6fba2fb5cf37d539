import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AnyEntity, defineEntity, p, raw, type SqlEntityManager } from '@mikro-orm/postgresql';
import { UnsupportedWriteError } from '../../../src/kernel/errors.js';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { expectKept } from '../../support/kept.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** Keys that change, are spelt otherwise, or have texts of their own; and rows that change what they are. */
type Em = SqlEntityManager;

// claims: every-write
describe('a key that an upsert changes', () => {
  const define = (name: string, tracked: boolean) =>
    master(
      defineEntity({
        name,
        tableName: name.toLowerCase(),
        extends: MasterEntity,
        properties: { id: p.integer().primary(), mail: p.string().unique(), v: p.integer() },
      }),
      { id: name.toLowerCase(), ...(tracked ? { trackedFields: ['v'] as const } : {}) } as never,
    );
  const Bare = define('Bare', false);
  const Tracked = define('Tracked', true);
  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Bare, Tracked]);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  test.each([
    ['bare', Bare],
    ['tracked', Tracked],
  ])('%s: the old key ends, the new one begins an incarnation of its own', async (table, entity) => {
    const fork = (): Em => service.orm.em.fork() as Em;
    const E = entity as never;
    const run = (work: (em: Em) => Promise<unknown>): Promise<string[]> =>
      expectKept(service, table, () => work(fork()));
    await run((em) => em.insertMany(E, [1, 2, 3, 4, 14].map((id) => ({ id, mail: `m${id}`, v: 0 })) as never));
    // a key that has lived before
    await run((em) => em.nativeDelete(E, { id: 14 } as never));
    expect(
      await run((em) => em.upsert(E, { id: 11, mail: 'm1', v: 1 } as never, { onConflictFields: ['mail'] as never })),
    ).toEqual(['DELETE 1', 'SAVE 11']);
    expect(
      await run((em) =>
        em.upsertMany(
          E,
          [
            { id: 12, mail: 'm2', v: 1 },
            { id: 20, mail: 'new', v: 1 },
            { id: 3, mail: 'm3', v: 1 },
          ] as never,
          { onConflictFields: ['mail'] as never },
        ),
      ),
    ).toEqual(['SAVE 20', 'SAVE 3', 'DELETE 2', 'SAVE 12']);
    expect(
      await run((em) =>
        em
          .createQueryBuilder(E)
          .insert({ id: 14, mail: 'm4', v: 2 } as never)
          .onConflict('mail' as never)
          .merge()
          .execute(),
      ),
    ).toEqual(['DELETE 4', 'SAVE 14']);
    // to a key of a row that is deleted in the same transaction, and away again
    expect(
      await run((em) =>
        em.transactional(async (inner) => {
          await inner.nativeDelete(E, { id: 3 } as never);
          await inner.nativeUpdate(E, { id: 14 } as never, { id: 3 } as never);
          await inner.nativeUpdate(E, { id: 11 } as never, { id: 30 } as never);
          await inner.nativeUpdate(E, { id: 30 } as never, { id: 31 } as never);
        }),
      ),
    ).toEqual(['SAVE 3', 'DELETE 14', 'DELETE 11', 'SAVE 31']);
    // of many rows at once
    const many = await run((em) =>
      em.nativeUpdate(E, { id: { $in: [3, 12] } } as never, { id: raw('id + 1000') } as never),
    );
    expect(many.toSorted()).toEqual(['DELETE 12', 'DELETE 3', 'SAVE 1003', 'SAVE 1012']);
    // set to what it is: no new incarnation
    expect(await run((em) => em.nativeUpdate(E, { id: 20 } as never, { id: 20, v: 9 } as never))).toEqual(['SAVE 20']);
    // two in a flush
    expect(
      await run(async (em) => {
        const [one, two] = (await em.find(E, { id: { $in: [20, 31] } } as never, {
          orderBy: { id: 'asc' } as never,
        })) as unknown as { id: number; v: number }[];
        one!.id = 2020;
        one!.v = 5;
        two!.id = 3131;
        two!.v = 6;
        await em.flush();
      }),
    ).toHaveLength(4);
  });

  test('a key that raw SQL uses again in the transaction that deleted its row begins a later incarnation', async () => {
    const entity = Bare as unknown as {
      class: { callPostBulkCreate(rows: object[], options: object): Promise<number> };
    };
    await service.orm.em.fork().insert(Bare as never, { id: 500, mail: 'm500', v: 0 } as never);
    await service.orm.em.fork().nativeUpdate(Bare as never, { id: 500 } as never, { v: 1 } as never);
    expect(
      await expectKept(service, 'bare', () =>
        service.orm.em.fork().transactional(async (em) => {
          await em.nativeDelete(Bare as never, { id: 500 } as never);
          await em.execute("insert into bare (id, mail, v) values (500, 'm500', 2)");
          await entity.class.callPostBulkCreate([{ id: 500 }], { em });
        }),
      ),
    ).toEqual(['SAVE 500']);
    const [row] = await service.sql('select cqrs_revision from bare where id = 500');
    expect(row).toEqual({ cqrs_revision: 2 });
  });

  test('is refused where nobody can say which row it was', async () => {
    const em = service.orm.em.fork() as Em;
    const work = em
      .createQueryBuilder(Bare as never)
      .insert({ id: 77, mail: 'm77', v: 1 } as never)
      .onConflict(raw('(mail)') as never)
      .merge(['id', 'v'] as never)
      .execute();
    await expect(work).rejects.toThrow(UnsupportedWriteError);
    await expect(work).rejects.toThrow(/Name the columns in onConflict/);
  });
});

describe('a key of any type', () => {
  const kinds: [string, () => AnyEntity, unknown[]][] = [
    ['timestamptz', () => p.datetime().columnType('timestamptz(3)'), [new Date(1_770_091_506_789), new Date(0)]],
    ['date', () => p.date(), ['2026-02-03', '0044-03-15']],
    ['time', () => p.time(), ['04:05:06', '23:59:59']],
    ['bytea', () => p.blob(), [Buffer.from([1, 2, 255]), Buffer.from([3, 39, 92])]],
    ['uuid', () => p.uuid(), ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'b0eebc999c0b4ef8bb6d6bb9bd380a11']],
    ['int4range', () => p.string().columnType('int4range'), ['[1,4]', '[7,9)']],
    ['numeric', () => p.string().columnType('numeric'), ['1.10', '2']],
    ['float8', () => p.double(), [0.1, 1e300]],
    ['bool', () => p.boolean(), [true, false]],
    ['char(5)', () => p.string().columnType('char(5)'), ['ab', "c'd"]],
    ['inet', () => p.string().columnType('inet'), ['10.0.0.1', '::1']],
    ['bigint', () => p.bigint(), ['9007199254740993', '-9223372036854775808']],
    ['text', () => p.string(), ['', 'a\\b"c\'d']],
  ];
  test.each(kinds)('%s: flushes of one and of two, with previous values and a filter', async (_, key, values) => {
    const Thing = master(
      defineEntity({
        name: 'Thing',
        extends: MasterEntity,
        properties: { id: (key() as { primary(): AnyEntity }).primary(), v: p.integer() } as never,
      }) as never,
      { id: 'thing', trackedFields: ['v'], isSyncInstance: (row: { v: number }) => row.v < 5 } as never,
    );
    await using service = await masterService([Thing as never]);
    const fork = (): Em => service.orm.em.fork() as Em;
    await fork().insertMany(Thing as never, values.map((id) => ({ id, v: 0 })) as never);
    const flush = async (count: number, v: number): Promise<unknown[]> => {
      const em = fork();
      await service.take();
      for (const one of (await em.find(Thing as never, {})).slice(0, count)) (one as { v: number }).v = v;
      await em.flush();
      return (await service.take()).map(({ signal, data, previous }) => [signal, data['v'], previous]);
    };
    expect(await flush(1, 1)).toEqual([['SAVE', 1, { v: 0 }]]);
    await fork().nativeUpdate(Thing as never, {}, { v: 1 } as never);
    expect(await flush(2, 2)).toEqual([
      ['SAVE', 2, { v: 1 }],
      ['SAVE', 2, { v: 1 }],
    ]);
    expect(await flush(2, 7)).toEqual([
      ['DELETE', undefined, null],
      ['DELETE', undefined, null],
    ]);
    // neither matched before nor now: nobody is told
    expect(await flush(2, 8)).toEqual([]);
    await service.take();
    await fork().upsertMany(Thing as never, values.map((id) => ({ id, v: 3 })) as never);
    expect((await service.take()).map(({ signal, previous }) => [signal, previous])).toEqual([
      ['SAVE', { v: 8 }],
      ['SAVE', { v: 8 }],
    ]);
  });

  test.each([
    ['numeric', '1.0', '1.00'],
    ['float8', '0', '-0'],
    ['interval', '1 day', '24:00:00'],
    ['citext', 'Ada', 'ADA'],
  ])('%s: %s and %s are one row, decided by the database', async (type, one, other) => {
    const Thing = master(
      defineEntity({
        name: 'Thing',
        extends: MasterEntity,
        properties: { id: p.string().columnType(type).primary(), v: p.integer() },
      }),
      { id: 'thing', trackedFields: ['v'] } as never,
    );
    await using service = await masterService([Thing as never], { before: ['create extension if not exists citext'] });
    const em = (): Em => service.orm.em.fork() as Em;
    await em().insert(Thing as never, { id: one, v: 0 } as never);
    const [born] = await service.take();
    await em()
      .createQueryBuilder(Thing as never)
      .update({ id: other, v: 1 } as never)
      .where({ id: one } as never)
      .execute();
    const respelt = await service.take();
    expect(respelt.map(({ signal, previous, incarnation }) => [signal, previous, incarnation])).toEqual([
      ['SAVE', { v: 0 }, born!.incarnation],
    ]);
    // within one transaction, too: made, spelt otherwise, upserted
    await em().nativeDelete(Thing as never, {});
    await service.take();
    await em().transactional(async (inner) => {
      await inner.insert(Thing as never, { id: one, v: 0 } as never);
      await (inner as Em)
        .createQueryBuilder(Thing as never)
        .update({ id: other } as never)
        .where({ id: one } as never)
        .execute();
      await inner.upsert(Thing as never, { id: one, v: 5 } as never);
    });
    expect((await service.take()).map(({ signal, data }) => [signal, data['v']])).toEqual([['SAVE', 5]]);
  });
});
