import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, p, Type } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

class Money {
  constructor(
    readonly amount: number,
    readonly currency: string,
  ) {}
}
class MoneyType extends Type<Money, string> {
  override convertToDatabaseValue(value: Money | string): string {
    return value instanceof Money ? `${value.amount}:${value.currency}` : value;
  }
  override convertToJSValue(value: string | Money): Money {
    if (value instanceof Money) return value;
    const [amount, currency] = value.split(':');
    return new Money(Number(amount), currency!);
  }
  override getColumnType(): string {
    return 'varchar(40)';
  }
}

const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { street: p.string(), zip: p.integer().nullable() },
});

const OwnerSchema = defineEntity({
  name: 'Owner',
  extends: MasterEntity,
  properties: {
    id: p.uuid().primary(),
    fullName: p.string(),
    home: () => p.embedded(Address).nullable(),
    work: () => p.embedded(Address).object().nullable(),
    pets: () => p.oneToMany(Pet).mappedBy('owner').orphanRemoval(),
  },
});
class Owner extends masterClass(OwnerSchema) {
  static override CQRS_ID = 'owner';
}
OwnerSchema.setClass(Owner);

const PetSchema = defineEntity({
  name: 'Pet',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    owner: () => p.manyToOne(Owner).nullable(),
    name: p.string(),
  },
});
class Pet extends masterClass(PetSchema) {
  static override CQRS_ID = 'pet';
}
PetSchema.setClass(Pet);

const VisitSchema = defineEntity({
  name: 'Visit',
  extends: MasterEntity,
  properties: {
    owner: () => p.manyToOne(Owner).primary(),
    number: p.integer().primary(),
    note: p.string().nullable(),
    version: p.integer().version(),
  },
});
class Visit extends masterClass(VisitSchema) {
  static override CQRS_ID = 'visit';
}
VisitSchema.setClass(Visit);

const KindsSchema = defineEntity({
  name: 'Kinds',
  extends: MasterEntity,
  schema: 'other',
  properties: {
    code: p.string().primary(),
    big: p.bigint('bigint').nullable(),
    exact: p.decimal('string').precision(38).scale(18).nullable(),
    float: p.double().nullable(),
    at: p.datetime().columnType('timestamptz(6)').nullable(),
    day: p.date().nullable(),
    time: p.time().columnType('time(6)').nullable(),
    flag: p.boolean().nullable(),
    data: p.json<unknown>().nullable(),
    tags: p.array().nullable(),
    bytes: p.blob().nullable(),
    money: p.type(MoneyType).nullable(),
    lazy: p.text().lazy().nullable(),
  },
});
class Kinds extends masterClass(KindsSchema) {
  static override CQRS_ID = 'kinds';
}
KindsSchema.setClass(Kinds);

const AnimalSchema = defineEntity({
  name: 'Animal',
  extends: MasterEntity,
  discriminatorColumn: 'kind',
  abstract: true,
  properties: { id: p.integer().primary(), name: p.string(), kind: p.enum(['dog', 'cat']) },
});
abstract class Animal extends masterClass(AnimalSchema) {}
AnimalSchema.setClass(Animal as never);
const DogSchema = defineEntity({
  name: 'Dog',
  extends: AnimalSchema,
  discriminatorValue: 'dog',
  properties: { barks: p.boolean().nullable() },
});
class Dog extends masterClass(DogSchema) {
  static override CQRS_ID = 'dog';
}
DogSchema.setClass(Dog);
const CatSchema = defineEntity({
  name: 'Cat',
  extends: AnimalSchema,
  discriminatorValue: 'cat',
  properties: { lives: p.integer().nullable() },
});
class Cat extends masterClass(CatSchema) {
  static override CQRS_ID = 'cat';
}
CatSchema.setClass(Cat);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Owner, Pet, Visit, Kinds, Address, Animal as never, Dog, Cat]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.take();
});
const fork = () => service.orm.em.fork();

