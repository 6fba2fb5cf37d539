import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { ReplicaEntity } from '../../src/replica/replica-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const AccountSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: { id: p.bigint('string').primary(), name: p.string(), note: p.string().nullable(), local: p.string().default('mine') },
});
class AccountRef extends AccountSchema.class {
  static CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);

let database: TestDatabase;
let service: ReplicaService;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [AccountRef]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows('truncate account_ref, cqrs_tombstones');
});

const rows = (): Promise<unknown[]> => service.rows('select id::text, name, cqrs_revision::text as r, cqrs_incarnation::text as i from account_ref order by 1');
const account = (id: number | string, name: string) => ({ id, name, note: null });

describe('one key', () => {
  test('is created, changed and deleted', async () => {
    expect(brief(await service.handle([message(account(1, 'Ada'))]))).toEqual(['create']);
    expect(await rows()).toEqual([{ id: '1', name: 'Ada', r: '0', i: '1' }]);
    expect(brief(await service.handle([message(account(1, 'Bob'), { revision: 1 })]))).toEqual(['update']);
    expect(await rows()).toEqual([{ id: '1', name: 'Bob', r: '1', i: '1' }]);
    expect(brief(await service.handle([message({ id: 1 }, { signal: 'DELETE', revision: 2 })]))).toEqual(['delete']);
    expect(await rows()).toEqual([]);
    expect(brief(await service.handle([message(account(1, 'Bob'), { revision: 1 })]))).toEqual(['stale']);
    expect(await rows()).toEqual([]);
  });

  test('begins a new life with its local columns as new', async () => {
    await service.handle([message(account(1, 'Ada'))]);
    await service.rows("update account_ref set local = 'changed'");
    expect(brief(await service.handle([message(account(1, 'Eve'), { incarnation: 2 })]))).toEqual(['create']);
    expect(await service.rows('select name, local from account_ref')).toEqual([{ name: 'Eve', local: 'mine' }]);
  });
});
