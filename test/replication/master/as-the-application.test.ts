import { describe, expect, test } from '@jest/globals';
import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import {
  DeadlockException,
  defineEntity,
  DriverException,
  LockMode,
  p,
  type SqlEntityManager,
} from '@mikro-orm/postgresql';
import { UnsupportedWriteError } from '../../../src/kernel/errors.js';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** What an application does to its tables goes on as it did: locks, errors, rights, partitions, schemas, kinds of rows. */
type Em = SqlEntityManager;
const forkOf = (service: MasterService): Em => service.orm.em.fork() as Em;

const Order = master(
  defineEntity({
    name: 'Order',
    tableName: 'orders',
    extends: MasterEntity,
    properties: { id: p.integer().primary(), total: p.integer() },
  }),
  { id: 'order', trackedFields: ['total'], isSyncInstance: () => true } as never,
) as never;
const Line = defineEntity({
  name: 'Line',
  properties: { id: p.integer().primary(), order: () => p.manyToOne(Order) },
}) as never;

// claims: as-the-application
describe('locks are those of the statement itself', () => {
  const ways: [string, (em: Em, total: number) => Promise<unknown>][] = [
    ['nativeUpdate', (em, total) => em.nativeUpdate(Order, { id: 1 } as never, { total } as never)],
    [
      'a flush',
      async (em, total) => {
        for (const one of await em.find(Order, {})) (one as { total: number }).total = total;
        await em.flush();
      },
    ],
    ['an upsert', (em, total) => em.upsert(Order, { id: 1, total } as never)],
  ];
  test.each(ways)('%s waits for nobody who only refers to the row', async (_, write) => {
    await using service = await masterService([Order, Line]);
    await forkOf(service).insertMany(Order, [
      { id: 1, total: 0 },
      { id: 2, total: 0 },
    ] as never);
    let arrived = 0;
    let go!: () => void;
    const both = new Promise<void>((resolve) => (go = resolve));
    // each has a line, which locks its order FOR KEY SHARE, before either changes the order
    const one = (id: number): Promise<unknown> =>
      forkOf(service).transactional(async (em) => {
        await em.insert(Line, { id, order: 1 } as never);
        if (++arrived === 2) go();
        await both;
        await write(em as Em, id);
      });
    expect(await Promise.allSettled([one(1), one(2)])).toEqual([
      expect.objectContaining({ status: 'fulfilled' }),
      expect.objectContaining({ status: 'fulfilled' }),
    ]);
  });
});

// claims: as-the-application
test('errors of the database keep the classes that MikroORM gives them, on statements of ours, too', async () => {
  await using service = await masterService([Order, Line]);
  await forkOf(service).insertMany(Order, [1, 2, 3, 4].map((id) => ({ id, total: 0 })) as never);
  const locked = forkOf(service);
  await locked.begin();
  await locked.findOne(Order, { id: 1 } as never, { lockMode: LockMode.PESSIMISTIC_WRITE });
  const waits = (work: (em: Em) => Promise<unknown>): Promise<unknown> =>
    forkOf(service)
      .transactional(async (em) => {
        await em.execute("set local lock_timeout = '50ms'");
        await work(em as Em);
      })
      .catch((error: unknown) => error);
  const errors = [
    await waits((em) => em.nativeUpdate(Order, {}, { total: 1 } as never)),
    await waits((em) => em.upsert(Order, { id: 1, total: 1 } as never)),
    await waits(async (em) => {
      for (const one of await em.find(Order, { id: { $lt: 3 } } as never)) (one as { total: number }).total = 1;
      await em.flush();
    }),
  ];
  await locked.rollback();
  for (const error of errors) {
    expect(error).toBeInstanceOf(DriverException);
    expect((error as DriverException).code).toBe('55P03');
  }
  let arrived = 0;
  let go!: () => void;
  const both = new Promise<void>((resolve) => (go = resolve));
  const pair = (first: number[], second: number[]): Promise<unknown> =>
    forkOf(service).transactional(async (em) => {
      const add = async (ids: number[]): Promise<void> => {
        for (const one of await em.find(Order, { id: ids } as never)) (one as { total: number }).total++;
        await em.flush();
      };
      await add(first);
      if (++arrived === 2) go();
      await both;
      await add(second);
    });
  const ends = await Promise.allSettled([pair([1, 2], [3, 4]), pair([3, 4], [1, 2])]);
  const failed = ends.filter((end) => end.status === 'rejected').map((end) => end.reason as unknown);
  expect(failed).toEqual([expect.any(DeadlockException)]);
});

