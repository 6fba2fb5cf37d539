import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { replica, replicaClass, ReplicaEntity } from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const OwnerSchema = defineEntity({
  name: 'Owner',
  tableName: 'owner',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    name: p.string(),
    note: p.string().nullable(),
    visits: p.integer().default(0),
  },
});
class Owner extends replicaClass(OwnerSchema) {
  static override CQRS_ID = 'owner';
  static override CQRS_MAPPING = { id: 'id', name: 'name' } as const;
}
OwnerSchema.setClass(Owner);

const PetSchema = defineEntity({
  name: 'Pet',
  tableName: 'pet',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    owner: () => p.manyToOne(Owner).nullable(),
  },
});
class Pet extends replicaClass(PetSchema) {
  static override CQRS_ID = 'pet';
}
PetSchema.setClass(Pet);

const HouseSchema = defineEntity({
  name: 'House',
  tableName: 'house',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    owner: () => p.manyToOne(Owner).nullable().deleteRule('no action'),
  },
});
class House extends replicaClass(HouseSchema) {
  static override CQRS_ID = 'house';
}
HouseSchema.setClass(House);

const ToySchema = defineEntity({
  name: 'Toy',
  tableName: 'toy',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    owner: () => p.manyToOne(Owner).deleteRule('cascade'),
  },
});
class Toy extends replicaClass(ToySchema) {
  static override CQRS_ID = 'toy';
}
ToySchema.setClass(Toy);

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [Owner, Pet, House, Toy]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(() => service.rows('truncate owner, pet, house, toy'));

const owner = (incarnation: number) => message({ id: 1, name: 'o' }, { cqrsId: 'owner', incarnation });
const owned = (cqrsId: string, id: number) => message({ id, owner: 1 }, { cqrsId });

test('what comes with the new incarnation of the row that it points to keeps pointing to it', async () => {
  await service.handle([owner(1)]);
  expect(brief(await service.handle([owned('pet', 2), owner(2), owned('house', 3)]))).toEqual([
    'create',
    'create',
    'create',
  ]);
  expect(await service.rows('select owner_id::text from pet union all select owner_id::text from house')).toEqual([
    { owner_id: '1' },
    { owner_id: '1' },
  ]);
});

// claims: re-creation
test('what was there before keeps pointing to it, whatever ON DELETE says: the row is replaced in place', async () => {
  await service.handle([owner(1), owned('pet', 2), owned('house', 3), owned('toy', 4)]);
  expect(brief(await service.handle([owner(2)]))).toEqual(['create']);
  for (const table of ['pet', 'house', 'toy'])
    expect(await service.rows(`select owner_id::text from ${table}`)).toEqual([{ owner_id: '1' }]);
});

test('a DELETE and the new incarnation in one batch, too', async () => {
  await service.handle([owner(1), owned('pet', 2), owned('toy', 4)]);
  const gone = message({ id: 1 }, { cqrsId: 'owner', signal: 'DELETE', incarnation: 1, revision: 1 });
  expect(brief(await service.handle([gone, owner(2)]))).toEqual(['superseded', 'create']);
  expect(await service.rows('select owner_id::text from pet')).toEqual([{ owner_id: '1' }]);
  expect(await service.rows('select owner_id::text from toy')).toEqual([{ owner_id: '1' }]);
});

test('what only the replica has begins anew with a SAVE, and is kept by a SYNC', async () => {
  const seen = () => service.rows('select name, note, visits::text from owner');
  await service.handle([owner(1)]);
  await service.rows(`update owner set note = 'mine', visits = 7`);
  await service.handle([message({ id: 1, name: 'synced' }, { cqrsId: 'owner', incarnation: 2, signal: 'SYNC' })]);
  expect(await seen()).toEqual([{ name: 'synced', note: 'mine', visits: '7' }]);
  await service.handle([message({ id: 1, name: 'saved' }, { cqrsId: 'owner', incarnation: 2, revision: 1 })]);
  expect(await seen()).toEqual([{ name: 'saved', note: 'mine', visits: '7' }]);
  await service.handle([message({ id: 1, name: 'anew' }, { cqrsId: 'owner', incarnation: 3 })]);
  expect(await seen()).toEqual([{ name: 'anew', note: null, visits: '0' }]);
});

