import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { type Channel, type ChannelModel, connect, type ConsumeMessage } from 'amqplib';
import { masterClass, MasterEntity } from '../../../src/index.js';
import { readStatus } from '../../../src/operations/status.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { OwnRabbitMQ } from '../../faults/servers/own-rabbitmq.js';
import { uniqueName } from '../../support/broker.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const schemaOf = (name: string) =>
  defineEntity({ name, extends: MasterEntity, properties: { id: p.integer().primary(), name: p.text() } });
const ItemSchema = schemaOf('Item');
class Item extends masterClass(ItemSchema) {
  static override CQRS_ID = 'item';
}
ItemSchema.setClass(Item);
const OtherSchema = schemaOf('Other');
class Other extends masterClass(OtherSchema) {
  static override CQRS_ID = 'other';
}
OtherSchema.setClass(Other);

const LIMIT = 20_000;
let broker: OwnRabbitMQ;
let model: ChannelModel;
let channel: Channel;
beforeAll(async () => {
  broker = await OwnRabbitMQ.create();
  await broker.limitMessageSize(LIMIT);
  await broker.ctl('add_user', 'writer', 'secret-of-writer');
  await broker.ctl('set_permissions', 'writer', '.*', '.*', '.*');
  model = await connect(broker.url);
  channel = await model.createChannel();
}, 120_000);
afterAll(async () => {
  await model?.close().catch(() => {});
  await broker?.[Symbol.asyncDispose]();
});

let exchange: string;
let service: MasterService;
/** What the broker has delivered, by queue: `id name`. */
let received: Record<string, string[]>;
let arrived: () => void;

beforeEach(async () => {
  exchange = uniqueName('refused');
  received = {};
  arrived = () => {};
  await channel.assertExchange(exchange, 'topic', { durable: true });
});
afterEach(async () => {
  await service.cqrs.stop();
  await service[Symbol.asyncDispose]();
});

async function open(
  relay: { onRefused?: 'block-key' | 'set-aside'; batchSize?: number } = {},
  user = 'writer:secret-of-writer',
): Promise<void> {
  const url = broker.url.replace('guest:guest', user);
  service = await masterService([Item, Other], {
    settings: { transport: new RabbitMQTransport({ url }), exchange, relay: { pollIntervalMs: 50, ...relay } },
  });
}

async function bind(queue: string, keys: string[], args: Record<string, unknown> = {}): Promise<void> {
  const name = `${exchange}_${queue}`;
  await channel.assertQueue(name, { durable: true, arguments: args });
  for (const key of keys) await channel.bindQueue(name, exchange, key);
}

async function read(queue: string): Promise<void> {
  received[queue] = [];
  await channel.consume(`${exchange}_${queue}`, (message: ConsumeMessage | null) => {
    const { instance_data: data } = JSON.parse(message!.content.toString());
    received[queue]!.push(`${data.id} ${String(data.name).slice(0, 8)}`);
    channel.ack(message!);
    arrived();
  });
}

/** Resolves when a queue has given all of these, in any order. */
function until(queue: string, wanted: string[]): Promise<void> {
  return new Promise((resolve) => {
    arrived = () => wanted.every((one) => received[queue]!.includes(one)) && resolve();
    arrived();
  });
}

/** Resolves when the relay has nothing more to do but so many held messages. */
async function settled(held: number): Promise<void> {
  for (;;) {
    const state = (await service.cqrs.outboxState())!;
    if (state.depth === 0 && state.held === held) return;
  }
}

const em = () => service.orm.em.fork();
const row = (id: number, name = 'small') => ({ id, name });
const LONG = 'x'.repeat(LIMIT + 1);

describe('a body that the broker does not take', () => {
  // claims: refusal-isolated
  test('is named, with what the broker says; it and what follows of its row are held, and all others go on', async () => {
    await open();
    await bind('all', ['item', 'other']);
    await read('all');
    await em().insertMany(Item, [row(1), row(2, LONG), row(3), row(4, LONG), row(5)]);
    await em().nativeUpdate(Item, { id: 2 }, { name: 'later' });
    await em().insert(Other, row(1, 'other'));
    const named = service.cqrs.events.next('cqrs.relay.refused');
    const failures: unknown[] = [];
    service.cqrs.events.on('cqrs.relay.failed', (fields) => failures.push(fields));
    await service.cqrs.start();
    await until('all', ['1 small', '3 small', '5 small', '1 other']);
    expect(await named).toMatchObject({
      cqrsId: 'item',
      signalType: 'SAVE',
      instancePk: '2',
      passing: false,
      reason: expect.stringMatching(
        /'item' \(2\d{4} bytes\): PRECONDITION_FAILED - message size \d+ .*larger than .*20000/,
      ),
    });
    // What comes later has to wait, too.
    await em().nativeUpdate(Item, { id: 4 }, { name: 'later' });
    await em().nativeUpdate(Item, { id: 5 }, { name: 'later' });
    await until('all', ['5 later']);
    await settled(4);
    expect(await service.cqrs.refused.list()).toMatchObject([
      { cqrsId: 'item', key: '["2"]', behind: 1, attempts: expect.any(Number) },
      { cqrsId: 'item', key: '["4"]', behind: 1 },
    ]);
    expect(await service.cqrs.outboxState()).toMatchObject({ depth: 0, failed: 0, held: 4 });
    expect(failures).toEqual([]);
    const { state, reasons } = await readStatus(service.cqrs);
    expect(state).toBe('degraded');
    expect(reasons.map(({ code }) => code)).toEqual(['publish-refused']);
    expect(reasons[0]!.text).toMatch(/^4 messages are held.*item.*PRECONDITION_FAILED/);

    // Dropped, those behind it leave.
    expect(await service.cqrs.refused.drop({ cqrsId: 'item' })).toBe(2);
    await until('all', ['2 later', '4 later']);
    await settled(0);
    expect(await service.cqrs.outboxState()).toMatchObject({ held: 0, refusal: null });
  });

  test.each([
    [1, 2],
    [7, 3],
    [64, 5],
  ])('is found wherever it is: %i messages a batch, %i too long', async (batchSize, bad) => {
    await open({ batchSize });
    await bind('all', ['item']);
    await read('all');
    const ids = Array.from({ length: 60 }, (_, index) => index + 1);
    const isBad = (id: number): boolean => id % Math.ceil(60 / bad) === 1;
    await em().insertMany(
      Item,
      ids.map((id) => row(id, isBad(id) ? LONG : 'small')),
    );
    await service.cqrs.start();
    const good = ids.filter((id) => !isBad(id)).map((id) => `${id} small`);
    await until('all', good);
    await settled(ids.filter(isBad).length);
    const held = await service.cqrs.refused.list();
    expect(held.map(({ key }) => JSON.parse(key)[0])).toEqual(ids.filter(isBad).map(String));
  });
});

