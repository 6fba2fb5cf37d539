import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';

const columnsOf = (sent: { data: Record<string, unknown> } | undefined): string[] =>
  Object.keys(sent!.data).filter((name) => !name.startsWith('cqrs_'));

describe('single-table inheritance: a root with an id, children with and without one of their own', () => {
  const AnimalSchema = defineEntity({
    name: 'Animal',
    extends: MasterEntity,
    discriminatorColumn: 'kind',
    discriminatorValue: 'animal',
    properties: {
      id: p.integer().primary(),
      name: p.string(),
      kind: p.enum(['animal', 'dog', 'puppy', 'cat', 'bird']).$type<string>(),
    },
  });
  class Animal extends masterClass(AnimalSchema) {
    static override CQRS_ID = 'animal';
  }
  AnimalSchema.setClass(Animal);

  const DogSchema = defineEntity({
    name: 'Dog',
    extends: AnimalSchema,
    discriminatorValue: 'dog',
    properties: { barks: p.boolean().nullable() },
  });
  class Dog extends masterClass(DogSchema) {
    static override CQRS_ID = 'dog';
    static override CQRS_TRACKED_FIELDS = ['name'] as const;
  }
  DogSchema.setClass(Dog);

  const PuppySchema = defineEntity({
    name: 'Puppy',
    extends: DogSchema,
    discriminatorValue: 'puppy',
    properties: { weeks: p.integer().nullable() },
  });
  class Puppy extends masterClass(PuppySchema) {
    override isSyncInstance(): boolean {
      return this.weeks !== 0;
    }
  }
  PuppySchema.setClass(Puppy);

  const CatSchema = defineEntity({
    name: 'Cat',
    extends: AnimalSchema,
    discriminatorValue: 'cat',
    properties: { lives: p.integer().nullable() },
  });
  class Cat extends masterClass(CatSchema) {
    static override CQRS_ID = 'cat';
    static override CQRS_FIELDS = ['id', 'lives'] as const;
  }
  CatSchema.setClass(Cat);

  const BirdSchema = defineEntity({
    name: 'Bird',
    extends: AnimalSchema,
    discriminatorValue: 'bird',
    properties: { wings: p.integer().nullable() },
  });
  class Bird extends masterClass(BirdSchema) {}
  BirdSchema.setClass(Bird);

  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Animal, Dog, Puppy, Cat, Bird]);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  test('each row travels under its own id, else under that of the nearest ancestor', async () => {
    const em = service.orm.em.fork();
    em.create(Animal, { name: 'it', kind: 'animal' });
    em.create(Dog, { name: 'rex', barks: true });
    em.create(Puppy, { name: 'bo', weeks: 3 });
    em.create(Cat, { name: 'tom', lives: 9 });
    em.create(Bird, { name: 'joe', wings: 2 });
    await em.flush();
    const sent = await service.take();
    expect(sent.map((one) => [one.cqrsId, one.data['name'] ?? one.data['lives']]).toSorted()).toEqual([
      ['animal', 'it'],
      ['animal', 'joe'],
      ['cat', 9],
      ['dog', 'bo'],
      ['dog', 'rex'],
    ]);
    const of = (id: string) => sent.find((one) => one.cqrsId === id);
    expect(columnsOf(of('animal'))).toEqual(['id', 'name', 'kind', 'wings']);
    expect(columnsOf(of('dog'))).toEqual(['id', 'name', 'kind', 'barks', 'weeks']);
    expect(columnsOf(of('cat'))).toEqual(['id', 'lives']);
  });

  test('a child without an id keeps its own hooks', async () => {
    const em = service.orm.em.fork();
    const puppy = em.create(Puppy, { name: 'new', weeks: 0 });
    em.create(Dog, { name: 'old' });
    await em.flush();
    expect((await service.take()).map((one) => one.data['name'])).toEqual(['old']);
    puppy.weeks = 1;
    await em.flush();
    expect(await service.take()).toMatchObject([
      { signal: 'SAVE', cqrsId: 'dog', data: { name: 'new', cqrs_revision: 1 } },
    ]);
  });

  test('a change through the root is announced under the id of each row', async () => {
    const em = service.orm.em.fork();
    const { count } = await Animal.cqrs(em).bulkUpdate({ name: { $in: ['rex', 'tom', 'joe'] } }, { name: 'all' });
    expect(count).toBe(3);
    const sent = await service.take();
    expect(sent.map((one) => one.cqrsId).toSorted()).toEqual(['animal', 'cat', 'dog']);
    expect(sent.find((one) => one.cqrsId === 'dog')!.previous).toEqual({ name: 'rex' });
  });

  test('the registry knows the classes', () => {
    expect(service.cqrs.masters.getModelByCqrsId('dog')).toBe(Dog);
    expect(service.cqrs.masters.byEntity(Puppy)?.cqrsId).toBe('dog');
    expect(service.cqrs.masters.byEntity(Bird)?.cqrsId).toBe('animal');
    expect(service.cqrs.masters.ids.toSorted()).toEqual(['animal', 'cat', 'dog']);
  });
});

