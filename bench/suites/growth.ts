import { defineEntity, type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, ReplicaEntity, replicaClass } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker, type QueueType } from '../harness/broker.ts';
import { drain } from '../harness/drain.ts';
import { fillOutbox } from '../harness/outbox-backlog.ts';
import { openRawReader } from '../harness/raw-reader.ts';
import { openReader } from '../harness/replica-services.ts';
import { relayAll } from '../harness/relay.ts';
import { type Bench, inTurns, type Suite } from '../harness/suite.ts';
import { copyProperties, ProductCopy } from '../product-copies.ts';
import { rowsOf } from '../rows.ts';
import { Product } from '../products.ts';

/** What a message costs when there is more of everything: ours is the cost at the large end, the twin at the small. */
export const growth: Suite = {
  rows: rowsOf(
    'grow-outbox',
    'grow-queue-classic',
    'grow-queue-classic-raw',
    'grow-queue-quorum',
    'grow-queue-quorum-raw',
    'grow-entities',
    'grow-bodies',
  ),
  async run(bench) {
    if (bench.wants('grow-outbox')) await growOutbox(bench);
    for (const type of ['classic', 'quorum'] as const) await growQueue(bench, type);
    if (bench.wants('grow-entities')) await growEntities(bench);
    if (bench.wants('grow-bodies')) await growBodies(bench);
  },
};

const SAMPLE = 10_000;
const costPerMessage = (rate: number): number => 1_000_000 / rate;

/** The first ten thousand of a small and of a large outbox. */
async function growOutbox(bench: Bench): Promise<void> {
  const large = bench.size(1_000_000, 100_000);
  await using broker = await BenchBroker.open();
  const queue = await broker.queue('relayed');
  const outboxes = await Promise.all([SAMPLE, large].map((size) => openOutbox(broker.exchange, size)));
  try {
    for (let round = -1; round < Math.min(3, bench.rounds); round++) {
      const [small, big] = await inTurns(
        round + 1,
        outboxes.map((outbox) => () => outbox.relay()),
      );
      await broker.purge(queue);
      if (round >= 0) bench.record('grow-outbox', { ours: costPerMessage(big!), twin: costPerMessage(small!) });
    }
  } finally {
    for (const outbox of outboxes) await outbox.close();
  }
}

async function openOutbox(exchange: string, size: number) {
  const database = await createDatabase();
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Product], extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.connect();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await fillOutbox(client, size);
  return {
    async relay(): Promise<number> {
      const { rows } = await client.query<{ count: string }>('select count(*) from cqrs_outbox');
      if (Number(rows[0]!.count) < SAMPLE) await fillOutbox(client, size);
      return relayAll(cqrs, SAMPLE);
    },
    async close(): Promise<void> {
      await client.end();
      await cqrs.stop();
      await orm.close();
      await database.drop();
    },
  };
}

/**
 * The first messages of a short and of a long queue: ours, and the leanest consumer, whose growth is the broker's alone.
 * Both read from the same queues, in turns.
 */
async function growQueue(bench: Bench, type: QueueType): Promise<void> {
  const names = { ours: `grow-queue-${type}`, raw: `grow-queue-${type}-raw` };
  if (!bench.wants(...Object.values(names))) return;
  const large = bench.size(1_000_000, 50_000);
  await using short = await openQueue(type);
  await using long = await openQueue(type);
  await long.broker.fill(bodies(large, 0));
  for (let round = 0; round < Math.min(3, bench.rounds); round++) {
    await short.broker.purge(short.queue);
    await short.broker.fill(bodies(3 * SAMPLE, 0));
    await Promise.all([short, long].flatMap(({ readers }) => readers.map((reader) => reader.clear())));
    const [few, many, rawFew, rawMany] = await inTurns(round, [
      () => short.readers[0].drain(SAMPLE),
      () => long.readers[0].drain(SAMPLE),
      () => short.readers[1].drain(SAMPLE),
      () => long.readers[1].drain(SAMPLE),
    ]);
    bench.record(names.ours, { ours: costPerMessage(many!), twin: costPerMessage(few!) });
    bench.record(names.raw, { ours: costPerMessage(rawMany!), twin: costPerMessage(rawFew!) });
  }
}

async function openQueue(type: QueueType) {
  const broker = await BenchBroker.open();
  const queue = await broker.queue('waiting', type);
  const reader = await openReader(ProductCopy, { exchange: broker.exchange, queue, queueType: type });
  const raw = await openRawReader(broker, queue);
  return {
    broker,
    queue,
    readers: [reader, raw] as const,
    async [Symbol.asyncDispose]() {
      await reader[Symbol.asyncDispose]();
      await raw[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

/** The same messages for one entity, and spread over fifty. */
async function growEntities(bench: Bench): Promise<void> {
  const size = bench.size(20_000, 10_000);
  const kinds = Array.from({ length: 50 }, (_, index) => `product_${index}`);
  await using broker = await BenchBroker.open();
  const queues = {
    one: await broker.queue('one', 'classic', ['product']),
    many: await broker.queue('many', 'classic', kinds),
  };
  await using one = await openReader(ProductCopy, { exchange: broker.exchange, queue: queues.one });
  const database = await createDatabase();
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange: broker.exchange,
    queue: queues.many,
  });
  const entities = kinds.map(copyOf);
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  try {
    await orm.schema.create();
    await cqrs.connect();
    const tables = kinds.map((kind) => `${kind}_copies`).join();
    for (let round = -1; round < bench.rounds; round++) {
      await one.clear();
      await orm.em.getConnection().execute(`truncate ${tables}`);
      await broker.fill(bodies(size, 0));
      await broker.fill(spread(bodies(size, 0), kinds));
      const [few, many] = await inTurns(round + 1, [() => one.drain(size), () => drain(cqrs, size)]);
      if (round >= 0) bench.record('grow-entities', { ours: costPerMessage(many!), twin: costPerMessage(few!) });
    }
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
}

function* spread(all: Iterable<string>, kinds: readonly string[]): Generator<{ body: string; key: string }> {
  let index = 0;
  for (const body of all) {
    const key = kinds[index++ % kinds.length]!;
    yield { key, body: body.replace('"cqrs_id":"product"', `"cqrs_id":"${key}"`) };
  }
}

function copyOf(kind: string): EntityClass<object> {
  const schema = defineEntity({
    name: `Copy_${kind}`,
    tableName: `${kind}_copies`,
    extends: ReplicaEntity,
    properties: copyProperties(),
  });
  class Copy extends replicaClass(schema) {
    static override CQRS_ID = kind;
  }
  schema.setClass(Copy);
  return Copy as EntityClass<object>;
}

/** Fewer, larger messages. */
async function growBodies(bench: Bench): Promise<void> {
  const sizes = { small: bench.size(20_000, 10_000), large: bench.size(1_000, 400) };
  const nameBytes = 39_600;
  const bytes = (count: number, name: number): number => count * [...bodies(1, 0, { nameBytes: name })][0]!.length;
  await using broker = await BenchBroker.open();
  const queue = await broker.queue('bodies');
  await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue });
  const cost = async (count: number, name: number): Promise<number> => {
    await reader.clear();
    await broker.fill(bodies(count, 0, { nameBytes: name }));
    const seconds = count / (await reader.drain(count));
    return (seconds * 1e9) / bytes(count, name);
  };
  for (let round = -1; round < bench.rounds; round++) {
    const [ours, twin] = await inTurns(round + 1, [() => cost(sizes.large, nameBytes), () => cost(sizes.small, 0)]);
    if (round >= 0) bench.record('grow-bodies', { ours: ours!, twin: twin! });
  }
}