describe('a topic that may not be written', () => {
  beforeEach(async () => {
    await broker.ctl('set_topic_permissions', 'writer', exchange, '^(?!item).*', '.*');
  });
  afterEach(async () => {
    await broker.ctl('clear_topic_permissions', 'writer', exchange);
  });

  test.each(['block-key', 'set-aside'] as const)(
    '%s: it is held, others flow; once allowed it is sent',
    async (onRefused) => {
      await open({ onRefused });
      await bind('all', ['item', 'other']);
      await read('all');
      for (let id = 1; id <= 30; id++) {
        await em().insert(Item, row(id));
        await em().insert(Other, row(id, 'other'));
      }
      const refused: (number | null)[] = [];
      service.cqrs.events.on('cqrs.relay.refused', ({ retryInMs }) => refused.push(retryInMs));
      await service.cqrs.start();
      await until(
        'all',
        Array.from({ length: 30 }, (_, index) => `${index + 1} other`),
      );
      await settled(30);
      expect(await service.cqrs.outboxState()).toMatchObject({
        depth: 0,
        held: 30,
        refusal: { cqrsId: 'item', reason: expect.stringMatching(/ACCESS_REFUSED - (write )?access to topic 'item'/) },
      });
      for (const retryInMs of refused) {
        if (onRefused === 'set-aside') expect(retryInMs).toBeNull();
        else expect(retryInMs).toBeGreaterThan(3_000);
      }
      await broker.ctl('clear_topic_permissions', 'writer', exchange);
      await service.cqrs.refused.retry();
      await until(
        'all',
        Array.from({ length: 30 }, (_, index) => `${index + 1} small`),
      );
      expect(received['all']).toHaveLength(60);
    },
  );
});

// claims: refusal-isolated
test('a queue that is full holds up what is for it alone, and repeats little of it to others', async () => {
  await open();
  await bind('full', ['item'], { 'x-max-length': 2, 'x-overflow': 'reject-publish' });
  await bind('all', ['item', 'other']);
  await read('all');
  await service.cqrs.start();
  await em().insertMany(
    Item,
    Array.from({ length: 10 }, (_, index) => row(index + 1)),
  );
  await em().insert(Other, row(1, 'other'));
  await until('all', ['1 other', ...Array.from({ length: 10 }, (_, index) => `${index + 1} small`)]);
  await settled(8);
  expect((await service.cqrs.outboxState())!.refusal).toMatchObject({
    cqrsId: 'item',
    reason: expect.stringMatching(/full \(reject-publish\)/),
  });
  expect((await readStatus(service.cqrs)).reasons.map(({ code }) => code)).toEqual(['publish-refused']);
  // Read at last, it gets all of them without anybody's help.
  await read('full');
  await until(
    'full',
    Array.from({ length: 10 }, (_, index) => `${index + 1} small`),
  );
  await settled(0);
  expect(received['all']!.length).toBeLessThan(11 + 2 * 10);
});

test('without the right to the exchange nothing leaves, and it is not said that the broker is away', async () => {
  await open();
  await bind('all', ['item']);
  await read('all');
  await broker.ctl('set_permissions', 'writer', '.*', '^$', '.*');
  try {
    await service.cqrs.start();
    const failed = service.cqrs.events.next('cqrs.relay.failed', {
      matching: ({ error }) => /ACCESS/.test(error.message),
    });
    await em().insert(Item, row(1));
    expect((await failed).error.message).toMatch(/access to exchange .* refused/);
    const { reasons } = service.cqrs.health();
    expect(reasons.map(({ code }) => code)).toEqual(['publish-refused']);
  } finally {
    await broker.ctl('set_permissions', 'writer', '.*', '.*', '.*');
  }
  await until('all', ['1 small']);
});
