import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { brief, message } from '../replication/replica/support/messages.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;
const start = async (entities: unknown[]): Promise<void> => {
  cqrs = new Cqrs({ transport: 'MemoryTransport', queue: 'replica' });
  orm = await MikroORM.init({ clientUrl: database.url, entities: entities as never, extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.start();
};
beforeEach(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  await cqrs.stop();
  await orm.close();
  await database.drop();
});
const handle = async (cqrsId: string, data: Parameters<typeof message>[0]) =>
  brief(await cqrs.replicaRuntime.handle([message(data, { cqrsId })]));

test('single-table inheritance: a root with an id, a child without one and a child with its own', async () => {
  const AnimalSchema = defineEntity({
    name: 'Animal',
    extends: ReplicaEntity,
    discriminatorColumn: 'kind',
    discriminatorValue: 'animal',
    properties: {
      id: p.integer().primary(),
      name: p.string(),
      kind: p.enum(['animal', 'bird', 'dog']).$type<string>(),
    },
  });
  class Animal extends replicaClass(AnimalSchema) {
    static override CQRS_ID = 'animal';
  }
  AnimalSchema.setClass(Animal);
  const BirdSchema = defineEntity({
    name: 'Bird',
    extends: AnimalSchema,
    discriminatorValue: 'bird',
    properties: { wings: p.integer().nullable() },
  });
  class Bird extends replicaClass(BirdSchema) {}
  BirdSchema.setClass(Bird);
  const DogSchema = defineEntity({
    name: 'Dog',
    extends: AnimalSchema,
    discriminatorValue: 'dog',
    properties: { barks: p.boolean().nullable() },
  });
  class Dog extends replicaClass(DogSchema) {
    static override CQRS_ID = 'dog';
  }
  DogSchema.setClass(Dog);

  await start([Animal, Bird, Dog]);
  expect(cqrs.replicas.ids.toSorted()).toEqual(['animal', 'dog']);
  expect(await handle('animal', { id: 1, name: 'it', kind: 'animal' })).toEqual(['create']);
  expect(await handle('animal', { id: 2, name: 'joe', kind: 'bird', wings: 2 })).toEqual(['create']);
  expect(await handle('dog', { id: 3, name: 'rex', kind: 'dog', barks: true })).toEqual(['create']);
  const em = orm.em.fork();
  expect(await em.findOneOrFail(Animal, 2)).toBeInstanceOf(Bird);
  expect(await em.findOneOrFail(Bird, 2)).toMatchObject({ name: 'joe', wings: 2 });
  expect(await em.findOneOrFail(Dog, 3)).toMatchObject({ name: 'rex', barks: true });
});

test('single-table inheritance: an abstract root takes the messages for children that have no id', async () => {
  const ShapeSchema = defineEntity({
    name: 'Shape',
    extends: ReplicaEntity,
    abstract: true,
    discriminatorColumn: 'kind',
    properties: { id: p.integer().primary(), kind: p.enum(['circle', 'square']).$type<string>() },
  });
  abstract class Shape extends replicaClass(ShapeSchema) {
    static override CQRS_ID = 'shape';
  }
  ShapeSchema.setClass(Shape as never);
  const CircleSchema = defineEntity({
    name: 'Circle',
    extends: ShapeSchema,
    discriminatorValue: 'circle',
    properties: { radius: p.integer().nullable() },
  });
  class Circle extends replicaClass(CircleSchema) {}
  CircleSchema.setClass(Circle);

  await start([Shape, Circle]);
  expect(await handle('shape', { id: 1, kind: 'circle', radius: 5 })).toEqual(['create']);
  expect(await orm.em.fork().findOneOrFail(Circle, 1)).toMatchObject({ radius: 5 });
});

test('abstract bases in tables of their own are skipped', async () => {
  const NamedSchema = defineEntity({
    name: 'Named',
    extends: ReplicaEntity,
    abstract: true,
    properties: { id: p.integer().primary(), name: p.string() },
  });
  const first = defineEntity({ name: 'First', extends: NamedSchema, properties: {} });
  class First extends replicaClass(first) {
    static override CQRS_ID = 'first';
  }
  first.setClass(First);
  const second = defineEntity({ name: 'Second', extends: NamedSchema, properties: {} });
  class Second extends replicaClass(second) {
    static override CQRS_ID = 'second';
  }
  second.setClass(Second);

  await start([NamedSchema, First, Second]);
  expect(await handle('first', { id: 1, name: 'one' })).toEqual(['create']);
  expect(await orm.em.fork().count(Second)).toBe(0);
  expect(cqrs.replicas.ids.toSorted()).toEqual(['first', 'second']);
});
