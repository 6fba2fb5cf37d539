import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { amqpUrl } from '../../support/broker.js';
import { createDatabase } from '../../support/database.js';
import { MASTERS, REPLICAS } from './entities.js';

/** The two tables, by what is put into their keys for the row `n`. Its number is in each. */
const KEYS = {
  payment: { columns: 'region, number', values: `'R' || lpad((n / 10000)::text, 6, '0'), n` },
  transfer: { columns: 'id, number', values: 'md5(n::text)::uuid, n' },
};
export type ScaleTable = keyof typeof KEYS;

/** A service with many rows, for commands in processes of their own. */
export interface ScaleService extends AsyncDisposable {
  /** For the commands. */
  readonly env: Readonly<Record<string, string>>;
  sql(text: string): Promise<Record<string, string>[]>;
}

/** @param queue of a replica; without one it is a master. The queue is made. */
export async function serviceWith(
  rows: number,
  { exchange, queue, table = 'payment' }: { exchange: string; queue?: string; table?: ScaleTable },
): Promise<ScaleService> {
  const database = await createDatabase();
  const client = new pg.Client({ connectionString: database.url });
  try {
    await makeTables(database.url, { exchange, queue });
    await client.connect();
    await client.query(`set synchronous_commit = off`);
    const { columns, values } = KEYS[table];
    await client.query(`insert into ${table}
      (${columns}, name, balance, opened_at, cqrs_revision, cqrs_updated, cqrs_incarnation)
      select ${values}, 'Payment ' || n, n * 0.25, t.at + n * interval '1 second', n % 4, t.at,
        1700000000000000 + n
      from generate_series(1, ${rows}) n, (values ('2024-01-02 03:04:05.123456+00'::timestamptz)) as t(at)`);
    await client.query(`vacuum analyze ${table}`);
    await client.query(`set synchronous_commit = on`);
  } catch (error) {
    await client.end();
    await database.drop();
    throw error;
  }
  return {
    env: {
      SCALE_DATABASE: database.url,
      SCALE_AMQP: amqpUrl,
      SCALE_EXCHANGE: exchange,
      ...(queue === undefined ? {} : { SCALE_QUEUE: queue }),
    },
    sql: async (text) => (await client.query<Record<string, string>>(text)).rows,
    async [Symbol.asyncDispose]() {
      await client.end();
      await database.drop();
    },
  };
}

async function makeTables(clientUrl: string, { exchange, queue }: { exchange: string; queue?: string | undefined }) {
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange, queue });
  const orm = await MikroORM.init({ clientUrl, entities: queue ? REPLICAS : MASTERS, extensions: [cqrs] });
  await orm.schema.create();
  if (queue) {
    // A queue keeps nothing from before it exists.
    await using consumer = cqrs.createConsumer();
    await consumer.start();
    await consumer.stop();
  }
  await cqrs.stop();
  await orm.close();
}