test('columns that do not travel are not read, and need no right to be read', async () => {
  const Photo = master(
    defineEntity({
      name: 'Photo',
      extends: MasterEntity,
      properties: {
        id: p.integer().primary(),
        name: p.string(),
        secret: p.string().nullable(),
        image: p.blob().lazy().nullable(),
      },
    }),
    { id: 'photo', fields: ['id', 'name'] } as never,
  ) as never;
  let longest = 0;
  await using service = await masterService([Photo], {
    options: {
      onQuery: (sql: string) => {
        longest = Math.max(longest, sql.length);
        return sql;
      },
    },
  });
  await forkOf(service).insert(Photo, { id: 1, name: 'a', secret: 's', image: Buffer.alloc(1_000_000) } as never);
  const role = `cqrs_reader_${process.pid}`;
  const columns = 'id, name, cqrs_revision, cqrs_updated, cqrs_incarnation';
  await service.sql(`create role ${role}; grant insert, update on photo to ${role}`);
  await service.sql(`grant select (${columns}) on photo to ${role}; grant all on cqrs_outbox to ${role}`);
  await service.sql(`grant usage on all sequences in schema public to ${role}`);
  try {
    const rename = (name: string): Promise<unknown> =>
      forkOf(service).transactional((em) => em.nativeUpdate(Photo, { id: 1 } as never, { name } as never), {
        sessionContext: { role },
      } as never);
    await service.take();
    await rename('b');
    expect((await service.take()).map(({ data }) => data['name'])).toEqual(['b']);
    // a row that is written again asks who has written it
    await service.sql(`grant select (xmin) on photo to ${role}`);
    await forkOf(service).transactional(
      async (em) => {
        await em.nativeUpdate(Photo, { id: 1 } as never, { name: 'c' } as never);
        await em.nativeUpdate(Photo, { id: 1 } as never, { name: 'd' } as never);
      },
      { sessionContext: { role } } as never,
    );
    expect((await service.take()).map(({ data }) => [data['name'], data['cqrs_revision']])).toEqual([['d', 2]]);
  } finally {
    await service.sql(`drop owned by ${role}; drop role ${role}`);
  }
});

test('hooks are shown what em.find loads: lazy columns are, where populate asks for them', async () => {
  const shown: unknown[] = [];
  const define = (name: string, populate: string[]) =>
    master(
      defineEntity({
        name,
        tableName: name.toLowerCase(),
        extends: MasterEntity,
        properties: { id: p.integer().primary(), body: p.string().lazy().nullable() },
      }),
      {
        id: name.toLowerCase(),
        fields: ['id'],
        populate,
        isSyncInstance: (row: { body?: string }) => Boolean(shown.push(row.body)),
      } as never,
    ) as never;
  const Quiet = define('Quiet', []);
  const Asking = define('Asking', ['body']);
  await using service = await masterService([Quiet, Asking]);
  await forkOf(service).insert(Quiet, { id: 1, body: 'long' } as never);
  await forkOf(service).insert(Asking, { id: 1, body: 'long' } as never);
  expect(shown).toEqual([undefined, 'long']);
});

