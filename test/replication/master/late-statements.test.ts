import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, raw, type SqlEntityManager } from '@mikro-orm/postgresql';
import { UnsupportedWriteError } from '../../../src/kernel/errors.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { expectKept } from '../../support/kept.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/**
 * What a query builder sends is decided when it is compiled: conditions over relations become sub-queries, paths become
 * columns. Whichever way a statement is made and run, the table is the oracle of what is announced.
 */
const Owner = defineEntity({ name: 'Owner', properties: { id: p.integer().primary(), name: p.string() } });
const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { city: p.string().nullable(), street: p.string().nullable() },
});
const properties = {
  id: p.integer().primary(),
  v: p.integer(),
  mail: p.string().unique(),
  displayName: p.string().name('display_name').nullable(),
  home: () => p.embedded(Address),
  extra: () => p.embedded(Address).object(),
  owner: () => p.manyToOne(Owner).deleteRule('no action').fieldName('owner').nullable(),
};
const PlainSchema = defineEntity({ name: 'Plain', tableName: 'plain', extends: MasterEntity, properties });
const TrackedSchema = defineEntity({ name: 'Tracked', tableName: 'tracked', extends: MasterEntity, properties });
class Plain extends masterClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
class Tracked extends masterClass(TrackedSchema) {
  static override CQRS_ID = 'tracked';
  static override CQRS_TRACKED_FIELDS = ['v'] as const;
}
PlainSchema.setClass(Plain);
TrackedSchema.setClass(Tracked);

let service: MasterService;
const uncaptured: string[] = [];
beforeAll(async () => {
  service = await masterService([Owner, Plain, Tracked]);
  service.cqrs.events.on('cqrs.master.uncaptured', ({ reason }) => void uncaptured.push(reason));
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  uncaptured.length = 0;
  await service.cqrs.withoutReplication(async () => {
    const em = service.orm.em.fork();
    for (const entity of [Plain, Tracked]) await em.nativeDelete(entity, {});
    await em.nativeDelete(Owner, {});
    await em.insertMany(Owner, [
      { id: 1, name: 'o' },
      { id: 2, name: 'q' },
    ]);
    for (const entity of [Plain, Tracked] as (typeof Plain)[]) {
      for (let id = 0; id < 8; id++) {
        em.create(entity, { id, v: 0, mail: `m${id}`, owner: 1 + (id % 2), home: { city: 'c' }, extra: {} } as never);
      }
    }
    await em.flush();
  });
});
// what capture has announced, nobody is told of as written behind its back
afterEach(() => expect(uncaptured).toEqual([]));

type Em = SqlEntityManager;
type Entity = typeof Plain;
type Work = (em: Em, entity: Entity) => Promise<unknown>;
const lines = (signal: string, ...ids: number[]): string[] => ids.map((id) => `${signal} ${id}`);
const q = { owner: { name: 'q' } } as never;

const statements: [string, Work, string[]][] = [
  ['nativeUpdate over a relation', (em, entity) => em.nativeUpdate(entity, q, { v: 1 }), lines('SAVE', 1, 3, 5, 7)],
  [
    'nativeDelete over a relation',
    (em, entity) => em.nativeDelete(entity, { owner: { name: 'q' }, id: { $lt: 4 } } as never),
    lines('DELETE', 1, 3),
  ],
  [
    'a repository, over a relation in $or',
    (em, entity) =>
      em.getRepository(entity).nativeUpdate({ $or: [{ id: 0 }, { owner: { name: 'q' } }] } as never, { v: 2 }),
    lines('SAVE', 0, 1, 3, 5, 7),
  ],
  [
    'a query builder with an alias, over a relation',
    (em, entity) => em.createQueryBuilder(entity, 'a').update({ v: 3 }).where(q).execute('run'),
    lines('SAVE', 1, 3, 5, 7),
  ],
  ['bulkUpdate over a relation', (em, entity) => entity.cqrs(em).bulkUpdate(q, { v: 4 }), lines('SAVE', 1, 3, 5, 7)],
  ['bulkDelete over a relation', (em, entity) => entity.cqrs(em).bulkDelete(q), lines('DELETE', 1, 3, 5, 7)],
  [
    'an UPDATE with a common table expression',
    (em, entity) =>
      em
        .createQueryBuilder(entity)
        .with(
          'chosen',
          em
            .createQueryBuilder(entity, 'z')
            .select(['z.id'])
            .where({ v: 0, id: { $gt: 5 } }),
        )
        .update({ v: 5 })
        .where({ id: { $in: raw('(select id from chosen)') } } as never)
        .execute('run'),
    lines('SAVE', 6, 7),
  ],
  [
    'a streamed UPDATE',
    async (em, entity) => {
      const seen: unknown[] = [];
      const builder = em
        .createQueryBuilder(entity)
        .update({ v: 6 })
        .where({ id: [1, 2] })
        .returning('*');
      for await (const one of builder.stream()) seen.push((one as unknown as { v: number }).v);
      expect(seen).toEqual([6, 6]);
    },
    lines('SAVE', 1, 2),
  ],
  [
    'a native query through em.execute',
    async (em, entity) => {
      const native = em.createQueryBuilder(entity).update({ v: 7 }).where({ id: 3 }).getNativeQuery();
      expect(await em.execute(native as never)).toEqual([]);
    },
    lines('SAVE', 3),
  ],
  [
    'a native DELETE through em.execute, in a transaction that is rolled back to a savepoint',
    (em, entity) =>
      em.transactional(async (outer) => {
        await outer
          .transactional(async (inner) => {
            await inner.execute(em.createQueryBuilder(entity).delete({ id: 4 }).getNativeQuery() as never);
            throw new Error('no');
          })
          .catch(() => {});
        await outer.execute(em.createQueryBuilder(entity).delete({ id: 5 }).getNativeQuery() as never);
      }),
    lines('DELETE', 5),
  ],
  [
    'a builder that is run twice, and its clone',
    async (em, entity) => {
      const builder = em.createQueryBuilder(entity).update({ v: 8 }).where({ id: 6 });
      const clone = builder.clone();
      await builder.execute();
      await clone.where({ id: 7 }).execute();
    },
    lines('SAVE', 6, 7),
  ],
  [
    'INSERT … SELECT',
    (em, entity) =>
      em
        .createQueryBuilder(entity)
        .insertFrom(
          em
            .createQueryBuilder(entity, 'z')
            .select([
              raw('z.id + 100 as id'),
              raw("z.mail || '+' as mail"),
              'z.v',
              raw("'{}'::jsonb as extra"),
            ] as never)
            .where({ id: { $lt: 2 } }),
          { columns: ['id', 'mail', 'v', 'extra'] } as never,
        )
        .execute(),
    lines('SAVE', 100, 101),
  ],
];

