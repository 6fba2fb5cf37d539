import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase, type TestDatabase } from '../../test/support/database.ts';
import type { QueueType } from './broker.ts';
import { drain } from './drain.ts';

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
  database?: TestDatabase,
): Promise<Reader> {
  const { queueType = 'classic', ...settings } = options;
  database ??= await createDatabase();
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
      await database!.drop();
    },
  };
}
