import { afterEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import type { CqrsEvents } from '../../src/kernel/events.js';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { MemoryBroker, MemoryTransport } from '../../src/messaging/transport/memory.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import type { Transport } from '../../src/messaging/transport/transport.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** Replicas that messages have not reached, deletions among them: they are told so, and what they are told to do mends it. */

const properties = { id: p.integer().primary(), v: p.integer() };
const ASchema = defineEntity({ name: 'A', extends: MasterEntity, properties });
class A extends masterClass(ASchema) {
  static override CQRS_ID = 'a';
}
ASchema.setClass(A);
const BSchema = defineEntity({ name: 'B', extends: MasterEntity, properties });
class B extends masterClass(BSchema) {
  static override CQRS_ID = 'b';
}
BSchema.setClass(B);
const ARefSchema = defineEntity({ name: 'ARef', extends: ReplicaEntity, properties });
class ARef extends replicaClass(ARefSchema) {
  static override CQRS_ID = 'a';
}
ARefSchema.setClass(ARef);
const BRefSchema = defineEntity({ name: 'BRef', extends: ReplicaEntity, properties });
class BRef extends replicaClass(BRefSchema) {
  static override CQRS_ID = 'b';
}
BRefSchema.setClass(BRef);

type Gap = CqrsEvents['cqrs.inbox.gap'];
interface Service {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  readonly gaps: Gap[];
}

let exchange: string;
let databases: TestDatabase[] = [];
let queues: string[] = [];
let services: Service[] = [];

async function open(transport: Transport, database: TestDatabase, entities: unknown[], settings: Partial<CqrsOptions>) {
  const cqrs = new Cqrs({ transport, exchange, relay: { pollIntervalMs: 100 }, ...settings });
  const gaps: Gap[] = [];
  cqrs.events.on('cqrs.inbox.gap', (gap) => gaps.push(gap));
  const orm = await MikroORM.init({ clientUrl: database.url, entities: entities as never, extensions: [cqrs] });
  await orm.schema.update();
  const service = { orm, cqrs, gaps };
  services.push(service);
  return service;
}

async function close(service: Service): Promise<void> {
  await service.cqrs.stop();
  await service.orm.close(true);
}

/** A worker that runs until it has applied so many messages. */
async function work({ cqrs }: Service, messages: number): Promise<void> {
  let left = messages;
  const enough = Promise.withResolvers<void>();
  const off = cqrs.events.onAny((name) => {
    if (/^cqrs\.inbox\.(applied|skipped|dead-lettered)$/.test(name) && --left === 0) enough.resolve();
  });
  const consumer = cqrs.createConsumer();
  await consumer.start();
  if (messages > 0) await enough.promise;
  await consumer.stop();
  off();
}

afterEach(async () => {
  for (const service of services) await close(service).catch(() => {});
  await deleteTopology(
    exchange,
    queues.flatMap((name) => [name, `dead_letter_${name}`, `unreadable_${name}`]),
  );
  for (const database of databases) await database.drop();
  [services, databases, queues] = [[], [], []];
});

function begin(newTransport: () => Transport): { transport: () => Transport; queue: string } {
  exchange = uniqueName('gap');
  const queue = `${exchange}_replica`;
  queues.push(queue);
  return { transport: newTransport, queue };
}

const TRANSPORTS: Record<string, () => () => Transport> = {
  RabbitMQ: () => () => new RabbitMQTransport({ url: amqpUrl }),
  memory: () => {
    const broker = new MemoryBroker();
    return () => new MemoryTransport(broker);
  },
};

describe.each(Object.entries(TRANSPORTS))('%s', (_, make) => {
  test('an entity that joins a queue which others have used is told of, once', async () => {
    const { transport, queue } = begin(make());
    const database = await createDatabase();
    databases.push(database);
    const first = await open(transport(), database, [ARef], { queue });
    await work(first, 0);
    expect(first.gaps).toEqual([{ queue, missing: 'queue', cqrsIds: ['a'] }]);
    await close(first);

    const second = await open(transport(), database, [ARef, BRef], { queue });
    await work(second, 0);
    expect(second.gaps).toEqual([{ queue, missing: 'binding', cqrsIds: ['b'] }]);
    await close(second);

    const third = await open(transport(), database, [ARef, BRef], { queue });
    await work(third, 0);
    expect(third.gaps).toEqual([]);
  });

  test('a service that remembers nothing of its queue yet does not cry wolf', async () => {
    const { transport, queue } = begin(make());
    const database = await createDatabase();
    databases.push(database);
    const before = await open(transport(), database, [ARef, BRef], { queue });
    await work(before, 0);
    await before.orm.em.execute(`delete from cqrs_activity where kind = 'binding'`); // as a former release left it
    await close(before);
    const after = await open(transport(), database, [ARef, BRef], { queue });
    await work(after, 0);
    expect(after.gaps).toEqual([]);
  });
});

test('a renamed queue misses deletions: sync leaves the row, reconcile, which the log names, removes it', async () => {
  const { transport, queue } = begin(TRANSPORTS['RabbitMQ']!());
  const [bank, shop] = [await createDatabase(), await createDatabase()];
  databases.push(bank, shop);
  const master = await open(transport(), bank, [A, B], {});
  await master.cqrs.start();
  const old = await open(transport(), shop, [ARef], { queue });
  const consumer = old.cqrs.createConsumer();
  await consumer.start();
  const em = master.orm.em.fork();
  const arrived = new Promise<void>((resolve) => {
    let left = 3;
    old.cqrs.events.on('cqrs.inbox.applied', () => void (--left === 0 && resolve()));
  });
  await em.insertMany(A, [1, 2, 3].map((id) => ({ id, v: 0 })) as never);
  await arrived;
  await consumer.stop();
  await close(old);
  await em.nativeDelete(A, { id: 2 });

  const renamed = `${queue}_2`;
  queues.push(renamed);
  const now = await open(transport(), shop, [ARef], { queue: renamed });
  const worker = now.cqrs.createConsumer();
  await worker.start();
  expect(now.gaps).toEqual([{ queue: renamed, missing: 'queue', cqrsIds: ['a'] }]);
  const ids = async (): Promise<number[]> =>
    (await now.orm.em.execute<{ id: number }[]>('select id from aref order by id')).map(({ id }) => id);
  const synced = new Promise<void>((resolve) => {
    let left = 2;
    now.cqrs.events.onAny((name) => void (/^cqrs\.inbox\.(applied|skipped)$/.test(name) && --left === 0 && resolve()));
  });
  await master.cqrs.sync({ cqrsId: 'a', queue: renamed });
  await synced;
  expect(await ids()).toEqual([1, 2, 3]);
  const report = await reconcile(master.cqrs, { cqrsId: 'a', queue: renamed, settleSeconds: 0 });
  expect(report).toMatchObject({ extra: 1, repaired: 1 });
  expect(await ids()).toEqual([1, 3]);
  await worker.stop();
});
