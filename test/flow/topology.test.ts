import { afterEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { connect } from 'amqplib';
import { masterClass, MasterEntity, reconcile, replicaClass, retireQueue, ReplicaEntity } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { readStatus } from '../../src/operations/status.js';
import { amqpUrl } from '../support/broker.js';
import { type TwoServices, twoServices } from '../support/two-services.js';

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

let services: TwoServices;
afterEach(async () => services[Symbol.asyncDispose]());

const write = (from: number, to: number) =>
  services.master.orm.em.fork().insertMany(
    Thing,
    Array.from({ length: to - from + 1 }, (_, index) => ({ id: from + index, name: 'x' })),
  );
const rows = () => services.replica.orm.em.fork().count(ThingRef);

/** An operator's hand at the broker. */
async function meddle(how: 'exchange' | 'queue' | 'binding' | 'binding beside another queue'): Promise<void> {
  const { exchange, queue } = services;
  const model = await connect(amqpUrl);
  const channel = await model.createChannel();
  if (how === 'exchange') await channel.deleteExchange(exchange);
  else if (how === 'queue') await channel.deleteQueue(queue);
  else {
    if (how !== 'binding') {
      const other = await channel.assertQueue('', { autoDelete: true, expires: 60_000 });
      await channel.bindQueue(other.queue, exchange, 'thing');
    }
    await channel.unbindQueue(queue, exchange, 'thing');
  }
  await model.close();
}

const open = async (verifySeconds: number): Promise<void> => {
  services = await twoServices({
    masters: [Thing],
    replicas: [ThingRef],
    replicaSettings: { transport: new RabbitMQTransport({ url: amqpUrl, verifySeconds }) },
  });
};

// claims: topology-verified, unroutable-waits
describe('what is removed while both run', () => {
  test.each(['exchange', 'queue', 'binding'] as const)(
    'the %s is removed while both run: nothing is lost',
    async (how) => {
      await open(1);
      await write(1, 3);
      await services.ended(3);
      await meddle(how);
      await write(4, 9);
      await services.ended(9);
      expect(await rows()).toBe(9);
      await write(10, 10);
      await services.ended(10);
      expect(await services.master.cqrs.outboxState()).toMatchObject({ failed: 0 });
    },
  );
});

// claims: unroutable-waits
test('retiring the last replica ends the wait; while it is at work it is refused', async () => {
  await open(30);
  await write(1, 3);
  await services.ended(3);
  const { cqrs } = services.master;
  await expect(retireQueue(cqrs, services.queue)).rejects.toThrow(/workers still consume/);
  await services.stopConsumer();
  await write(4, 5);
  while ((await cqrs.transport.inspect(services.queue))!.messages < 2);
  await expect(retireQueue(cqrs, services.queue)).rejects.toThrow(/2 messages are in/);
  await meddle('queue');
  await write(6, 6);
  while ((await cqrs.outboxState())!.held < 1);
  const told = cqrs.events.next('cqrs.relay.unroutable');
  await retireQueue(cqrs, services.queue, { force: true });
  expect(await told).toMatchObject({ cqrsId: 'thing', queue: null });
  while ((await cqrs.outboxState())!.held > 0);
  await cqrs.recordActivity();
  const { reasons } = await readStatus(cqrs);
  // It wrote for nobody; a replica that comes back has to be told.
  expect(reasons).toMatchObject([{ code: 'unroutable', text: expect.stringContaining('thing (1)') }]);
  expect(await cqrs.transport.inspect(`dead_letter_${services.queue}`)).toBeUndefined();
});

test('a binding removed while another queue hears: what was missed is found and repaired by a reconcile', async () => {
  await open(1);
  await write(1, 3);
  await services.ended(3);
  await meddle('binding beside another queue');
  await write(4, 9);
  // The worker hears again.
  for (let id = 100; (await rows()) <= 3; id++) await write(id, id);
  const report = await reconcile(services.master.cqrs, { cqrsId: 'thing', queue: services.queue, settleSeconds: 0 });
  expect(report.missing).toBeGreaterThanOrEqual(6);
  expect(report).toMatchObject({ unrepaired: 0 });
  expect(await rows()).toBe(await services.master.orm.em.fork().count(Thing));
});
