import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/core';
import { type CreateContext, replicaClass, ReplicaEntity } from '../../src/index.js';
import { brief, message } from '../replication/replica/support/messages.js';
import { ReplicaService } from '../replication/replica/support/replica-service.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** What django-cqrs does, or gets wrong, when a message arrives; docs/django-cqrs.md has them by number. */

const columns = { id: p.integer().primary(), name: p.string() };
const AccountSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: columns });
class AccountRef extends replicaClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);

const RawSchema = defineEntity({ name: 'RawRef', extends: ReplicaEntity, properties: columns });
class RawRef extends replicaClass(RawSchema) {
  static override CQRS_ID = 'raw';
  static override CQRS_CUSTOM_SERIALIZATION = true;
  static override async cqrsCreate(_em: EntityManager, { mappedData }: CreateContext): Promise<void> {
    (mappedData['who'] as { given: string }).given = 'changed';
    delete mappedData['id'];
    throw new Error('no');
  }
}
RawSchema.setClass(RawRef);

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [AccountRef, RawRef]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows('truncate account_ref, cqrs_tombstones');
});
const names = async () => (await service.rows('select name from account_ref')).map(({ name }) => name);

test('a message without its key is a dead letter', async () => {
  expect(brief(await service.handle([message({ name: 'ada' })]))).toEqual(['dead-letter mapping']);
});

test('what a hook does to its data does not reach the next attempt', async () => {
  const sent = message({ id: 1, who: { given: 'ada' } }, { cqrsId: 'raw' });
  const before = sent.payload.toMessage();
  expect(brief(await service.handle([sent]))).toEqual(['failed no']);
  expect(sent.payload.toMessage()).toBe(before);
});

test('a SYNC that was read before a newer SAVE and arrives after it changes nothing', async () => {
  const save = message({ id: 1, name: 'new' }, { revision: 2 });
  const sync = message({ id: 1, name: 'old' }, { signal: 'SYNC', revision: 1 });
  expect(brief(await service.handle([save]))).toEqual(['create']);
  expect(brief(await service.handle([sync]))).toEqual(['stale']);
  expect(await names()).toEqual(['new']);
});

test('a lower revision is skipped as stale, an equal one as a duplicate, and neither is a failure', async () => {
  const state = (name: string, revision: number) => message({ id: 1, name }, { revision });
  expect(brief(await service.handle([state('ada', 3)]))).toEqual(['create']);
  expect(brief(await service.handle([state('old', 2)]))).toEqual(['stale']);
  expect(brief(await service.handle([state('ada', 3)]))).toEqual(['duplicate']);
  expect(await names()).toEqual(['ada']);
});

test('a DELETE of a former incarnation leaves the row that has its key now', async () => {
  const gone = message({ id: 1 }, { signal: 'DELETE', incarnation: 1, revision: 9 });
  await service.handle([message({ id: 1, name: 'new' }, { incarnation: 2 })]);
  expect(brief(await service.handle([gone]))).toEqual(['stale']);
  expect(await names()).toEqual(['new']);
});
