import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type CqrsEvents, Events } from '../../../src/kernel/events.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import type { Delivery } from '../../../src/messaging/transport/transport.js';
import { OwnRabbitMQ } from '../../faults/servers/own-rabbitmq.js';
import { uniqueName } from '../../support/broker.js';

/** Users that have the rights of the table in docs/operating.md, and no more. */

interface Rights {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}
const NONE: Rights = { configure: '', write: '', read: '' };

let broker: OwnRabbitMQ;
let administrator: RabbitMQTransport;
beforeAll(async () => {
  broker = await OwnRabbitMQ.create({ management: true });
}, 120_000);
afterAll(() => broker?.[Symbol.asyncDispose]());

let shop: string;
let exchange: string;
beforeEach(async () => {
  shop = uniqueName('shop');
  exchange = `${shop}_exchange`;
  administrator = new RabbitMQTransport({ url: broker.url });
  await connect(administrator);
  const subscription = await administrator.consume(optionsOf(), () => {});
  await subscription.cancel();
});

const optionsOf = () => ({
  queue: shop,
  deadLetterQueue: `dead_letter_${shop}`,
  unreadableQueue: `unreadable_${shop}`,
  cqrsIds: ['author'],
  prefetch: 10,
  deadLetterTtlMs: null,
});
const deadLetters = () => ({ queue: shop, deadLetterQueue: `dead_letter_${shop}` });
const message = (body: string, queue: string | null = null) => ({ route: { cqrsId: 'author', queue }, body });

const connect = (transport: RabbitMQTransport, events = new Events()): Promise<void> =>
  transport.connect({ events, exchange, publishTimeoutMs: 10_000 });

/** @param rights in which `shop` and `cqrs` stand for the names of this test */
async function asUser(rights: Rights, events = new Events()): Promise<RabbitMQTransport> {
  const named = Object.entries(rights).map(([right, pattern]: [string, string]) => {
    const own = pattern.replaceAll('shop', shop).replaceAll('cqrs', exchange);
    return [right, own === '' ? '' : `^(${own})$`];
  });
  await broker.manage('PUT', 'users/least', { password: 'least', tags: '' });
  await broker.manage('PUT', 'permissions/%2F/least', Object.fromEntries(named) as Rights);
  const transport = new RabbitMQTransport({ url: broker.url.replace('guest:guest', 'least:least') });
  await connect(transport, events);
  return transport;
}

/** The next message, in the hands of a worker. */
async function next(transport: RabbitMQTransport): Promise<Delivery> {
  const { promise, resolve } = Promise.withResolvers<Delivery>();
  await transport.consume(optionsOf(), resolve);
  return promise;
}

async function letters(transport: RabbitMQTransport, count: number) {
  while ((await transport.inspect(`dead_letter_${shop}`))!.messages < count);
  const opened = (await transport.openDeadLetters(deadLetters()))!;
  return { opened, taken: await opened.take(count) };
}

const WORKER: Rights = {
  configure: 'cqrs|shop|dead_letter_shop|unreadable_shop|shop\\.delay\\.[0-9]+|shop\\.questions',
  write: 'cqrs|shop|dead_letter_shop|unreadable_shop|shop\\.delay\\.[0-9]+|amq\\.default',
  read: 'cqrs|shop|shop\\.delay\\.[0-9]+|shop\\.questions',
};

interface Row {
  readonly command: string;
  readonly rights: Rights;
  /** Does what the command does; rejects or answers false when it cannot. */
  does(transport: RabbitMQTransport): Promise<unknown>;
  /** Needed: without it, it cannot. */
  readonly not?: keyof Rights;
}