const merges: [string, Work, string[]][] = [
  ['every column', (em, entity) => upsert(em, entity).merge().execute(), lines('SAVE', 1, 50)],
  ['properties', (em, entity) => upsert(em, entity).merge(['v', 'displayName']).execute(), lines('SAVE', 1, 50)],
  [
    'a path into an inline embeddable',
    (em, entity) =>
      upsert(em, entity)
        .merge(['home.city' as never, 'v'])
        .execute(),
    lines('SAVE', 1, 50),
  ],
  ['an embeddable stored as JSON', (em, entity) => upsert(em, entity).merge(['extra']).execute(), lines('SAVE', 1, 50)],
  ['a relation', (em, entity) => upsert(em, entity).merge(['owner']).execute(), lines('SAVE', 1, 50)],
  [
    'values and expressions',
    (em, entity) =>
      upsert(em, entity)
        .merge({ v: raw(`"${em.getMetadata().get(entity).tableName}"."v" + 5`) as never, displayName: 'x' })
        .execute(),
    lines('SAVE', 1, 50),
  ],
  [
    'where it says so',
    (em, entity) =>
      upsert(em, entity)
        .merge(['v'])
        .where({ id: { $gt: 4 } })
        .execute(),
    lines('SAVE', 50),
  ],
  ['nothing', (em, entity) => upsert(em, entity).ignore().execute(), lines('SAVE', 50)],
  [
    'em.upsertMany with fields to leave out',
    (em, entity) => em.upsertMany(entity, rows() as never[], { onConflictExcludeFields: ['home'] as never }),
    lines('SAVE', 1, 50),
  ],
  [
    'em.upsertMany with fields to merge',
    (em, entity) => em.upsertMany(entity, rows() as never[], { onConflictMergeFields: ['home.city', 'v'] as never }),
    lines('SAVE', 1, 50),
  ],
  [
    'bulkUpsert on another unique column',
    (em, entity) =>
      entity.cqrs(em).bulkUpsert([{ ...rows()[0], id: 80 }] as never[], {
        onConflictFields: ['mail'],
      }),
    lines('DELETE', 1).concat(lines('SAVE', 80)),
  ],
];
const rows = () => [
  { id: 1, v: 9, mail: 'm1', displayName: 'n', home: { city: 'd' }, extra: { city: 'e' }, owner: 2 },
  { id: 50, v: 9, mail: 'm50', displayName: 'n', home: { city: 'd' }, extra: { city: 'e' }, owner: 2 },
];
const upsert = (em: Em, entity: Entity) =>
  em
    .createQueryBuilder(entity)
    .insert(rows() as never)
    .onConflict('id');

// claims: every-write
describe('whatever is sent late is captured', () => {
  describe.each([
    ['a master', Plain],
    ['a master with tracked fields', Tracked],
  ] as [string, Entity][])('%s', (_name, entity) => {
    const table = entity === Plain ? 'plain' : 'tracked';
    const run = async (work: Work): Promise<string[]> =>
      (await expectKept(service, table, () => work(service.orm.em.fork() as Em, entity))).toSorted();

    test.each(statements)('%s', async (_, work, expected) => {
      expect(await run(work)).toEqual(expected);
    });
    test.each(merges)('an upsert that merges %s', async (_, work, expected) => {
      expect((await run(work)).toSorted()).toEqual(expected.toSorted());
    });

    test('a collection of its owner', async () => {
      expect(
        await run(async (em) => {
          const builder = em
            .createQueryBuilder(entity)
            .update({ owner: null } as never)
            .where({ owner: 2 } as never);
          await builder.andWhere({ id: { $nin: [1] } } as never).execute();
        }),
      ).toEqual(lines('SAVE', 3, 5, 7));
    });

    test('a common table expression that writes a master is refused: nobody would see its rows', async () => {
      const em = service.orm.em.fork() as Em;
      const work = em
        .createQueryBuilder(entity)
        .with('gone', em.createQueryBuilder(entity).delete({ id: 7 }).getNativeQuery() as never)
        .update({ v: 1 })
        .where({ id: 1 })
        .execute('run');
      await expect(work).rejects.toThrow(UnsupportedWriteError);
      await expect(work).rejects.toThrow(/Run it as a statement of its own/);
    });
  });
});
