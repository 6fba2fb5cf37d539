import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from 'amqplib';
import { type CqrsEvents, Events } from '../../../src/kernel/events.js';
import { readLetter } from '../../../src/operations/dead-letters.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import type { Delivery } from '../../../src/messaging/transport/transport.js';
import { OwnRabbitMQ } from '../../faults/servers/own-rabbitmq.js';
import { uniqueName } from '../../support/broker.js';

let broker: OwnRabbitMQ;
beforeAll(async () => {
  broker = await OwnRabbitMQ.create({ management: true });
}, 120_000);
afterAll(() => broker?.[Symbol.asyncDispose]());

const optionsOf = (queue: string) => ({
  queue,
  deadLetterQueue: `dead_letter_${queue}`,
  unreadableQueue: `unreadable_${queue}`,
  cqrsIds: ['author'],
  prefetch: 10,
  deadLetterTtlMs: null,
});
const message = (body: string) => ({ route: { cqrsId: 'author', queue: null }, body });

async function join(events = new Events(), exchange = 'drops'): Promise<RabbitMQTransport> {
  const transport = new RabbitMQTransport({ url: broker.url, queueType: 'quorum' });
  await transport.connect({ events, exchange, publishTimeoutMs: 10_000 });
  return transport;
}

async function untilDead(transport: RabbitMQTransport, queue: string, count: number): Promise<void> {
  const inspect = () => transport.inspect(`dead_letter_${queue}`).catch(() => ({ messages: count }));
  while ((await inspect())!.messages < count);
}

// claims: dropped-kept
describe('what the broker itself takes out of a quorum queue', () => {
  test.each([
    ['delivery-limit', '{"delivery-limit":2}', 4],
    ['message-ttl', '{"message-ttl":100}', 0],
    ['max-length', '{"max-length":1,"overflow":"drop-head"}', 0],
  ])('by a policy, %s, is among its dead letters', async (name, policy, crashes) => {
    const queue = uniqueName(name);
    const transport = await join();
    const subscription = await transport.consume(optionsOf(queue), () => {});
    await subscription.cancel();
    await broker.ctl('set_policy', '--apply-to', 'queues', name, `^${queue}$`, policy);
    await transport.publish(['a', 'b', 'c'].map(message));
    for (let crash = 0; crash < crashes; crash++) {
      const worker = await join();
      const { promise: hasSome, resolve } = Promise.withResolvers<Delivery>();
      await worker.consume(optionsOf(queue), resolve);
      await Promise.race([hasSome, untilDead(transport, queue, 3)]);
      await worker.close();
    }
    await untilDead(transport, queue, name === 'max-length' ? 2 : 3);
    const letters = (await transport.openDeadLetters({ queue, deadLetterQueue: `dead_letter_${queue}` }))!;
    const taken = await letters.take(3);
    expect(taken.map((letter) => readLetter(letter).reason)).toEqual(taken.map(() => name));
    const bodies = taken.map(({ body }) => Buffer.from(body).toString());
    expect(bodies.toSorted()).toEqual(name === 'max-length' ? ['a', 'b'] : ['a', 'b', 'c']);
    await letters[Symbol.asyncDispose]();
    await transport.close();
    await broker.ctl('clear_policy', name);
  });
});

test('a queue of an earlier release goes on, and the policy that it lacks is printed', async () => {
  const queue = uniqueName('former');
  const model = await connect(broker.url);
  const channel = await model.createChannel();
  await channel.assertQueue(queue, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000 },
  });
  const events = new Events();
  const warned = events.next('cqrs.replica.warned');
  const transport = await join(events);
  const { promise: delivered, resolve } = Promise.withResolvers<Delivery>();
  await transport.consume(optionsOf(queue), resolve);
  const { cure } = await warned;
  await transport.publish([message('a')]);
  expect(Buffer.from((await delivered).body).toString()).toBe('a');
  await transport.close();

  const [, pattern, definition] = /'(\^[^']*\$)' '(\{.*\})'$/.exec(cure)!;
  await broker.ctl('set_policy', '--apply-to', 'queues', 'former', pattern!, definition!);
  await channel.prefetch(1);
  const { consumerTag } = await channel.consume(queue, (one) => one && channel.nack(one, false, false));
  const looker = await join();
  await untilDead(looker, queue, 1);
  await channel.cancel(consumerTag);
  await looker.close();
  await model.close();
});

// claims: lost-binding-told
describe('a binding that was removed beside another queue', () => {
  const start = async (events: Events, queue: string, exchange: string): Promise<RabbitMQTransport> => {
    const { url, managementUrl } = broker;
    const transport = new RabbitMQTransport({ url, managementUrl, verifySeconds: 0.2 });
    await transport.connect({ events, exchange, publishTimeoutMs: 10_000 });
    await transport.consume({ ...optionsOf(queue), cqrsIds: ['author', 'book'] }, (delivery) => void delivery.ack());
    return transport;
  };
  const unbind = async (queue: string, exchange: string): Promise<void> => {
    const model = await connect(broker.url);
    const channel = await model.createChannel();
    await channel.assertQueue('other');
    await channel.bindQueue('other', exchange, 'author');
    await channel.unbindQueue(queue, exchange, 'author');
    await model.close();
  };

  test.each(['while a worker listens', 'while none does'])('is told by its id, once: %s', async (when) => {
    const [queue, exchange] = [uniqueName('lost'), uniqueName('lost')];
    const events = new Events();
    const gaps: CqrsEvents['cqrs.inbox.gap'][] = [];
    const first = await start(events, queue, exchange);
    if (when === 'while none does') await first.close();
    events.on('cqrs.inbox.gap', (gap) => gaps.push(gap));
    await unbind(queue, exchange);
    const told = events.next('cqrs.inbox.gap');
    const second = when === 'while none does' ? await start(events, queue, exchange) : first;
    await told;
    // It is bound again: the next looks find nothing, and changes come.
    const results = await second.publish([message('x')]);
    expect(results).toEqual(['confirmed']);
    expect(gaps).toEqual([{ queue, missing: 'binding', cqrsIds: ['author'] }]);
    await second.close();
  });

  test('a management API that does not answer is told once, and the binding is made again all the same', async () => {
    const [queue, exchange] = [uniqueName('lost'), uniqueName('lost')];
    const events = new Events();
    const warnings: CqrsEvents['cqrs.replica.warned'][] = [];
    events.on('cqrs.replica.warned', (warning) => warnings.push(warning));
    const transport = new RabbitMQTransport({
      url: broker.url,
      managementUrl: 'http://127.0.0.1:1',
      verifySeconds: 0.2,
    });
    await transport.connect({ events, exchange, publishTimeoutMs: 10_000 });
    const { promise, resolve } = Promise.withResolvers<Delivery>();
    await transport.consume(optionsOf(queue), resolve);
    await unbind(queue, exchange);
    const sending = setInterval(() => void transport.publish([message('x')]), 100);
    await promise;
    clearInterval(sending);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.what).toMatch(/whether a binding was lost cannot be seen: .*ECONNREFUSED/);
    await transport.close();
  });
});