const ROWS: readonly Row[] = [
  {
    command: 'relay, and a service with masters',
    rights: { ...NONE, write: 'cqrs' },
    not: 'write',
    does: async (transport) => (await transport.publish([message('{}')]))[0] === 'confirmed',
  },
  {
    command: 'status',
    rights: NONE,
    does: async (transport) => (await transport.inspect(shop))!.messages === 0,
  },
  {
    command: 'consume, of what exists: applies',
    rights: { ...NONE, read: 'shop' },
    not: 'read',
    async does(transport) {
      await administrator.publish([message('a')]);
      const delivery = await next(transport);
      await delivery.ack();
      return Buffer.from(delivery.body).toString() === 'a';
    },
  },
  {
    command: 'consume: retries',
    rights: WORKER,
    not: 'configure',
    async does(transport) {
      await administrator.publish([message('a')]);
      await (await next(transport)).retry('b', 60_000);
      return (await administrator.inspect(`${shop}.delay.60000`))?.messages === 1;
    },
  },
  {
    command: 'consume: dead letters and unreadable bodies',
    rights: { configure: '', write: 'cqrs|amq\\.default', read: 'shop' },
    not: 'write',
    async does(transport) {
      await administrator.publish([message('a')]);
      const delivery = await next(transport);
      await delivery.deadLetter('b');
      return (await letters(administrator, 1)).taken.length === 1;
    },
  },
  {
    command: 'consume: makes everything and answers questions',
    rights: WORKER,
    not: 'configure',
    async does(transport) {
      for (const name of [`dead_letter_${shop}`, `unreadable_${shop}`, shop]) await administrator.removeQueue(name);
      await transport.consume(optionsOf(), () => {});
      await transport.answer(shop, async () => '"yes"');
      const answer = await administrator.ask(shop, '"well?"', { timeoutMs: 10_000 });
      return Buffer.from(answer).toString() === '"yes"';
    },
  },
  {
    command: 'reconcile asks',
    rights: { ...NONE, write: 'cqrs|amq\\.default' },
    not: 'write',
    async does(transport) {
      await administrator.answer(shop, async () => '"yes"');
      await transport.ask(shop, '"well?"', { timeoutMs: 2_000 });
    },
  },
  {
    command: 'dead-letters list, show, dump, purge',
    rights: { ...NONE, read: 'dead_letter_shop' },
    not: 'read',
    async does(transport) {
      await administrator.publish([message('a', `dead_letter_${shop}`)]);
      const { opened, taken } = await letters(transport, 1);
      await opened[Symbol.asyncDispose]();
      return taken.length === 1;
    },
  },
  {
    command: 'dead-letters retry',
    rights: { ...NONE, write: 'cqrs', read: 'dead_letter_shop' },
    not: 'write',
    async does(transport) {
      await administrator.publish([message('a', `dead_letter_${shop}`)]);
      const { opened, taken } = await letters(transport, 1);
      await taken[0]!.putBack('b');
      await opened[Symbol.asyncDispose]();
      return (await administrator.inspect(shop))!.messages === 1;
    },
  },
  {
    command: 'retire',
    rights: { ...NONE, configure: 'shop|dead_letter_shop|unreadable_shop' },
    not: 'configure',
    does: (transport) => transport.removeQueue(shop),
  },
];

// claims: least-rights
describe('the rights that each command needs', () => {
  test.each(ROWS)('$command', async ({ rights, does, not }) => {
    if (not) {
      const without = await asUser({ ...rights, [not]: '' });
      const done = await does(without).catch(() => false);
      expect(done).toBe(false);
      await without.close();
      await administrator.close();
      await connect(administrator);
    }
    const transport = await asUser(rights);
    expect(await does(transport)).not.toBe(false);
    await transport.close();
    await administrator.close();
  });
});

// claims: least-rights
test('a worker that may only read is told once what it cannot make, and a message that it cannot move holds up itself alone', async () => {
  const events = new Events();
  const told: CqrsEvents['cqrs.replica.warned'][] = [];
  events.on('cqrs.replica.warned', (warning) => told.push(warning));
  const transport = await asUser({ ...NONE, read: 'shop' }, events);
  await administrator.publish(['a', 'b'].map((body) => message(body)));
  const deliveries: Delivery[] = [];
  const { promise: both, resolve } = Promise.withResolvers<void>();
  await transport.consume(optionsOf(), (delivery) => {
    if (deliveries.push(delivery) === 2) resolve();
  });
  await both;
  expect(told).toHaveLength(1);
  expect(told[0]!.what).toMatch(/bindings, dead_letter_\S+, \S+, unreadable_/);
  await expect(deliveries[0]!.retry('a', 5_000)).rejects.toThrow(/takes no message: .*ACCESS_REFUSED/);
  await expect(deliveries[0]!.deadLetter('a')).rejects.toMatchObject({ code: 'message-refused' });
  await deliveries[1]!.ack();
  await transport.close();
  expect((await administrator.inspect(shop))!.messages).toBe(1);
  await administrator.close();
});

test('an exchange that is not there is not taken for one that may not be made', async () => {
  await administrator.close();
  exchange = 'nowhere';
  await expect(asUser(NONE)).rejects.toThrow(/ACCESS_REFUSED/);
});
