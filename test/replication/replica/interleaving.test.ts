import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import pg from 'pg';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, type MessageOptions } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const AccountSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
const HookedSchema = defineEntity({
  name: 'HookedRef',
  tableName: 'hooked_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
/** The hooked replica as it was before it had a hook. */
const FormerSchema = defineEntity({
  name: 'FormerRef',
  tableName: 'hooked_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
/** What a hook does before it writes. */
let inHook = async (): Promise<void> => {};
const entities = [
  replica(AccountSchema, { id: 'account' }),
  replica(HookedSchema, {
    id: 'hooked',
    cqrsUpdate: async (row, em, { mappedData }) => {
      await inHook();
      em.assign(row, mappedData as never);
    },
  }),
];

let database: TestDatabase;
let service: ReplicaService;
/** Holds locks that the appliers run into. */
let other: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
  // The applier must not depend on it: with one snapshot a transaction, no lock would show what others did meanwhile.
  const { rows } = await other.query('select current_database() as name');
  await other.query(`alter database ${rows[0].name} set default_transaction_isolation to 'repeatable read'`);
  service = await ReplicaService.start(database.url, entities);
  await service.orm.schema.create();
});
afterAll(async () => {
  await other.end();
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  inHook = async () => {};
  await service.rows('truncate account_ref, hooked_ref, cqrs_tombstones');
});

const save = (name: string, options: MessageOptions = {}, id = 1) => message({ id, name }, options);
const remove = (options: MessageOptions, id = 1) => message({ id }, { signal: 'DELETE', ...options });

/** Resolves once that many connections of this database wait for a lock. */
async function untilWaiting(count: number): Promise<void> {
  for (;;) {
    const [row] = await service.rows(
      `select count(*)::text as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (row!['count'] === String(count)) return;
  }
}

const live = async (table = 'account_ref') =>
  (await service.rows(`select name, cqrs_revision as r from ${table}`)).map((row) => `${row['name']} ${row['r']}`);
const tombs = async () => (await service.rows('select revision from cqrs_tombstones')).map((row) => row['revision']);

// claims: no-resurrection
describe('history 8: SAVE(5) beside DELETE(6) in two workers', () => {
  test('of an absent row: the deletion waits and wins', async () => {
    await other.query("begin; insert into account_ref (id, name) values (1, 'in the way')");
    const saving = service.handle([save('five', { revision: 5 })]);
    await untilWaiting(1);
    const deleting = service.handle([remove({ revision: 6 })]);
    await untilWaiting(2);
    await other.query('rollback');
    expect(brief([...(await saving), ...(await deleting)])).toEqual(['create', 'delete']);
    expect([await live(), await tombs()]).toEqual([[], [6]]);
  });

  test('of an existing row: the deletion waits and wins', async () => {
    await service.handle([save('four', { revision: 4 })]);
    await other.query('begin; select 1 from account_ref for update');
    const saving = service.handle([save('five', { revision: 5 })]);
    await untilWaiting(1);
    const deleting = service.handle([remove({ revision: 6 })]);
    await untilWaiting(2);
    await other.query('rollback');
    expect(brief([...(await saving), ...(await deleting)])).toEqual(['update', 'delete']);
    expect([await live(), await tombs()]).toEqual([[], [6]]);
  });

  test('when the deletion is first: the older state waits, sees the tombstone and stays out', async () => {
    await service.handle([save('four', { revision: 4 })]);
    await other.query('begin; lock table cqrs_tombstones in share row exclusive mode');
    const deleting = service.handle([remove({ revision: 6 })]);
    await untilWaiting(1);
    const saving = service.handle([save('five', { revision: 5 })]);
    await untilWaiting(2);
    await other.query('rollback');
    expect(brief([...(await deleting), ...(await saving)])).toEqual(['delete', 'stale']);
    expect([await live(), await tombs()]).toEqual([[], [6]]);
  });

  test('when a new incarnation waits for the deletion of the old one: it begins', async () => {
    await service.handle([save('old')]);
    await other.query('begin; lock table cqrs_tombstones in share row exclusive mode');
    const deleting = service.handle([remove({ revision: 1 })]);
    await untilWaiting(1);
    const creating = service.handle([save('new', { incarnation: 2 })]);
    await untilWaiting(2);
    await other.query('rollback');
    expect(brief([...(await deleting), ...(await creating)])).toEqual(['delete', 'create']);
    expect(await live()).toEqual(['new 0']);
  });
});

describe('two SAVE workers on one row', () => {
  test.each([
    ['the newer first', ['six', 'five'], ['update', 'stale']],
    ['the older first', ['five', 'six'], ['update', 'update']],
  ])('%s: the newer state stays', async (_, [first, second], expected) => {
    const revisions: Record<string, number> = { five: 5, six: 6 };
    await service.handle([save('four', { revision: 4 })]);
    await other.query('begin; select 1 from account_ref for update');
    const one = service.handle([save(first!, { revision: revisions[first!] })]);
    await untilWaiting(1);
    const two = service.handle([save(second!, { revision: revisions[second!] })]);
    await untilWaiting(2);
    await other.query('rollback');
    expect(brief([...(await one), ...(await two)])).toEqual(expected);
    expect(await live()).toEqual(['six 6']);
  });

  test('of an absent row: the newer state stays', async () => {
    await other.query("begin; insert into account_ref (id, name) values (1, 'in the way')");
    const newer = service.handle([save('six', { revision: 6 })]);
    await untilWaiting(1);
    const older = service.handle([save('five', { revision: 5 })]);
    await untilWaiting(2);
    await other.query('rollback');
    await Promise.all([newer, older]);
    expect(await live()).toEqual(['six 6']);
  });

  // claims: re-creation
  test('two new incarnations at once: the later one stays', async () => {
    await service.handle([save('first')]);
    await other.query('begin; select 1 from account_ref for update');
    const later = service.handle([save('third', { incarnation: 3 })]);
    await untilWaiting(1);
    const earlier = service.handle([save('second', { incarnation: 2, revision: 9 })]);
    await untilWaiting(2);
    await other.query('rollback');
    await Promise.all([later, earlier]);
    expect(await live()).toEqual(['third 0']);
  });
});

// claims: row-order
test('history 9: hooks of one row wait for each other: nobody puts 5 over 6', async () => {
  const hooked: MessageOptions = { cqrsId: 'hooked' };
  await service.handle([save('four', { ...hooked, revision: 4 })]);
  await other.query('begin; select 1 from hooked_ref for update');
  const six = service.handle([save('six', { ...hooked, revision: 6 })]);
  await untilWaiting(1);
  const five = service.handle([save('five', { ...hooked, revision: 5 })]);
  await untilWaiting(2);
  await other.query('rollback');
  expect(brief([...(await six), ...(await five)])).toEqual(['update', 'stale']);
  expect(await live('hooked_ref')).toEqual(['six 6']);
});

test('hooks of other rows do not wait: a worker whose hook takes its time holds up nobody else', async () => {
  const hooked: MessageOptions = { cqrsId: 'hooked' };
  await service.handle([save('four', { ...hooked, revision: 4 })]);
  await other.query('begin; select 1 from hooked_ref for update');
  const slow = service.handle([save('five', { ...hooked, revision: 5 })]);
  await untilWaiting(1);
  // So many that some share a bucket with the first, whatever the buckets are.
  for (let from = 2; from < 2_000; from += 200) {
    const ids = Array.from({ length: 200 }, (_, index) => from + index);
    await service.handle(ids.map((id) => save('one', { ...hooked, revision: 1 }, id)));
  }
  expect(await live('hooked_ref')).toHaveLength(2_001);
  await other.query('rollback');
  expect(brief(await slow)).toEqual(['update']);
});

// claims: row-order
test('a worker of a release without the hook waits for the row, too: nobody puts 5 over 6', async () => {
  const former = await ReplicaService.start(database.url, [replica(FormerSchema, { id: 'hooked' })]);
  try {
    await service.handle([save('four', { cqrsId: 'hooked', revision: 4 })]);
    const entered = Promise.withResolvers<void>();
    const leave = Promise.withResolvers<void>();
    inHook = () => (entered.resolve(), leave.promise);
    const five = service.handle([save('five', { cqrsId: 'hooked', revision: 5 })]);
    await entered.promise;
    const six = former.handle([save('six', { cqrsId: 'hooked', revision: 6 })]);
    await untilWaiting(1);
    leave.resolve();
    expect(brief([...(await five), ...(await six)])).toEqual(['update', 'update']);
    expect(await live('hooked_ref')).toEqual(['six 6']);
  } finally {
    await former.stop();
  }
});

test('overlapping batches of several workers never wait in a circle', async () => {
  const keys = Array.from({ length: 120 }, (_, index) => index);
  const workers = Array.from({ length: 4 }, async (_, worker) => {
    for (let round = 0; round < 8; round++) {
      const revision = round * 4 + worker;
      const order = keys.toSorted(
        (a, b) => ((a * 7919 + worker * 104729 + round) % 101) - ((b * 7919 + worker * 104729 + round) % 101),
      );
      await service.handle(
        order.map((id) => save(`r${revision}`, { revision, signal: (id + worker) % 3 === 0 ? 'SYNC' : 'SAVE' }, id)),
      );
    }
  });
  await Promise.all(workers);
  expect(new Set(await live())).toEqual(new Set(['r31 31']));
});
