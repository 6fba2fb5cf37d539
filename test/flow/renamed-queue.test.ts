import { afterEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Registry } from 'prom-client';
import { createAdmin } from '../../src/admin/admin.js';
import type { Consumer } from '../../src/messaging/inbox/consumer.js';
import {
  Cqrs,
  type CqrsOptions,
  masterClass,
  MasterEntity,
  reconcile,
  replicaClass,
  ReplicaEntity,
  retireQueue,
} from '../../src/index.js';
import { readStatus } from '../../src/operations/status.js';
import { registerMetrics } from '../../src/observability/metrics.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { AdminClient, byHeader } from '../admin/client.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase } from '../support/database.js';

/** A queue that gets another name and an exchange that does, as docs/operating.md has it. */

const ThingSchema = defineEntity({
  name: 'Thing',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.text() },
});
class Thing extends masterClass(ThingSchema) {
  static override CQRS_ID = 'thing';
}
ThingSchema.setClass(Thing);
const ThingRefSchema = defineEntity({
  name: 'ThingRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.text() },
});
class ThingRef extends replicaClass(ThingRefSchema) {
  static override CQRS_ID = 'thing';
}
ThingRefSchema.setClass(ThingRef);

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

const names = { exchange: '', queues: [] as string[] };

function begin(): void {
  names.exchange = uniqueName('renamed');
  names.queues = ['shop', 'shop_2'].map((name) => `${names.exchange}_${name}`);
  const all = names.queues.flatMap((name) => [name, `dead_letter_${name}`, `unreadable_${name}`]);
  const { exchange } = names;
  stack.defer(async () => {
    await deleteTopology(exchange, all);
    await deleteTopology(`${exchange}_2`, []);
  });
}

async function database(): Promise<string> {
  const made = await createDatabase();
  stack.defer(() => made.drop());
  return made.url;
}

async function open(url: string, entities: unknown[], settings: Partial<CqrsOptions>): Promise<Cqrs> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange: names.exchange,
    relay: { pollIntervalMs: 50 },
    ...settings,
  });
  const orm = await MikroORM.init({ clientUrl: url, entities: entities as never, extensions: [cqrs] });
  stack.defer(async () => {
    await cqrs.stop();
    await orm.close();
  });
  await orm.schema.update();
  return cqrs;
}

const write = (cqrs: Cqrs, from: number, to: number): Promise<unknown> =>
  cqrs.orm.em
    .fork()
    .insertMany(Thing, Array.from({ length: to - from + 1 }, (_, index) => ({ id: from + index, name: 'x' })) as never);
const waiting = async (cqrs: Cqrs, queue: string): Promise<number> =>
  (await cqrs.transport.inspect(queue))?.messages ?? 0;
const ids = async (cqrs: Cqrs): Promise<number[]> =>
  (await cqrs.orm.em.fork().findAll(ThingRef, { orderBy: { id: 'asc' } })).map(({ id }) => id);

async function start(consumer: Consumer): Promise<Consumer> {
  await consumer.start();
  stack.defer(() => consumer.stop());
  return consumer;
}

// claims: renamed-queue
test('a queue gets another name while changes go on: nothing is missed, and the old one is gone', async () => {
  begin();
  const [oldName, newName] = names.queues as [string, string];
  const master = await open(await database(), [Thing], {});
  await master.start();
  const shop = await database();
  const former = await open(shop, [ThingRef], { queue: oldName });
  const formerWorker = await start(former.createConsumer());
  await write(master, 1, 50);
  const writing = (async () => {
    for (let id = 51; id <= 150; id++) await write(master, id, id);
  })();

  // 1. The new one runs beside the old one.
  const present = await open(shop, [ThingRef], { queue: newName });
  await start(present.createConsumer());
  // 2. What is in the old queue was sent before the new one was there. Whatever comes from now on is in both.
  while ((await waiting(master, oldName)) > 0);
  await formerWorker.stop();
  await writing;
  await write(master, 151, 160);
  while ((await waiting(master, oldName)) < 10);
  // 3.
  await expect(retireQueue(master, oldName)).rejects.toThrow(/messages are in/);
  const { removed } = await retireQueue(master, oldName, { force: true });
  expect(removed.map(({ queue }) => queue)).toEqual([oldName, `dead_letter_${oldName}`, `unreadable_${oldName}`]);
  // 4.
  await write(master, 161, 161);
  while ((await ids(present)).length < 161);
  expect(await reconcile(master, { cqrsId: 'thing', queue: newName, settleSeconds: 0 })).toMatchObject({
    masterRows: 161,
    replicaRows: 161,
    missing: 0,
    extra: 0,
    stale: 0,
  });
  expect(await master.transport.inspect(oldName)).toBeUndefined();
  await master.recordActivity();
  expect(await readStatus(master)).toMatchObject({ state: 'healthy', reasons: [] });
});

// claims: unroutable-told
test('a master that moved to another exchange is degraded wherever one looks, until its replica follows', async () => {
  begin();
  const [queue] = names.queues as [string];
  const [bank, shop] = [await database(), await database()];
  const before = await open(bank, [Thing], {});
  await before.start();
  const replica = await open(shop, [ThingRef], { queue });
  const worker = await start(replica.createConsumer());
  await write(before, 1, 3);
  while ((await ids(replica)).length < 3);
  await before.stop();

  const relay = { pollIntervalMs: 50, unroutableWaitSeconds: 0 };
  const exchange = `${names.exchange}_2`;
  const moved = await open(bank, [Thing], { exchange, relay });
  await moved.start();
  await write(moved, 4, 130);
  while ((await moved.outboxState())!.depth > 0 || moved.health().reasons.length === 0);
  await moved.recordActivity();
  const reason = {
    code: 'unroutable',
    severity: 'degraded',
    where: 'queue',
    text: expect.stringContaining('none is bound for thing (127)'),
  };
  expect(moved.health({ roles: ['relay'] })).toMatchObject({ state: 'degraded', reasons: [reason] });
  // Another process sees it, too: a relay may have ended since.
  const status = await readStatus(await open(bank, [Thing], { exchange }));
  expect(status).toMatchObject({ state: 'degraded', reasons: [reason] });
  const register = new Registry();
  using _ = registerMetrics(moved, { register });
  const scraped = await register.metrics();
  expect(scraped).toContain('cqrs_health_state 1');
  expect(scraped).toContain('cqrs_health_reason{code="unroutable"} 1');
  const { verdict } = await new AdminClient(createAdmin(moved, { authorize: byHeader })).ask('overview');
  expect(verdict).toMatchObject({
    state: 'degraded',
    why: [{ where: 'queue', text: expect.stringContaining('thing (127)'), cure: expect.stringContaining('reconcile') }],
  });

  await worker.stop();
  const followed = await open(shop, [ThingRef], { queue, exchange });
  await start(followed.createConsumer());
  await write(moved, 131, 131);
  while ((await ids(followed)).length < 4);
  const report = await reconcile(moved, { cqrsId: 'thing', queue, settleSeconds: 0 });
  expect(report).toMatchObject({ missing: 127, repaired: 127 });
  expect(await ids(followed)).toHaveLength(131);
});
