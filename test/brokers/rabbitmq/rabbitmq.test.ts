import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { TransportError } from '../../../src/kernel/errors.js';
import { Events, type CqrsEventName } from '../../../src/kernel/events.js';
import { KombuTransport, RabbitMQTransport, type RabbitMQOptions } from '../../../src/brokers/rabbitmq/index.js';
import type {
  ConsumeOptions,
  Delivery,
  OutgoingMessage,
  Transport,
} from '../../../src/messaging/transport/transport.js';
import { amqpUrl, uniqueName } from '../../support/broker.js';
import { Proxy, Server } from './rabbitmq-server.js';

let server: Server;
let exchange: string;
let options: ConsumeOptions;
let transports: Transport[];

beforeEach(async () => {
  server = await Server.open();
  exchange = uniqueName('exchange');
  const queue = uniqueName('queue');
  options = {
    queue,
    deadLetterQueue: `dead_letter_${queue}`,
    unreadableQueue: `unreadable_${queue}`,
    cqrsIds: ['author'],
    prefetch: 100,
    deadLetterTtlMs: 864_000_000,
  };
  server.sweep({ exchange, queues: [queue, options.deadLetterQueue, options.unreadableQueue] });
  transports = [];
});

afterEach(async () => {
  await Promise.all(transports.map((transport) => transport.close()));
  await server[Symbol.asyncDispose]();
});

function make(given: RabbitMQOptions = {}): Transport {
  const transport = new RabbitMQTransport({ url: amqpUrl, ...given });
  transports.push(transport);
  return transport;
}

async function connect(transport: Transport, { publishTimeoutMs = 10_000 } = {}): Promise<Events> {
  const events = new Events();
  await transport.connect({ events, exchange, publishTimeoutMs });
  return events;
}

async function receive(
  transport: Transport,
  given: Partial<ConsumeOptions> = {},
): Promise<{ next(): Promise<Delivery> }> {
  const arrived: Delivery[] = [];
  let notify = (): void => {};
  await transport.consume({ ...options, ...given }, (delivery) => {
    arrived.push(delivery);
    notify();
  });
  return {
    async next() {
      while (arrived.length === 0) await new Promise<void>((resolve) => (notify = resolve));
      return arrived.shift()!;
    },
  };
}

const author = (body: string, headers?: OutgoingMessage['headers']): OutgoingMessage => ({
  route: { cqrsId: 'author', queue: null },
  body,
  headers,
});
const text = (delivery: Delivery): string => Buffer.from(delivery.body).toString();

