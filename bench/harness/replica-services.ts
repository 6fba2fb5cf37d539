import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import type { QueueType } from './broker.ts';

export interface Reader extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  readonly url: string;
  clear(): Promise<void>;
  /** Consumes until so many messages have come to their end; answers how many a second. */
  drain(count: number): Promise<number>;
}

/** A service with a replica of products, on a queue that exists. */
export async function openReader(
  entity: EntityClass<object>,
  options: { exchange: string; queue: string; queueType?: QueueType } & Partial<CqrsOptions>,
): Promise<Reader> {
  const { queueType = 'classic', ...settings } = options;
  const database = await createDatabase();
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl, queueType }), ...settings });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [entity], extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.connect();
  return {
    orm,
    cqrs,
    url: database.url,
    clear: async () => void (await orm.em.getConnection().execute('truncate product_copies, cqrs_tombstones')),
    drain: (count) => drain(cqrs, count),
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
      await database.drop();
    },
  };
}

async function drain(cqrs: Cqrs, count: number): Promise<number> {
  let ended = 0;
  let startedAt = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const offs = [
    cqrs.events.on('cqrs.consumer.started', () => (startedAt = performance.now())),
    cqrs.events.on('cqrs.inbox.batch-applied', (batch) => {
      ended += batch.count;
      if (ended >= count) resolve();
    }),
  ];
  const consumer = cqrs.createConsumer();
  await consumer.start();
  await done;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  for (const off of offs) off();
  await consumer.stop();
  return rate;
}
