import { expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { EventLog } from '../messaging/inbox/harness.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase } from '../support/database.js';

const properties = { id: p.integer().primary().autoincrement(false), name: p.string() };
const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const RefSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties });
class AccountRef extends replicaClass(RefSchema) {
  static override CQRS_ID = 'account';
  static override async cqrsCreate(): Promise<never> {
    throw new Error('never works');
  }
}
RefSchema.setClass(AccountRef);

// claims: dead-letters-announced
test('a dead letter is announced before the broker drops it, once, and then it is gone', async () => {
  const database = await createDatabase();
  const queue = uniqueName('expiring');
  const dead = `dead_letter_${queue}`;
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange: queue,
    queue,
    activity: { intervalSeconds: 1 },
    relay: { pollIntervalMs: 100 },
    replica: { maxRetries: 0, deadLetterTtlSeconds: 40, deadLetterWarningSeconds: 86_400 },
  });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Account, AccountRef], extensions: [cqrs] });
  await orm.schema.create();
  const log = new EventLog(cqrs.events);
  await cqrs.start();
  await using consumer = cqrs.createConsumer();
  await consumer.start();
  try {
    await orm.em.fork().insertMany(Account, [
      { id: 1, name: 'a' },
      { id: 2, name: 'b' },
    ]);
    await log.until('cqrs.inbox.dead-lettered', 2);
    const [warning] = await log.until('cqrs.inbox.dead-letters-expiring');
    expect(warning).toMatchObject({ queue: dead, count: 2 });
    // Half of its life is over at most, and all of it is not.
    expect(warning!.firstInSeconds).toBeGreaterThan(0);
    expect(warning!.firstInSeconds).toBeLessThanOrEqual(20);
    expect((await cqrs.transport.inspect(dead))?.messages).toBe(2);
    // What the status and the admin page say of it.
    expect((await cqrs.activity()).expiring).toMatchObject({ [queue]: { count: 2 } });
    while ((await cqrs.transport.inspect(dead))!.messages > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(log.of('cqrs.inbox.dead-letters-expiring')).toHaveLength(1);
  } finally {
    await consumer.stop();
    await cqrs.stop();
    await orm.close();
    await database.drop();
    await deleteTopology(queue, [queue, dead, `unreadable_${queue}`]);
  }
}, 120_000);