test('uuid keys, embeddables inline and as an object', async () => {
  const em = fork();
  const id = randomUUID();
  const owner = em.create(Owner, { id, fullName: 'Ada', home: { street: 's', zip: 1 }, work: { street: 'w', zip: 2 } });
  await em.flush();
  expect(await service.take()).toMatchObject([
    { pk: id, data: { id, full_name: 'Ada', home_street: 's', home_zip: 1, work: { street: 'w', zip: 2 } } },
  ]);
  owner.home!.zip = 9;
  owner.work!.zip = 8;
  await em.flush();
  expect(await service.take()).toMatchObject([
    { data: { home_zip: 9, work: { street: 'w', zip: 8 }, cqrs_revision: 1 } },
  ]);
});

test('a relation travels under its own name, as a key; orphans are deleted, references updated without loading', async () => {
  const em = fork();
  const owner = em.create(Owner, { id: randomUUID(), fullName: 'Ada' });
  const pet = em.create(Pet, { owner, name: 'p' });
  await em.flush();
  expect((await service.take()).map((one) => [one.cqrsId, one.data['owner']])).toEqual([
    ['owner', undefined],
    ['pet', owner.id],
  ]);
  const other = fork();
  other.getReference(Pet, pet.id).name = 'renamed';
  await other.flush();
  expect(await service.take()).toMatchObject([
    { signal: 'SAVE', data: { name: 'renamed', owner: owner.id, cqrs_revision: 1 } },
  ]);
  const third = fork();
  (await third.findOneOrFail(Owner, owner.id, { populate: ['pets'] })).pets.removeAll();
  await third.flush();
  expect(await service.take()).toMatchObject([{ signal: 'DELETE', cqrsId: 'pet', data: { id: pet.id } }]);
});

test('removing all of an unloaded collection is captured', async () => {
  const em = fork();
  const owner = em.create(Owner, { id: randomUUID(), fullName: 'Ada' });
  em.create(Pet, { owner, name: 'p' });
  await em.flush();
  await service.take();
  const other = fork();
  (await other.findOneOrFail(Owner, owner.id)).pets.removeAll();
  await other.flush();
  expect(await service.take()).toMatchObject([{ signal: 'DELETE', cqrsId: 'pet' }]);
});

test('composite keys with a relation, and a version column of the user', async () => {
  const em = fork();
  const owner = em.create(Owner, { id: randomUUID(), fullName: 'Ada' });
  const first = em.create(Visit, { owner, number: 1, note: 'a' });
  const second = em.create(Visit, { owner, number: 2 });
  await em.flush();
  expect((await service.take()).slice(1).map((one) => [one.pk, one.data['owner'], one.data['number']])).toEqual([
    [[owner.id, 1], owner.id, 1],
    [[owner.id, 2], owner.id, 2],
  ]);
  first.note = 'b';
  second.note = 'c';
  await em.flush();
  expect([first.cqrsRevision, second.cqrsRevision, first.version]).toEqual([1, 1, 2]);
  expect((await service.take()).map((one) => one.data['note'])).toEqual(['b', 'c']);
  const stale = fork();
  const old = await stale.findOneOrFail(Visit, { owner: owner.id, number: 1 });
  first.note = 'd';
  await em.flush();
  await service.take();
  old.note = 'lost';
  await expect(stale.flush()).rejects.toThrow(/optimistic lock/);
  expect(await service.take()).toEqual([]);
  em.remove(second);
  await em.flush();
  expect(await service.take()).toMatchObject([{ signal: 'DELETE', data: { id: [owner.id, 2], cqrs_revision: 2 } }]);
});

test('keys that change in a flush, one row and several: each is a DELETE of the old and a SAVE of the new', async () => {
  const em = fork();
  const owner = em.create(Owner, { id: randomUUID(), fullName: 'Keys' });
  const visits = [11, 12, 13].map((number) => em.create(Visit, { owner, number, note: `n${number}` }));
  await em.flush();
  await service.take();
  visits[0]!.number = 21;
  await em.flush();
  expect((await service.take()).map((one) => [one.signal, one.pk])).toEqual([
    ['DELETE', [owner.id, 11]],
    ['SAVE', [owner.id, 21]],
  ]);
  visits[1]!.number = 22;
  visits[2]!.number = 23;
  await em.flush();
  const sent = await service.take();
  expect(sent.map((one) => `${one.signal} ${String((one.pk as unknown[])[1])}`).toSorted()).toEqual([
    'DELETE 12',
    'DELETE 13',
    'SAVE 22',
    'SAVE 23',
  ]);
});

