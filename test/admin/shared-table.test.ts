import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { createAdmin } from '../../src/admin/admin.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { AdminClient, byHeader } from './client.js';

/** Two masters in one table: each shows its own rows, in lists, in counts and one by one. */

const AnimalSchema = defineEntity({
  name: 'Animal',
  extends: MasterEntity,
  discriminatorColumn: 'kind',
  abstract: true,
  properties: { id: p.integer().primary(), name: p.string(), kind: p.enum(['dog', 'cat']) },
});
abstract class Animal extends masterClass(AnimalSchema) {}
AnimalSchema.setClass(Animal as never);
const DogSchema = defineEntity({ name: 'Dog', extends: AnimalSchema, discriminatorValue: 'dog', properties: {} });
class Dog extends masterClass(DogSchema) {
  static override CQRS_ID = 'dog';
}
DogSchema.setClass(Dog);
const CatSchema = defineEntity({ name: 'Cat', extends: AnimalSchema, discriminatorValue: 'cat', properties: {} });
class Cat extends masterClass(CatSchema) {
  static override CQRS_ID = 'cat';
}
CatSchema.setClass(Cat);

let service: MasterService;
let client: AdminClient;
beforeAll(async () => {
  service = await masterService([Animal as never, Dog, Cat]);
  client = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader }));
  await service.sql(`insert into animal (id, name, kind) values (1, 'Rex', 'dog'), (2, 'Tom', 'cat') /* cqrs */`);
});
afterAll(async () => service[Symbol.asyncDispose]());

test.each([
  ['dog', '1', '2'],
  ['cat', '2', '1'],
] as const)('%s', async (cqrsId, own, foreign) => {
  const params = { cqrsId };
  expect((await client.ask('rows', { params, body: {} })).rows.map(({ key }) => key)).toEqual([own]);
  expect(await client.ask('countRows', { params, body: {} })).toEqual({ count: 1, exact: true });
  expect(await client.ask('row', { params, body: { key: own } })).toMatchObject({ exists: true });
  expect(await client.ask('row', { params, body: { key: foreign } })).toMatchObject({
    exists: false,
    values: {},
    payload: null,
  });
});
