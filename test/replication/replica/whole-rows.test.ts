import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, LoadStrategy, p, wrap } from '@mikro-orm/core';
import type { WireObject } from '../../../src/wire/values.js';
import { replicaClass, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import type { CreateContext } from '../../../src/replication/replica/definition/replica-hooks.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { KindsSchema } from './support/kinds.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

/** What hooks have been given: the entity of each call, before they change it. */
const given: object[] = [];
let loaded = 0;

function note(entity: object, em: EntityManager, { mappedData }: CreateContext): void {
  given.push({ ...wrap(entity).toPOJO(), original: em.getUnitOfWork().getOriginalEntityData(entity) });
  em.assign(entity, mappedData as never);
}

const AuthorSchema = defineEntity({
  name: 'AuthorRow',
  properties: { id: p.integer().primary(), name: p.string() },
});

const AllKindsSchema = defineEntity({
  name: 'AllKindsRef',
  tableName: 'all_kinds_ref',
  extends: KindsSchema,
  properties: {},
});
class AllKindsRef extends replicaClass(AllKindsSchema) {
  static override CQRS_ID = 'all-kinds';
  override cqrsUpdate(...args: Parameters<ReplicaEntity['cqrsUpdate']>): void {
    note(this, ...args);
  }
}
AllKindsSchema.setClass(AllKindsRef);

const PlaceSchema = defineEntity({ name: 'Place', embeddable: true, properties: { city: p.string().nullable() } });
const BookSchema = defineEntity({
  name: 'BookRef',
  tableName: 'book_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.bigint('string').primary(),
    title: p.string(),
    author: () => p.manyToOne(AuthorSchema).nullable(),
    place: () => p.embedded(PlaceSchema).nullable(),
  },
  hooks: { onLoad: [() => void loaded++] },
});
class BookRef extends replicaClass(BookSchema) {
  static override CQRS_ID = 'book';
  override cqrsUpdate(...args: Parameters<ReplicaEntity['cqrsUpdate']>): void {
    note(this, ...args);
  }
}
BookSchema.setClass(BookRef);

const EagerSchema = defineEntity({
  name: 'EagerRef',
  tableName: 'eager_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    author: () => p.manyToOne(AuthorSchema).nullable().eager().strategy(LoadStrategy.SELECT_IN),
  },
});
class EagerRef extends replicaClass(EagerSchema) {
  static override CQRS_ID = 'eager';
  override cqrsUpdate(...args: Parameters<ReplicaEntity['cqrsUpdate']>): void {
    note(this, ...args);
  }
}
EagerSchema.setClass(EagerRef);

const LazySchema = defineEntity({
  name: 'LazyRef',
  tableName: 'lazy_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.uuid().primary(),
    title: p.string(),
    long: p.text().lazy().nullable(),
    size: p
      .integer()
      .formula((alias) => `length(${alias}.title)`)
      .persist(false),
  },
});
class LazyRef extends replicaClass(LazySchema) {
  static override CQRS_ID = 'lazy';
  static override CQRS_MAPPING = { id: 'id', title: 'title', long: 'long' };
  override cqrsUpdate(...args: Parameters<ReplicaEntity['cqrsUpdate']>): void {
    note(this, ...args);
  }
}
LazySchema.setClass(LazyRef);

const LockingSchema = defineEntity({
  name: 'LockingRef',
  tableName: 'locking_ref',
  extends: ReplicaEntity,
  properties: { land: p.string().primary(), number: p.integer().primary(), title: p.string() },
});
class LockingRef extends replicaClass(LockingSchema) {
  static override CQRS_ID = 'locking';
  static override CQRS_SELECT_FOR_UPDATE = true;
  override cqrsUpdate(...args: Parameters<ReplicaEntity['cqrsUpdate']>): void {
    note(this, ...args);
  }
}
LockingSchema.setClass(LockingRef);

let database: TestDatabase;
let service: ReplicaService;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [
    AllKindsRef,
    BookRef,
    EagerRef,
    LazyRef,
    LockingRef,
    AuthorSchema,
  ]);
  await service.orm.schema.create();
  await service.rows("insert into author_row (id, name) values (1, 'Ada'), (2, 'Bob')");
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const [first, second] = ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'];
const kinds: WireObject = {
  small: 1,
  big: '9007199254740993',
  flt: 0.1,
  single: 0.1,
  dec2: '7.10',
  dec_big: '0.000000000000000001',
  dec_free: '1.50',
  flag: false,
  short: 'äöü',
  fixed: 'ab',
  text: '',
  day: '2024-02-29',
  clock: '10:11:12.000345',
  at: '2024-01-02 03:04:05.123456+00:00',
  seconds: '2024-01-02 03:04:05+00:00',
  naive: '2024-01-02 03:04:05.123456+00:00',
  uid: first!,
  js: { b: [1, null] },
  words: ['a', 'b c'],
  numbers: [1, 2],
  bytes: 'AAH/',
  state: 'open',
};

test.each<[string, WireObject, WireObject]>([
  ['all-kinds', { id: 1, ...kinds }, { id: 2 }],
  ['book', { id: '9007199254740993', title: 'a', author: 1, place_city: 'x' }, { id: '2', title: 'b' }],
  ['eager', { id: 1, title: 'a', author: 1 }, { id: 2, title: 'b', author: 2 }],
  ['lazy', { id: first!, title: 'a', long: 'long' }, { id: second!, title: 'bb', long: null }],
  ['locking', { land: 'a', number: 1, title: 'a' }, { land: 'b', number: 1, title: 'b' }],
])('hooks of %s are given the same entity together and alone', async (cqrsId, one, other) => {
  const send = async (revision: number, ...rows: WireObject[]) =>
    brief(await service.handle(rows.map((row) => message(row, { cqrsId, revision, updated: 1_700_000_000_000_001 }))));
  expect(await send(0, one, other)).toEqual(['create', 'create']);
  const version = { cqrsRevision: 0 };
  given.length = loaded = 0;
  expect(await send(1, one, other)).toEqual(['update', 'update']);
  expect(given).toHaveLength(2);
  expect(given[0]).toMatchObject(version);
  const together = given[0];
  if (cqrsId === 'book') expect(loaded).toBe(2);
  await service.rows(`update ${cqrsId.replace('-', '_')}_ref set cqrs_revision = 0`);
  given.length = 0;
  expect(await send(1, one)).toEqual(['update']);
  expect(given).toEqual([together]);
});

test('a row that the batch has changed is read anew', async () => {
  await service.rows('truncate book_ref');
  const book = (id: string, title: string, revision: number) =>
    message({ id, title, author: null, place_city: null }, { cqrsId: 'book', revision });
  await service.handle([book('1', 'a', 0), book('2', 'b', 0)]);
  given.length = 0;
  await service.handle([book('1', 'A', 1), book('2', 'B', 1), book('1', 'AA', 2), book('2', 'BB', 2)]);
  expect(given.map((entity) => (entity as BookRef).title)).toEqual(['a', 'b', 'A', 'B']);
});