describe('on the wire', () => {
  /** What Python sets, as it was recorded: every message of one of its transports carries the same. */
  function recorded(transport: string): object {
    const lines = readFileSync(new URL('../../golden/django-cqrs-messages.jsonl', import.meta.url), 'utf8')
      .trim()
      .split('\n');
    const records = lines.map(
      (line) => JSON.parse(line) as { transport: string; properties?: object; headers?: object },
    );
    const record = records.find((each) => each.transport === transport && each.properties);
    return { ...record!.properties, headers: record!.headers ?? {} };
  }

  /** A message's properties in the words of the records; what is absent is left out. */
  async function propertiesIn(queue: string): Promise<object> {
    const message = await server.channel.get(queue, { noAck: true });
    if (!message) throw new Error(`${queue} is empty`);
    const { contentType, deliveryMode, contentEncoding, priority, headers, expiration, ...others } = message.properties;
    expect(Object.values(others).filter((value) => value !== undefined)).toEqual([]);
    const all = {
      content_type: contentType,
      delivery_mode: deliveryMode,
      content_encoding: contentEncoding,
      priority,
      headers: { ...headers },
      expiration,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  test.each([
    ['RabbitMQTransport', () => new RabbitMQTransport({ url: amqpUrl })],
    ['KombuTransport', () => new KombuTransport({ url: amqpUrl })],
  ])('%s sends the properties of its namesake', async (name, makeTransport) => {
    const transport = makeTransport();
    transports.push(transport);
    await connect(transport);
    await (await transport.consume(options, () => {})).cancel();
    await transport.publish([author('{}')]);
    expect(await propertiesIn(options.queue)).toEqual(recorded(name));
  });

  test('a dead letter carries its time to live, as Python writes it', async () => {
    const transport = make();
    await connect(transport);
    const { next } = await receive(transport);
    await transport.publish([author('{}')]);
    await (await next()).deadLetter('{}');
    expect(await propertiesIn(options.deadLetterQueue)).toEqual({
      ...recorded('RabbitMQTransport'),
      expiration: '864000000',
    });
  });

  test('classic queues are declared as Python declares them: either side may come first', async () => {
    for (const queue of [options.queue, options.deadLetterQueue]) await server.channel.assertQueue(queue);
    await server.channel.assertExchange(exchange, 'topic');
    const transport = make();
    await connect(transport);
    await transport.consume(options, () => {});
    for (const queue of [options.queue, options.deadLetterQueue]) await server.channel.assertQueue(queue);
    await server.channel.assertExchange(exchange, 'topic');
  });

  test('a queue that exists as another kind is refused by name', async () => {
    await server.channel.assertQueue(options.queue);
    const transport = make({ queueType: 'quorum' });
    await connect(transport);
    const consuming = transport.consume(options, () => {});
    await expect(consuming).rejects.toThrow(TransportError);
    await expect(consuming).rejects.toThrow(
      new RegExp(`${options.queue}.*x-queue-type|x-queue-type.*${options.queue}`),
    );
  });

  test('an exchange that exists as another kind is refused when connecting', async () => {
    await server.channel.assertExchange(exchange, 'fanout');
    await expect(connect(make())).rejects.toThrow(new RegExp(`exchange '${exchange}'`));
  });

  test('a message put straight into the queue has no id, and still reaches every end', async () => {
    const transport = make();
    await connect(transport);
    const { next } = await receive(transport);
    server.channel.sendToQueue(options.queue, Buffer.from('a'));
    const first = await next();
    expect([first.cqrsId, first.direct]).toEqual([null, true]);
    await first.retry('b', 50);
    const second = await next();
    expect([text(second), second.cqrsId]).toEqual(['b', null]);
    await second.deadLetter('c');
    const dead = await server.channel.get(options.deadLetterQueue, { noAck: true });
    expect(dead && dead.content.toString()).toBe('c');
  });

  test('the id, the type and the time that others give a message stay with it at every end', async () => {
    const transport = make();
    await connect(transport);
    const { next } = await receive(transport);
    const known = {
      messageId: '0198c7a5-0000-7000-8000-000000000001',
      correlationId: 'c-1',
      type: 'order-placed',
      appId: 'shop',
      timestamp: 1_700_000_000,
    };
    const identityIn = async (queue: string): Promise<object> => {
      const message = await server.channel.get(queue, { noAck: true });
      if (!message) throw new Error(`${queue} is empty`);
      const { messageId, correlationId, type, appId, timestamp } = message.properties;
      return { messageId, correlationId, type, appId, timestamp };
    };
    server.channel.sendToQueue(options.queue, Buffer.from('a'), known);
    await (await next()).retry('b', 20);
    await (await next()).putOff(20);
    await (await next()).deadLetter('c');
    const letters = (await transport.openDeadLetters(options))!;
    const [letter] = await letters.take(1);
    await letter!.putBack('d');
    await letters[Symbol.asyncDispose]();
    await (await next()).deadLetter('e');
    expect(await identityIn(options.deadLetterQueue)).toEqual(known);
    server.channel.sendToQueue(options.queue, Buffer.from('f'), known);
    await (await next()).unreadable('not JSON');
    expect(await identityIn(options.unreadableQueue)).toEqual(known);
  });

  test('KombuTransport holds ten messages at most', async () => {
    const transport = new KombuTransport({ url: amqpUrl });
    transports.push(transport);
    await connect(transport);
    await transport.consume({ ...options, prefetch: 1_000 }, () => {});
    await transport.publish(Array.from({ length: 25 }, () => author('{}')));
    while ((await transport.inspect(options.queue))?.messages !== 15);
  });
});

describe('a connection that is lost', () => {
  // claims: recovers
  test('comes back, and so do the consumer and what was unsettled', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport);
    const { next } = await receive(transport);
    await transport.publish([author('a')]);
    const before = await next();

    const lost = events.next('cqrs.transport.disconnected');
    const back = events.next('cqrs.transport.connected');
    proxy.cut();
    expect((await lost).error).toBeInstanceOf(Error);
    await back;
    const again = await next();
    expect([text(again), again.redelivered]).toEqual(['a', true]);
    await before.ack();
    await before.deadLetter('not to be seen');
    await again.ack();

    expect(await transport.publish([author('b')])).toEqual(['confirmed']);
    expect(text(await next())).toBe('b');
    expect(await transport.inspect(options.deadLetterQueue)).toMatchObject({ messages: 0 });
  });

  test('in the middle of a set-up, it does not leave that hanging', async () => {
    await server.channel.assertQueue(options.queue);
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport);
    const back = events.next('cqrs.transport.connected');
    // The farewell of the channel that has looked for the queue is never answered.
    proxy.cutAt(20, 40);
    const failed = await transport
      .consume(options, () => {})
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    if (failed) expect(failed).toBeInstanceOf(TransportError);
    await back;
    const { next } = await receive(transport);
    await transport.publish([author('a')]);
    expect(text(await next())).toBe('a');
  });

  test('is told soon to whoever looks at a queue meanwhile, however long a publication may take', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport, { publishTimeoutMs: 3_600_000 });
    proxy.refuse(true);
    const lost = events.next('cqrs.transport.disconnected');
    proxy.cut();
    await lost;
    await expect(transport.inspect(options.queue)).rejects.toThrow(TransportError);
  });

  test('fails what is published meanwhile, and later takes it', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport, { publishTimeoutMs: 300 });
    await (await transport.consume(options, () => {})).cancel();
    proxy.refuse(true);
    const lost = events.next('cqrs.transport.disconnected');
    proxy.cut();
    await lost;
    expect(await transport.publish([author('a'), author('b')])).toEqual([
      { failed: expect.any(TransportError) },
      { failed: expect.any(TransportError) },
    ]);
    const back = events.next('cqrs.transport.connected');
    proxy.refuse(false);
    await back;
    expect(await transport.publish([author('c')])).toEqual(['confirmed']);
    // What had failed was not kept to be sent behind our back.
    expect(await transport.inspect(options.queue)).toMatchObject({ messages: 1 });
  });

  test('fails what was not confirmed yet', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    await connect(transport);
    await (await transport.consume(options, () => {})).cancel();
    proxy.hold();
    const publishing = transport.publish([author('a')]);
    proxy.cut();
    expect(await publishing).toEqual([{ failed: expect.any(TransportError) }]);
  });

  // claims: gap-announced
  test('declares everything again on a broker that came back empty, and says what was missed', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport);
    const { next } = await receive(transport);
    proxy.refuse(true);
    const lost = events.next('cqrs.transport.disconnected');
    proxy.cut();
    await lost;
    await server.channel.deleteQueue(options.queue);
    await server.channel.deleteQueue(options.deadLetterQueue);
    await server.channel.deleteExchange(exchange);
    const gap = events.next('cqrs.inbox.gap');
    proxy.refuse(false);
    expect(await gap).toEqual({ queue: options.queue, missing: 'queue', cqrsIds: ['author'] });
    expect(await transport.publish([author('a')])).toEqual(['confirmed']);
    await (await next()).deadLetter('dead');
    expect(await transport.inspect(options.deadLetterQueue)).toMatchObject({ messages: 1 });
  });

  test('moves on to the next host', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: [proxy.url, amqpUrl] });
    const events = await connect(transport);
    const back = events.next('cqrs.transport.connected');
    proxy.refuse(true);
    proxy.cut();
    const { broker } = await back;
    expect(amqpUrl).toContain(new URL(broker).host);
    expect(await transport.publish([author('a')])).toEqual(['unroutable']);
  });
});

