import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import type { CqrsEventName, CqrsEvents } from '../../src/kernel/events.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from './broker.js';
import { createDatabase } from './database.js';

type Service = { readonly orm: MikroORM; readonly cqrs: Cqrs };

/** A master service and a replica service on real servers, each with a database of its own. */
export interface TwoServices extends AsyncDisposable {
  readonly master: Service;
  readonly replica: Service;
  readonly exchange: string;
  readonly queue: string;
  /** Every event of the replica so far, with its name. */
  readonly heard: { readonly name: CqrsEventName; readonly fields: CqrsEvents[CqrsEventName] }[];
  /** Resolves once that many messages have come to their end on the replica (applied, skipped or dead-lettered). */
  ended(count: number): Promise<void>;
  /** Ends the worker of the replica before the rest. */
  stopConsumer(): Promise<void>;
}

const ENDS: readonly CqrsEventName[] = [
  'cqrs.inbox.applied',
  'cqrs.inbox.skipped',
  'cqrs.inbox.dead-lettered',
  'cqrs.inbox.unreadable',
];

export async function twoServices(options: {
  masters: EntityClass<object>[];
  replicas: EntityClass<object>[];
  masterSettings?: Partial<CqrsOptions>;
  replicaSettings?: Partial<CqrsOptions>;
}): Promise<TwoServices> {
  const exchange = uniqueName('flow');
  const queue = `${exchange}_replica`;
  const open = async (entities: EntityClass<object>[], settings: Partial<CqrsOptions>) => {
    const database = await createDatabase();
    const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange, ...settings });
    const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
    await orm.schema.create();
    return { orm, cqrs, database };
  };
  const master = await open(options.masters, { relay: { pollIntervalMs: 100 }, ...options.masterSettings });
  const replica = await open(options.replicas, { queue, ...options.replicaSettings });
  const heard: TwoServices['heard'] = [];
  replica.cqrs.events.onAny((name, fields) => heard.push({ name, fields }));
  const consumer = replica.cqrs.createConsumer();
  await consumer.start();
  await master.cqrs.start();
  return {
    master,
    replica,
    exchange,
    queue,
    heard,
    stopConsumer: () => consumer.stop(),
    ended: (count) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (heard.filter(({ name }) => ENDS.includes(name)).length < count) return;
          off();
          resolve();
        };
        const off = replica.cqrs.events.onAny(check);
        check();
      }),
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      await Promise.all([master.cqrs.stop(), replica.cqrs.stop()]);
      await Promise.all([master.orm.close(), replica.orm.close()]);
      await Promise.all([master.database.drop(), replica.database.drop()]);
      await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
    },
  };
}