test('a clone begins a history of its own; removing cascades to what MikroORM removes', async () => {
  const em = fork();
  const owner = em.create(Owner, { id: randomUUID(), fullName: 'Ada' });
  const pet = em.create(Pet, { owner, name: 'p' });
  await em.flush();
  pet.name = 'q';
  await em.flush();
  const [, , changed] = await service.take();
  await fork().clone(Pet, pet.id, { name: 'copy' });
  const [copy] = await service.take();
  expect(copy).toMatchObject({ signal: 'SAVE', data: { name: 'copy', cqrs_revision: 0 } });
  expect(copy!.incarnation).toBeGreaterThan(changed!.incarnation);
  const other = fork();
  other.remove(await other.findOneOrFail(Owner, owner.id, { populate: ['pets'] }));
  await other.flush();
  expect((await service.take()).map((one) => `${one.signal} ${one.cqrsId}`).toSorted()).toEqual([
    'DELETE owner',
    'DELETE pet',
    'DELETE pet',
  ]);
});

test('every kind of column travels without loss', async () => {
  await fork().insert(Kinds, {
    code: 'ä/"1',
    big: 9223372036854775807n,
    exact: '12345678901234567890.123456789012345678',
    float: 0.1,
    day: '2024-02-29',
    time: '10:11:12.5',
    flag: true,
    data: { a: [1, 'ü'] } as never,
    tags: ['x', 'y "z"'],
    bytes: Buffer.from('hi'),
    money: new Money(5, 'EUR') as never,
    lazy: 'long',
  });
  await service.take();
  await service.sql(
    `update other.kinds set at = '2024-01-02 03:04:05.123456+02', data = '{"n": 12345678901234567890}', float = 'NaN' /* cqrs */`,
  );
  await Kinds.callPostUpdate([{ code: 'ä/"1' }], { em: fork() });
  const [sent] = await rawBodies();
  expect(sent).toContain('"big":9223372036854775807');
  expect(sent).toContain('"data":{"n": 12345678901234567890}');
  expect(sent).toContain('"float":NaN');
  expect(sent).toContain('"at":"2024-01-02 01:04:05.123456+00:00"');
  expect(sent).toContain('"exact":"12345678901234567890.123456789012345678"');
  expect(sent).toContain('"tags":["x","y \\"z\\""]');
  expect(sent).toContain('"bytes":"aGk="');
  expect(sent).toContain('"money":"5:EUR"');
  expect(sent).toContain('"day":"2024-02-29"');
  expect(sent).toContain('"time":"10:11:12.5"');
  expect(sent).toContain('"lazy":"long"');
  expect(sent).toContain('"cqrs_revision":1');
});

test('single-table inheritance: each row under the id of its class, with its own columns', async () => {
  const em = fork();
  const dog = em.create(Dog, { name: 'rex', barks: true });
  em.create(Cat, { name: 'tom', lives: 9 });
  await em.flush();
  const sent = await service.take();
  expect(sent.map((one) => [one.cqrsId, one.data['name']]).toSorted()).toEqual([
    ['cat', 'tom'],
    ['dog', 'rex'],
  ]);
  expect(sent.find((one) => one.cqrsId === 'dog')!.data).not.toHaveProperty('lives');
  dog.barks = false;
  await em.flush();
  expect(await service.take()).toMatchObject([{ cqrsId: 'dog', data: { barks: false, cqrs_revision: 1 } }]);
  await fork().nativeUpdate(Animal as never, {}, { name: 'all' } as never);
  expect((await service.take()).map((one) => one.cqrsId).toSorted()).toEqual(['cat', 'dog']);
});

async function rawBodies(): Promise<string[]> {
  const rows = await service.sql<{ body: string }>('delete from cqrs_outbox returning body');
  return rows.map((row) => row.body);
}