describe('through hooks', () => {
  const calls: string[] = [];
  let deletesItself = false;
  let hooked: ReplicaService;

  const BossSchema = defineEntity({
    name: 'Boss',
    tableName: 'owner',
    extends: ReplicaEntity,
    properties: {
      id: p.integer().primary().autoincrement(false),
      name: p.string(),
      note: p.string().nullable(),
      visits: p.integer().default(0),
    },
  });

  beforeAll(async () => {
    hooked = await ReplicaService.start(database.url, [
      replica(BossSchema, {
        id: 'owner',
        mapping: { id: 'id', name: 'name' },
        cqrsCreate: async (em, { mappedData }) => {
          calls.push('create');
          return mappedData['name'] === 'nobody' ? undefined : em.create(BossSchema, mappedData as never);
        },
        cqrsDelete: async (em, { masterData, replaced }) => {
          calls.push(replaced ? 'delete, replaced' : 'delete');
          if (deletesItself || !replaced) await em.nativeDelete(BossSchema, { id: Number(masterData['id']) });
        },
      }),
    ]);
  });
  afterAll(() => hooked.stop());
  beforeEach(() => {
    calls.length = 0;
    deletesItself = false;
  });

  const boss = (name: string, incarnation: number, options = {}) =>
    message({ id: 1, name }, { cqrsId: 'owner', incarnation, ...options });
  const bosses = () => service.rows('select name, note, visits::text, cqrs_incarnation::text as i from owner');

  // claims: re-creation
  test('cqrsDelete is told, the row stays, and what cqrsCreate makes is written over it', async () => {
    await hooked.handle([boss('first', 1)]);
    await service.handle([owned('pet', 2), owned('house', 3), owned('toy', 4)]);
    await service.rows(`update owner set note = 'mine', visits = 7`);
    expect(brief(await hooked.handle([boss('synced', 2, { signal: 'SYNC' })]))).toEqual(['create']);
    expect(await bosses()).toEqual([{ name: 'synced', note: 'mine', visits: '7', i: '2' }]);
    expect(brief(await hooked.handle([boss('saved', 3)]))).toEqual(['create']);
    expect(calls).toEqual(['create', 'delete, replaced', 'create', 'delete, replaced', 'create']);
    expect(await bosses()).toEqual([{ name: 'saved', note: null, visits: '0', i: '3' }]);
    for (const table of ['pet', 'house', 'toy'])
      expect(await service.rows(`select owner_id::text from ${table}`)).toEqual([{ owner_id: '1' }]);
  });

  test('a hook that deletes the row itself: what cqrsCreate makes is inserted; where rows point to it, a dead letter at once', async () => {
    deletesItself = true;
    await hooked.handle([boss('first', 1)]);
    expect(brief(await hooked.handle([boss('second', 2)]))).toEqual(['create']);
    expect(await bosses()).toMatchObject([{ name: 'second', i: '2' }]);
    await service.handle([owned('house', 3)]);
    expect(brief(await hooked.handle([boss('third', 3)]))).toEqual(['dead-letter replaced-row-deleted']);
    expect(await bosses()).toMatchObject([{ name: 'second', i: '2' }]);
  });

  test('a hook that makes nothing of the new incarnation: the former row goes', async () => {
    await hooked.handle([boss('first', 1)]);
    expect(brief(await hooked.handle([boss('nobody', 2)]))).toEqual(['create']);
    expect(await bosses()).toEqual([]);
    expect(brief(await hooked.handle([boss('first', 1)]))).toEqual(['stale']);
  });
});
