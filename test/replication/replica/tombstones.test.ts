import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const AccountRef = defineEntity({
  name: 'AccountRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
const WEEK = 7 * 86_400;

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [replica(AccountRef, { id: 'account' })], {
    replica: { tombstoneRetentionSeconds: WEEK },
  });
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows('truncate account_ref, cqrs_tombstones');
  service.seen.length = 0;
});

const bury = async (...ids: number[]) =>
  service.handle(ids.map((id) => message({ id }, { signal: 'DELETE', revision: 1 })));
const buried = async () =>
  (await service.rows('select key from cqrs_tombstones order by key')).map((row) => row['key']);
const age = (ids: string, seconds: number) =>
  service.rows(`update cqrs_tombstones set deleted_at = now() - interval '${seconds} seconds' where key in (${ids})`);

describe('the purge', () => {
  test('forgets deletions that are older than the retention, and says how many', async () => {
    await bury(1, 2, 3);
    await age(`'["1"]', '["3"]'`, WEEK + 60);
    await age(`'["2"]'`, WEEK - 60);
    await using purge = service.side.createPurge();
    expect(await purge.purge()).toBe(2);
    expect(await buried()).toEqual(['["2"]']);
    expect(await purge.purge()).toBe(0);
    expect(service.seen).toEqual([{ name: 'cqrs.replica.tombstones-purged', fields: { count: 2 } }]);
  });

  test('takes any number in one go', async () => {
    await service.rows(`insert into cqrs_tombstones (cqrs_id, key, revision, updated, deleted_at)
      select 'account', 'old ' || n, 0, now(), now() - interval '1 year' from generate_series(1, 12000) n`);
    await using purge = service.side.createPurge();
    expect(await purge.purge()).toBe(12_000);
  });

  test('runs by itself as long as the service does, and stops at once', async () => {
    await bury(1);
    await age(`'["1"]'`, WEEK + 60);
    const purged = service.events.next('cqrs.replica.tombstones-purged');
    const purge = service.side.createPurge();
    await purge.start();
    expect(await purged).toEqual({ count: 1 });
    await purge.stop();
    await purge.stop();
  });
});

test('a purge that fails says so once, and the service goes on', async () => {
  await service.rows('alter table cqrs_tombstones rename to hidden');
  const warned = service.events.next('cqrs.replica.warned');
  const purge = service.side.createPurge();
  await purge.start();
  expect(await warned).toMatchObject({ where: 'Tombstone', what: expect.stringContaining('42P01') });
  await purge.stop();
  await service.rows('alter table hidden rename to cqrs_tombstones');
});

// claims: no-resurrection
test('a dead letter put back after its tombstone was purged does not bring the row back', async () => {
  const late = message({ id: 1, name: 'Ada' }, { committedAt: new Date(Date.now() - (WEEK + 120) * 1000) });
  await bury(1);
  await age(`'["1"]'`, WEEK + 60);
  await using purge = service.side.createPurge();
  await purge.purge();
  expect(brief(await service.handle([late]))).toEqual(['dead-letter too-old-to-create']);
});

test('a deletion that comes again keeps the greatest version', async () => {
  await service.handle([message({ id: 1 }, { signal: 'DELETE', revision: 5 })]);
  expect(brief(await service.handle([message({ id: 1 }, { signal: 'DELETE', revision: 3 })]))).toEqual(['stale']);
  expect(brief(await service.handle([message({ id: 1 }, { signal: 'DELETE', revision: 9 })]))).toEqual(['delete']);
  expect(await service.rows('select revision from cqrs_tombstones')).toEqual([{ revision: 9 }]);
});

describe('at start', () => {
  test('a complete database has no problems', async () => {
    expect(await service.side.checkTables()).toEqual([]);
  });

  test('a missing column and a missing table are named, with the command that makes them', async () => {
    await service.rows('alter table account_ref rename column cqrs_incarnation to other; ');
    await service.rows('alter table cqrs_tombstones rename to hidden');
    const problems = await service.side.checkTables();
    await service.rows('alter table hidden rename to cqrs_tombstones');
    await service.rows('alter table account_ref rename column other to cqrs_incarnation');
    expect(problems.map(({ where, what }) => `${where}: ${what}`)).toEqual([
      'AccountRef: its table "account_ref" lacks cqrs_incarnation.',
      'Tombstone: its table "cqrs_tombstones" does not exist.',
    ]);
    expect(problems.every(({ cure }) => cure.includes('npx cqrs schema --additive --run'))).toBe(true);
  });

  test('the schema generator finds nothing to add', async () => {
    expect(await service.orm.schema.getUpdateSchemaSQL()).toBe('');
  });
});
