import { connect } from 'amqplib';
import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { ProductCopy, ThrottledProductCopy } from '../product-copies.ts';
import { consumeRaw } from '../twins/consumer.ts';

/**
 * A worker in a process of its own, on tables and a queue that exist. It says `ready`, consumes what it is told to and
 * answers with the most memory it ever had, in megabytes; or runs until it is told to stop.
 */
export interface WorkerOrder {
  readonly kind: 'ours' | 'raw' | 'throttled';
  readonly databaseUrl: string;
  readonly amqpUrl: string;
  readonly exchange: string;
  readonly queue: string;
  /** After so many messages it ends; null: when it is told to. */
  readonly count: number | null;
}

const order = JSON.parse(process.argv[2]!) as WorkerOrder;
const { promise: done, resolve } = Promise.withResolvers<void>();
let applied = 0;
const onApplied = (count: number): void => {
  applied += count;
  process.send?.({ applied });
  if (order.count !== null && applied >= order.count) resolve();
};
const stop = order.kind === 'raw' ? await startRaw() : await startOurs();
process.send?.({ ready: true });
process.once('message', () => resolve());
await done;
await stop();
process.send?.({ megabytes: process.resourceUsage().maxRSS / 1000 }, () => process.disconnect());

async function startRaw(): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: order.databaseUrl });
  await client.connect();
  const connection = await connect(order.amqpUrl, { noDelay: true });
  const channel = await connection.createChannel();
  const consumer = await consumeRaw(channel, order.queue, client, (keys) => onApplied(keys.length));
  return async () => {
    await consumer.stop();
    await connection.close();
    await client.end();
  };
}

async function startOurs(): Promise<() => Promise<void>> {
  const { exchange, queue } = order;
  const throttled = order.kind === 'throttled';
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: order.amqpUrl }), exchange, queue });
  const orm = await MikroORM.init({
    clientUrl: order.databaseUrl,
    entities: [throttled ? ThrottledProductCopy : ProductCopy],
    extensions: [cqrs],
  });
  cqrs.events.on('cqrs.inbox.batch-applied', ({ count }) => onApplied(count));
  const consumer = cqrs.createConsumer();
  await consumer.start();
  return async () => {
    await consumer.stop();
    await cqrs.stop();
    await orm.close();
  };
}
