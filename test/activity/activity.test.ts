import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import { ConfigurationError } from '../../src/kernel/errors.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

let database: TestDatabase;
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  database = await createDatabase();
  const { orm } = await service();
  await orm.schema.create();
});
beforeEach(async () => {
  const { orm } = await service();
  await orm.em.getConnection().execute('truncate cqrs_activity, cqrs_outbox');
});
afterAll(async () => {
  for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
  await database.drop();
});

/** One process of the same service, as far as the database can tell. */
async function service(settings: Partial<CqrsOptions> = {}): Promise<{ cqrs: Cqrs; orm: MikroORM }> {
  const cqrs = new Cqrs({ transport: 'MemoryTransport', ...settings });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Account], extensions: [cqrs] });
  opened.push({
    [Symbol.asyncDispose]: async () => {
      await cqrs.stop();
      await orm.close();
    },
  });
  return { cqrs, orm };
}

test('a process says who it is and what it has counted, and goodbye', async () => {
  const { cqrs, orm } = await service();
  await cqrs.start();
  const published = cqrs.events.next('cqrs.relay.published');
  await orm.em.fork().insertMany(Account, [
    { id: 1, name: 'ada' },
    { id: 2, name: 'eve' },
  ]);
  await published;
  await cqrs.recordActivity();

  const { processes, history, entities } = await cqrs.activity();
  expect(processes).toHaveLength(1);
  expect(processes[0]).toMatchObject({
    state: 'running',
    roles: ['master', 'relay'],
    pid: process.pid,
    counters: { announced: 2, published: 2, unroutable: 2 },
    conditions: { brokerAwaySince: null, databaseAwaySince: null, blockedSince: null },
  });
  expect(history.reduce((sum, period) => sum + period.published, 0)).toBe(2);
  expect(history.at(-1)!.relayLagMs).toBeGreaterThanOrEqual(0);
  expect(entities['account']).toMatchObject({ announced: 2 });

  await cqrs.stop();
  const [gone] = (await cqrs.activity()).processes;
  expect(gone).toMatchObject({ state: 'stopped', counters: { announced: 2 } });
});

test('processes side by side keep their own rows; the history is of all together', async () => {
  const one = await service();
  const other = await service();
  for (const { cqrs } of [one, other]) {
    cqrs.joinAs('admin');
    cqrs.events.emit('cqrs.relay.published', { count: 10, lagMs: 5, durationMs: 1 });
    await cqrs.recordActivity();
  }
  const { processes, history } = await one.cqrs.activity();
  expect(processes.map(({ state, counters }) => [state, counters.published])).toEqual([
    ['running', 10],
    ['running', 10],
  ]);
  expect(history.reduce((sum, period) => sum + period.published, 0)).toBe(20);
  const days = await one.cqrs.activity({ seconds: 86_400, periodSeconds: 3_600 });
  expect(days.history.reduce((sum, period) => sum + period.published, 0)).toBe(20);
});

test('noteworthy events are kept as ids and reasons, those alike as samples with a count', async () => {
  const { cqrs } = await service();
  cqrs.joinAs('admin');
  const message = { queue: 'shop', cqrsId: 'account', signalType: 'SAVE', retries: 3 } as const;
  for (let pk = 0; pk < 10; pk++) {
    // \0 and half a surrogate pair are what jsonb refuses.
    const instancePk = `${pk}\0\ud800`;
    cqrs.events.emit('cqrs.inbox.dead-lettered', { ...message, instancePk, reason: 'mapping' });
  }
  cqrs.events.emit('cqrs.transport.blocked', { broker: 'host', reason: 'low on memory' });
  await cqrs.recordActivity();
  const { events, processes } = await cqrs.activity();
  expect(events.map(({ event, level, more }) => [event, level, more])).toEqual([
    ['cqrs.transport.blocked', 'warn', 0],
    ['cqrs.inbox.dead-lettered', 'error', 7],
    ['cqrs.inbox.dead-lettered', 'error', 0],
    ['cqrs.inbox.dead-lettered', 'error', 0],
  ]);
  expect(events[3]).toMatchObject({ cqrsId: 'account', reason: 'mapping', processId: processes[0]!.id });
  expect(processes[0]!.conditions).toMatchObject({ blockedReason: 'low on memory' });
  expect(processes[0]!.counters.deadLettered).toEqual({ mapping: 10 });
});

test('a process that was killed is lost, since it missed its writes', async () => {
  const { cqrs, orm } = await service();
  cqrs.joinAs('admin');
  await cqrs.recordActivity();
  await orm.em.getConnection().execute(`update cqrs_activity set at = at - interval '1 minute'`);
  expect((await cqrs.activity()).processes[0]!.state).toBe('lost');
});

test('one statement an interval, outside of transactions of the user', async () => {
  const { cqrs, orm } = await service({ activity: { intervalSeconds: 60 } });
  await cqrs.start();
  await cqrs.recordActivity();
  const writes = async (): Promise<number> => {
    const [row] = await orm.em
      .getConnection()
      .execute<{ n: string }[]>(`select xmin::text as n from cqrs_activity where kind = 'process'`);
    return Number(row!.n);
  };
  const before = await writes();
  for (let id = 10; id < 30; id++) await orm.em.fork().insert(Account, { id, name: 'n' });
  expect(await writes()).toBe(before);
});

test('a table that vanishes fails no work; it is said once, and what was counted is written later', async () => {
  const { cqrs, orm } = await service();
  await cqrs.start();
  await cqrs.recordActivity();
  const failures: unknown[] = [];
  cqrs.events.on('cqrs.activity.failed', (failure) => failures.push(failure));
  const sql = (text: string) => orm.em.getConnection().execute(text);
  await sql('alter table cqrs_activity rename to away');
  const published = cqrs.events.next('cqrs.relay.published');
  await orm.em.fork().insert(Account, { id: 40, name: 'ada' });
  await published;
  await cqrs.recordActivity();
  await cqrs.recordActivity();
  expect(failures).toHaveLength(1);
  await sql('alter table away rename to cqrs_activity');
  await cqrs.recordActivity();
  const { history, processes } = await cqrs.activity();
  expect(history.reduce((sum, period) => sum + period.published, 0)).toBe(1);
  expect(processes.find(({ state }) => state === 'running')!.conditions.databaseAwaySince).toBeNull();
});

test('a schema without the table is told at start; without activity there is none and nobody asks for it', async () => {
  const empty = await createDatabase();
  const open = async (settings: Partial<CqrsOptions>) => {
    const cqrs = new Cqrs({ transport: 'MemoryTransport', relay: { enabled: false }, ...settings });
    const orm = await MikroORM.init({ clientUrl: empty.url, entities: [Account], extensions: [cqrs] });
    return { cqrs, orm };
  };
  const without = await open({ activity: { enabled: false } });
  const withIt = await open({});
  try {
    await without.orm.schema.create();
    await without.cqrs.start();
    expect(await without.cqrs.activity()).toMatchObject({ enabled: false, processes: [] });
    await expect(withIt.cqrs.start()).rejects.toThrow(ConfigurationError);
    await expect(withIt.cqrs.start()).rejects.toThrow(
      /activity: its table "cqrs_activity" is not in the database\..*schema --additive/,
    );
    await withIt.orm.schema.update();
    await withIt.cqrs.start();
  } finally {
    for (const { cqrs, orm } of [without, withIt]) {
      await cqrs.stop();
      await orm.close();
    }
    await empty.drop();
  }
});