describe('a broker that misbehaves', () => {
  // claims: gap-announced
  test('the queue deleted under a consumer is made again, with word of the gap', async () => {
    const transport = make();
    const events = await connect(transport);
    const { next } = await receive(transport);
    const [failed, gap] = [events.next('cqrs.inbox.failed'), events.next('cqrs.inbox.gap')];
    await server.channel.deleteQueue(options.queue);
    expect((await failed).error.message).toContain('deleted');
    expect(await gap).toMatchObject({ queue: options.queue, missing: 'queue' });
    expect(await transport.publish([author('a')])).toEqual(['confirmed']);
    expect(text(await next())).toBe('a');
  });

  // claims: gap-announced, topology-verified
  test('the exchange deleted under a consumer is made again with the bindings, with word of the gap', async () => {
    const transport = make({ verifySeconds: 0.1 });
    const events = await connect(transport);
    const { next } = await receive(transport);
    const gap = events.next('cqrs.inbox.gap');
    await server.channel.deleteExchange(exchange);
    expect(await gap).toEqual({ queue: options.queue, missing: 'binding', cqrsIds: ['author'] });
    expect(await transport.publish([author('a')])).toEqual(['confirmed']);
    expect(text(await next())).toBe('a');
  });

  // claims: topology-verified
  test('a binding removed under a consumer is made again, to all and to one', async () => {
    const transport = make({ verifySeconds: 0.1 });
    await connect(transport);
    const { next } = await receive(transport);
    for (const queue of [null, options.queue]) {
      const key = queue === null ? 'author' : `cqrs.${queue}.author`;
      const message = { route: { cqrsId: 'author', queue }, body: key };
      // The worker may be quicker than the first look.
      do await server.channel.unbindQueue(options.queue, exchange, key);
      while ((await transport.publish([message]))[0] !== 'unroutable');
      while ((await transport.publish([message]))[0] === 'unroutable') await new Promise(setImmediate);
      expect(text(await next())).toBe(key);
    }
  });

  test('the dead-letter queue and the unreadable queue deleted meanwhile are made again', async () => {
    const transport = make();
    await connect(transport);
    const { next } = await receive(transport);
    const ends = [(delivery: Delivery) => delivery.deadLetter('x'), (delivery: Delivery) => delivery.unreadable('x')];
    for (const round of ['first', 'second']) {
      await transport.publish([author(round), author(round)]);
      for (const end of ends) await end(await next());
      for (const queue of [options.deadLetterQueue, options.unreadableQueue]) {
        expect(await server.channel.deleteQueue(queue)).toEqual(expect.objectContaining({ messageCount: 1 }));
      }
    }
  });

  test('a waiting room deleted meanwhile is made again', async () => {
    const transport = make();
    await connect(transport);
    const { next } = await receive(transport);
    await transport.publish([author('a')]);
    await (await next()).retry('b', 50);
    const b = await next();
    await server.channel.deleteQueue(`${options.queue}.delay.50`);
    await b.retry('c', 50).catch((error: unknown) => {
      expect(error).toBeInstanceOf(TransportError);
      return b.retry('c', 50);
    });
    expect(text(await next())).toBe('c');
  });

  test('an exchange deleted meanwhile fails what is published, and is made again', async () => {
    const transport = make();
    await connect(transport);
    await server.channel.deleteExchange(exchange);
    expect(await transport.publish([author('a')])).toEqual([{ failed: expect.any(TransportError) }]);
    expect(await transport.publish([author('a')])).toEqual(['unroutable']);
  });

  test('a broker that does not answer fails the batch after its time', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    await connect(transport, { publishTimeoutMs: 300 });
    proxy.hold();
    const startedAt = performance.now();
    const results = await transport.publish([author('a'), author('b')]);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    for (const result of results) expect(result).toEqual({ failed: expect.any(TransportError) });
  });

  // claims: recovers
  test('a blocked broker is not written to until it lets go', async () => {
    await using proxy = await Proxy.open();
    const transport = make({ url: proxy.url });
    const events = await connect(transport);
    await (await transport.consume(options, () => {})).cancel();
    const blocked = events.next('cqrs.transport.blocked');
    proxy.announce('low on memory');
    expect((await blocked).reason).toBe('low on memory');
    let answered = false;
    const publishing = transport.publish([author('a')]).then((results) => ((answered = true), results));
    expect(await transport.inspect(options.queue)).toMatchObject({ messages: 0 });
    expect(answered).toBe(false);
    const unblocked = events.next('cqrs.transport.unblocked');
    proxy.announce();
    await unblocked;
    expect(await publishing).toEqual(['confirmed']);
  });
});