test('single-table inheritance: an abstract root gives its id to children that have none', async () => {
  const ShapeSchema = defineEntity({
    name: 'Shape',
    extends: MasterEntity,
    abstract: true,
    discriminatorColumn: 'kind',
    properties: { id: p.integer().primary(), kind: p.enum(['circle', 'square']).$type<string>() },
  });
  abstract class Shape extends masterClass(ShapeSchema) {
    static override CQRS_ID = 'shape';
  }
  ShapeSchema.setClass(Shape as never);
  const CircleSchema = defineEntity({
    name: 'Circle',
    extends: ShapeSchema,
    discriminatorValue: 'circle',
    properties: { radius: p.integer().nullable() },
  });
  class Circle extends masterClass(CircleSchema) {}
  CircleSchema.setClass(Circle);
  const SquareSchema = defineEntity({
    name: 'Square',
    extends: ShapeSchema,
    discriminatorValue: 'square',
    properties: { side: p.integer().nullable() },
  });
  class Square extends masterClass(SquareSchema) {}
  SquareSchema.setClass(Square);

  await using service = await masterService([Shape as never, Circle, Square]);
  const em = service.orm.em.fork();
  const circle = em.create(Circle, { radius: 1 });
  em.create(Square, { side: 2 });
  await em.flush();
  expect((await service.take()).map((one) => [one.cqrsId, one.data['radius'], one.data['side']])).toEqual([
    ['shape', 1, null],
    ['shape', null, 2],
  ]);
  await em.remove(circle).flush();
  expect(await service.take()).toMatchObject([{ signal: 'DELETE', cqrsId: 'shape', data: { id: circle.id } }]);
});

test('abstract bases in tables of their own are skipped, with or without columns', async () => {
  const StampedSchema = defineEntity({
    name: 'Stamped',
    extends: MasterEntity,
    abstract: true,
    properties: { id: p.integer().primary(), stamp: p.string().nullable() },
  });
  const first = defineEntity({ name: 'First', extends: StampedSchema, properties: { one: p.string() } });
  class First extends masterClass(first) {
    static override CQRS_ID = 'first';
  }
  first.setClass(First);
  const second = defineEntity({ name: 'Second', extends: StampedSchema, properties: { two: p.string() } });
  class Second extends masterClass(second) {
    static override CQRS_ID = 'second';
  }
  second.setClass(Second);

  await using service = await masterService([StampedSchema, First, Second]);
  const em = service.orm.em.fork();
  em.create(First, { one: '1', stamp: 's' });
  em.create(Second, { two: '2' });
  await em.flush();
  expect((await service.take()).map((one) => [one.cqrsId, one.data['stamp']]).toSorted()).toEqual([
    ['first', 's'],
    ['second', null],
  ]);
  expect(await service.orm.schema.getCreateSchemaSQL()).not.toContain('"stamped"');
});
