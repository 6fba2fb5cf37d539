import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import type { Health } from '../../src/activity/verdict.js';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { Proxy } from '../faults/proxy.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const properties = { id: p.integer().primary().autoincrement(false), name: p.string() };
const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

let released: () => void = () => {};
const HeldSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties });
class AccountRef extends replicaClass(HeldSchema) {
  static override CQRS_ID = 'account';
  static override cqrsCreate(): Promise<never> {
    return new Promise((_, reject) => (released = () => reject(new Error('let go'))));
  }
}
HeldSchema.setClass(AccountRef);

/** Waits until the verdict has a reason, or has none; the test's own time limit ends it. */
async function until(cqrs: Cqrs, codes: readonly Health['reasons'][number]['code'][]): Promise<Health> {
  for (;;) {
    const health = cqrs.health({ roles: ['relay', 'worker'] });
    const found = new Set(health.reasons.map(({ code }) => code));
    if (codes.length === found.size && codes.every((code) => found.has(code))) return health;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('a process on real servers, seen through its own verdict', () => {
  let broker: Proxy;
  let databaseProxy: Proxy;
  let database: TestDatabase;
  let exchange: string;
  let cqrs: Cqrs;
  let orm: MikroORM;
  let stop: () => Promise<void>;

  beforeEach(async () => {
    database = await createDatabase();
    broker = await Proxy.before(amqpUrl);
    databaseProxy = await Proxy.before(database.url);
    exchange = uniqueName('health');
    cqrs = new Cqrs({
      transport: new RabbitMQTransport({ url: broker.through(amqpUrl) }),
      exchange,
      queue: exchange,
      activity: { intervalSeconds: 1 },
      health: { stuckSeconds: 1, backlogSeconds: 600 },
      relay: { pollIntervalMs: 100 },
    });
    orm = await MikroORM.init({
      clientUrl: databaseProxy.through(database.url),
      entities: [Account, AccountRef],
      extensions: [cqrs],
    });
    await orm.schema.create();
    const consumer = cqrs.createConsumer();
    stop = async () => {
      released();
      await consumer.stop();
      await cqrs.stop();
      await orm.close(true);
      await broker[Symbol.asyncDispose]();
      await databaseProxy[Symbol.asyncDispose]();
      await database.drop();
      await deleteTopology(exchange, [
        exchange,
        `dead_letter_${exchange}`,
        `unreadable_${exchange}`,
        `${exchange}.delay.2000`,
      ]);
    };
    expect(cqrs.health({ roles: ['relay', 'worker'] }).reasons.map(({ code }) => code)).toEqual([
      'not-started',
      'not-started',
    ]);
    await cqrs.start();
    await consumer.start();
    expect(await until(cqrs, [])).toEqual({ state: 'healthy', reasons: [] });
  }, 60_000);
  afterEach(() => stop(), 60_000);

  // claims: watching
  test('the broker goes away and comes back', async () => {
    broker.refuse();
    expect((await until(cqrs, ['broker-away'])).state).toBe('degraded');
    broker.heal();
    expect((await until(cqrs, [])).state).toBe('healthy');
  });

  // claims: watching
  test('the database goes away and comes back, though nothing is to be done', async () => {
    databaseProxy.refuse();
    const { state, reasons } = await until(cqrs, ['database-away']);
    expect([state, reasons[0]!.since === null]).toEqual(['degraded', false]);
    databaseProxy.heal();
    expect((await until(cqrs, [])).state).toBe('healthy');
  });

  // claims: watching
  test('a hook that never ends is a worker that is stuck: dead, until it ends', async () => {
    await orm.em.fork().insert(Account, { id: 1, name: 'ada' });
    const { state, reasons } = await until(cqrs, ['stuck']);
    expect([state, reasons[0]!.text]).toEqual(['dead', expect.stringMatching(/^the worker has not moved for \d+ s$/)]);
    const ended = Promise.race([cqrs.events.next('cqrs.inbox.retried'), cqrs.events.next('cqrs.inbox.dead-lettered')]);
    released();
    await ended;
    expect((await until(cqrs, [])).state).toBe('healthy');
  });

  test('what it knows stands in its row for others to read', async () => {
    broker.refuse();
    await until(cqrs, ['broker-away']);
    await cqrs.recordActivity();
    const { processes } = await cqrs.activity();
    expect(processes[0]).toMatchObject({
      roles: ['master', 'relay', 'worker'],
      reasons: [{ code: 'broker-away', severity: 'degraded' }],
      conditions: { brokerAwaySince: expect.any(String) },
    });
    broker.heal();
    await until(cqrs, []);
  });
});
