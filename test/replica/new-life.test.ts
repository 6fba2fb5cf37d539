import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { replicaClass, ReplicaEntity } from '../../src/index.js';
import { defineReplicas } from '../../src/replica/replica-definition.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const OwnerSchema = defineEntity({
  name: 'Owner',
  tableName: 'owner',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
class Owner extends replicaClass(OwnerSchema) {
  static override CQRS_ID = 'owner';
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

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [Owner, Pet, House]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(() => service.rows('truncate owner, pet, house'));

const owner = (incarnation: number) => message({ id: 1, name: 'o' }, { cqrsId: 'owner', incarnation });
const owned = (cqrsId: string, id: number) => message({ id, owner: 1 }, { cqrsId });

test('what comes with the new life of the row that it points to keeps pointing to it', async () => {
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

test('what was there before loses it by ON DELETE SET NULL, which a warning tells at start, and keeps it by NO ACTION', async () => {
  await service.handle([owner(1), owned('pet', 2), owned('house', 3)]);
  await service.handle([owner(2)]);
  expect(await service.rows('select owner_id::text from pet')).toEqual([{ owner_id: null }]);
  expect(await service.rows('select owner_id::text from house')).toEqual([{ owner_id: '1' }]);
  const names = { quote: (name: string) => `"${name}"`, table: () => '"x"' };
  const { warnings } = defineReplicas([...service.orm.getMetadata().getAll().values()], names);
  expect(warnings).toEqual([
    {
      where: 'Pet',
      what: expect.stringMatching(/^its 'owner' is ON DELETE SET NULL: when a row of Owner begins a new life/),
      cure: expect.stringContaining("deleteRule: 'no action'"),
    },
  ]);
});