test('partitioned tables take every way of writing', async () => {
  const Event = master(
    defineEntity({
      name: 'Event',
      tableName: 'event',
      extends: MasterEntity,
      partitionBy: { type: 'hash', expression: ['day'], partitions: 2 },
      properties: { id: p.integer().primary(), day: p.string().primary(), v: p.integer() },
    } as never),
    { id: 'event', trackedFields: ['v'] } as never,
  ) as never;
  await using service = await masterService([Event]);
  const row = (day: string, v: number): never => ({ id: 1, day, v }) as never;
  await service.cqrs.withoutReplication(() => forkOf(service).insert(Event, row('z', 0)));
  await forkOf(service).insert(Event, row('a', 1));
  await forkOf(service).insertMany(Event, [row('b', 1), row('c', 1)]);
  await forkOf(service).upsert(Event, row('a', 2));
  await forkOf(service).upsertMany(Event, [row('a', 3), row('d', 3)]);
  await forkOf(service).transactional(async (em) => {
    await em.nativeUpdate(Event, {}, { v: 4 } as never);
    for (const one of await em.find(Event, {})) (one as { v: number }).v = 5;
    await em.flush();
  });
  // to another partition, perhaps
  await forkOf(service).nativeUpdate(Event, { day: 'b' } as never, { day: 'q' } as never);
  await forkOf(service).nativeDelete(Event, { day: 'c' } as never);
  const last = new Map<string, unknown>();
  for (const { signal, pk, data } of await service.take()) {
    last.set(JSON.stringify(pk), signal === 'DELETE' ? undefined : data['v']);
  }
  expect(Object.fromEntries(last)).toEqual({
    '[1,"a"]': 5,
    '[1,"b"]': undefined,
    '[1,"c"]': undefined,
    '[1,"d"]': 5,
    '[1,"q"]': 5,
    '[1,"z"]': 5,
  });
});

describe('schemas chosen at run time', () => {
  const Account = master(
    defineEntity({
      name: 'Account',
      tableName: 'account',
      extends: MasterEntity,
      properties: { id: p.integer().primary(), name: p.string() },
    }),
    { id: 'account' } as never,
  ) as never;
  const ways: [string, (em: Em, tenant: Em) => Promise<unknown>][] = [
    [
      'em.fork({ schema }), flush',
      async (_, tenant) => (tenant.create(Account, { id: 1, name: 't' } as never), tenant.flush()),
    ],
    ['em.fork({ schema }), insert', (_, tenant) => tenant.insert(Account, { id: 1, name: 't' } as never)],
    ['insertMany', (em) => em.insertMany(Account, [{ id: 1, name: 't' }] as never, { schema: 't2' })],
    ['nativeUpdate', (em) => em.nativeUpdate(Account, { id: 1 } as never, { name: 't' } as never, { schema: 't2' })],
    ['nativeDelete', (em) => em.nativeDelete(Account, { id: 1 } as never, { schema: 't2' })],
    ['upsert', (em) => em.upsert(Account, { id: 1, name: 't' } as never, { schema: 't2' })],
    [
      'a query builder',
      (em) =>
        em
          .createQueryBuilder(Account)
          .withSchema('t2')
          .delete({ id: 1 } as never)
          .execute(),
    ],
  ];
  test.each(ways)('%s: the write is refused, no row of one touches the copy of another', async (_, write) => {
    await using service = await masterService([Account]);
    await service.sql('create schema t2; create table t2.account (like public.account including all)');
    await forkOf(service).insert(Account, { id: 1, name: 'public' } as never);
    await service.take();
    const work = write(forkOf(service), service.orm.em.fork({ schema: 't2' }) as Em);
    await expect(work).rejects.toThrow(UnsupportedWriteError);
    await expect(work).rejects.toThrow(/goes to "t2"\."account", and the master is "account"/);
    expect(await service.take()).toEqual([]);
    // where replicas need not know, it may
    await service.cqrs.withoutReplication(() => write(forkOf(service), service.orm.em.fork({ schema: 't2' }) as Em));
    expect(await service.take()).toEqual([]);
  });
});

