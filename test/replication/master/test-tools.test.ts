import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import {
  Cqrs,
  masterClass,
  MasterEntity,
  MemoryBroker,
  MemoryTransport,
  ReplicaEntity,
  replicaClass,
} from '../../../src/index.js';
import type { CqrsEvents } from '../../../src/kernel/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';

/** What test suites do between tests with MikroORM's schema generator works on masters and replicas, while they run. */

const AccountSchema = defineEntity({
  name: 'Account',
  tableName: 'account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['name'] as const;
}
AccountSchema.setClass(Account);

const AccountRefSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});
class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);

const NoteSchema = defineEntity({
  name: 'Note',
  tableName: 'note',
  properties: { id: p.integer().primary(), account: () => p.manyToOne(Account) },
});

let databases: TestDatabase[];
let master: { orm: MikroORM; cqrs: Cqrs };
let replica: { orm: MikroORM; cqrs: Cqrs };
let stop: () => Promise<void>;

beforeEach(async () => {
  const broker = new MemoryBroker();
  databases = [await createDatabase(), await createDatabase()];
  const open = async (url: string, entities: object[], queue?: string) => {
    const cqrs = new Cqrs({ transport: new MemoryTransport(broker), ...(queue ? { queue } : {}) });
    const orm = await MikroORM.init({ clientUrl: url, entities: entities as never, extensions: [cqrs] });
    await orm.schema.create();
    return { orm, cqrs };
  };
  master = await open(databases[0]!.url, [Account, NoteSchema]);
  replica = await open(databases[1]!.url, [AccountRef], 'shop');
  const consumer = replica.cqrs.createConsumer();
  await consumer.start();
  await master.cqrs.start();
  stop = async () => {
    await consumer.stop();
    await Promise.all([master.cqrs.stop(), replica.cqrs.stop()]);
    await Promise.all([master.orm.close(), replica.orm.close()]);
  };
});
afterEach(async () => {
  await stop();
  for (const database of databases) await database.drop();
});

/** One row goes the whole way, with the key that every test uses. */
async function replicates(name: string): Promise<void> {
  const applied = replica.cqrs.events.next('cqrs.inbox.applied');
  const em = master.orm.em.fork();
  em.create(Account, { id: 1, name });
  await em.flush();
  await applied;
  expect(await replica.orm.em.fork().findOneOrFail(AccountRef, 1)).toMatchObject({ name, cqrsRevision: 0 });
}

async function count(table: string): Promise<number> {
  const [row] = await master.orm.em.fork().getConnection().execute(`select count(*)::int as n from ${table}`);
  return (row as { n: number }).n;
}

const TOOLS: Readonly<Record<string, (orm: MikroORM) => Promise<unknown>>> = {
  'schema.clear()': (orm) => orm.schema.clear(),
  'schema.clear({ truncate: false })': (orm) => orm.schema.clear({ truncate: false }),
  'schema.refresh()': (orm) => orm.schema.refresh(),
  'schema.drop() and create()': async (orm) => {
    await orm.schema.drop();
    await orm.schema.create();
  },
  'schema.ensureDatabase({ clear: true })': (orm) => orm.schema.ensureDatabase({ clear: true, forceCheck: true }),
};

describe.each(Object.keys(TOOLS))('%s', (name) => {
  test('empties masters and outbox together', async () => {
    await master.cqrs.stop(); // what is written now waits
    const em = master.orm.em.fork();
    await em.transactional(async () => {
      await em.insert(Account, { id: 2, name: 'waiting' });
      await em.insert(NoteSchema, { id: 1, account: 2 });
    });
    expect(await count('cqrs_outbox')).toBe(1);
    await TOOLS[name]!(master.orm);
    expect([await count('account'), await count('note'), await count('cqrs_outbox')]).toEqual([0, 0, 0]);
  }, 20_000);

  test('while both services run, and the same key is replicated anew', async () => {
    await replicates('first');
    await TOOLS[name]!(master.orm);
    await TOOLS[name]!(replica.orm);
    expect([await count('account'), await replica.orm.em.fork().count(AccountRef)]).toEqual([0, 0]);
    await replicates('second');
  }, 20_000);
});

test('what schema.clear() removed is told, once, and announced to nobody', async () => {
  await replicates('first');
  const told: CqrsEvents['cqrs.master.uncaptured'][] = [];
  master.cqrs.events.on('cqrs.master.uncaptured', (fields) => void told.push(fields));
  await master.orm.schema.clear();
  expect(told).toEqual([
    {
      entity: 'Account',
      reason: 'orm.schema.clear() emptied all tables, the outbox too, and replicas are not told',
      cure: 'In tests clear the replicas as well. Elsewhere use nativeDelete().',
    },
  ]);
  await master.cqrs.withoutReplication(() => master.orm.schema.clear());
  expect(told).toHaveLength(1);
});

test('TRUNCATE of one master by a query builder stays refused, and changes nothing', async () => {
  await replicates('first');
  await expect(master.orm.em.fork().qb(Account).truncate().execute()).rejects.toThrow(
    'TRUNCATE does not say which rows',
  );
  expect(await count('account')).toBe(1);
});