describe('a broker that refuses', () => {
  const { host } = new URL(amqpUrl);

  /** Everything a user could see of one attempt: the error with all it holds, and the events. */
  async function attempt(given: RabbitMQOptions): Promise<{ said: string; events: CqrsEventName[] }> {
    const events = new Events();
    const seen: unknown[] = [];
    const names: CqrsEventName[] = [];
    events.onAny((name, fields) => {
      names.push(name);
      seen.push(fields);
    });
    const transport = make(given);
    const connecting = transport.connect({ events, exchange, publishTimeoutMs: 5_000 });
    const error = await connecting.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TransportError);
    return { said: inspect([error, seen], { depth: 20, showHidden: true }), events: names };
  }

  test.each([
    ['a wrong password', { url: `amqp://someone:s3cret@${host}` }, 'refused the user or password'],
    ['an unknown vhost', { url: `${amqpUrl.replace(/\/$/, '')}/no_such_vhost` }, 'no such vhost'],
    ['a port where nobody listens', { url: 'amqp://someone:s3cret@127.0.0.1:1' }, 'ECONNREFUSED'],
    ['a name that does not exist', { url: 'amqp://someone:s3cret@no-such-host.invalid' }, 'cannot be reached'],
    ['every host in turn', { url: ['amqp://127.0.0.1:1', `amqp://someone:s3cret@${host}`] }, 'refused the user'],
  ])('%s: rejects soon, clearly, and without user or password', async (_, given, expected) => {
    const { said, events } = await attempt(given);
    expect(said).toContain(expected);
    expect(said).not.toMatch(/s3cret|someone/);
    expect(events).toEqual([]);
  });

  test('may be asked again', async () => {
    await using proxy = await Proxy.open();
    proxy.refuse(true);
    const transport = make({ url: proxy.url });
    await expect(connect(transport)).rejects.toThrow(TransportError);
    proxy.refuse(false);
    await connect(transport);
    expect(await transport.publish([author('a')])).toEqual(['unroutable']);
  });

  test('a host that accepts and says nothing is given up after the time', async () => {
    await using proxy = await Proxy.open();
    proxy.hold();
    await expect(connect(make({ url: proxy.url, connectTimeoutMs: 300 }))).rejects.toThrow('cannot be reached');
    await expect(connect(make({ url: proxy.url }), { publishTimeoutMs: 300 })).rejects.toThrow('longer than 300 ms');
  });
});