describe('single-table inheritance', () => {
  test('a row whose discriminator says nothing is spoken of where the root has no id', async () => {
    @Entity({ tableName: 'shape', discriminatorColumn: 'kind', abstract: true })
    abstract class Shape extends MasterEntity {
      @PrimaryKey({ type: 'integer' }) id!: number;
      @Property({ type: 'string', nullable: true }) kind?: string;
    }
    @Entity({ discriminatorValue: 'disc' })
    class Disc extends Shape {
      static override CQRS_ID = 'disc';
    }
    await using service = await masterService([Shape as never, Disc]);
    const told: string[] = [];
    service.cqrs.events.on('cqrs.master.uncaptured', ({ reason }) => void told.push(reason));
    await forkOf(service).insert(Disc, { id: 1, kind: 'disc' } as never);
    expect((await service.take()).map(({ cqrsId }) => cqrsId)).toEqual(['disc']);
    expect(told).toEqual([]);
    await forkOf(service).nativeUpdate(Shape as never, { id: 1 } as never, { kind: null } as never);
    expect((await service.take()).map(({ signal, cqrsId }) => [signal, cqrsId])).toEqual([['DELETE', 'disc']]);
    expect(told).toEqual([expect.stringMatching(/'kind' is null or belongs to no entity/)]);
  });

  const entities = (rootId: string | undefined) => {
    @Entity({ tableName: 'animal', discriminatorColumn: 'kind', discriminatorValue: 'animal' })
    class Animal extends MasterEntity {
      static override CQRS_ID = rootId as string;
      @PrimaryKey({ type: 'integer' }) id!: number;
      @Property({ type: 'string', nullable: true }) kind?: string;
      @Property({ type: 'string' }) name!: string;
    }
    @Entity({ discriminatorValue: 'cat' })
    class Cat extends Animal {
      static override CQRS_ID = 'cat';
    }
    @Entity({ discriminatorValue: 'dog' })
    class Dog extends Animal {
      static override CQRS_ID = 'dog';
      @Property({ type: 'string', nullable: true }) trick?: string;
    }
    return { Animal, Cat, Dog };
  };
  const brief = async (service: MasterService): Promise<string[]> =>
    (await service.take()).map(
      ({ signal, cqrsId, pk, data }) => `${signal} ${cqrsId} ${String(pk)} r${String(data['cqrs_revision'])}`,
    );

  test('a row that changes its class leaves one master and enters the other', async () => {
    const { Animal, Cat, Dog } = entities('animal');
    await using service = await masterService([Animal, Cat, Dog]);
    await forkOf(service).insert(Cat, { id: 1, name: 'Tom', kind: 'cat' } as never);
    await forkOf(service).insert(Cat, { id: 2, name: 'Kit', kind: 'cat' } as never);
    expect(await brief(service)).toEqual(['SAVE cat 1 r0', 'SAVE cat 2 r0']);
    await forkOf(service).nativeUpdate(Animal, { id: 1 }, { kind: 'dog' });
    expect(await brief(service)).toEqual(['DELETE cat 1 r1', 'SAVE dog 1 r1']);
    await forkOf(service).upsert(Animal, { id: 1, name: 'Tom', kind: 'cat' } as never);
    expect(await brief(service)).toEqual(['DELETE dog 1 r2', 'SAVE cat 1 r2']);
    // in one transaction: there and back is a change of the row alone; changed and deleted, it is gone where it was
    await forkOf(service).transactional(async (em) => {
      await em.nativeUpdate(Animal, { id: 1 }, { kind: 'dog' });
      await em.nativeUpdate(Animal, { id: 1 }, { kind: 'cat' });
      await em.nativeUpdate(Animal, { id: 2 }, { kind: 'dog' });
      await em.nativeDelete(Animal, { id: 2 });
      await em.insert(Cat, { id: 3, name: 'New', kind: 'cat' } as never);
      await em.nativeUpdate(Animal, { id: 3 }, { kind: 'dog' });
    });
    expect(await brief(service)).toEqual(['SAVE cat 1 r3', 'DELETE cat 2 r2', 'SAVE dog 3 r0']);
    // deleted as one, and made again as the other
    await forkOf(service).transactional(async (em) => {
      await em.nativeDelete(Animal, { id: 1 });
      await em.insert(Dog, { id: 1, name: 'Rex', kind: 'dog' } as never);
    });
    expect(await brief(service)).toEqual(['DELETE cat 1 r4', 'SAVE dog 1 r4']);
  });

  test('a row whose discriminator says nothing travels under the id of the root', async () => {
    const { Animal, Cat, Dog } = entities('animal');
    await using service = await masterService([Animal, Cat, Dog]);
    await forkOf(service).insert(Cat, { id: 1, name: 'Tom', kind: 'cat' } as never);
    await service.take();
    await forkOf(service).nativeUpdate(Animal, { id: 1 }, { kind: null } as never);
    expect(await brief(service)).toEqual(['DELETE cat 1 r1', 'SAVE animal 1 r1']);
  });
});
