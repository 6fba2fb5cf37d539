import { setTimeout } from 'node:timers/promises';
import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { BenchBroker } from '../harness/broker.ts';
import { openReader } from '../harness/replica-services.ts';
import { percentile } from '../harness/statistics.ts';
import { inTurns, type Suite } from '../harness/suite.ts';
import { ProductCopy } from '../product-copies.ts';
import { Product, productData } from '../products.ts';
import { REPLICA_DDL } from '../twins/consumer.ts';
import { rowsOf } from '../rows.ts';
import { RawPath } from '../twins/path.ts';

const RATE = 50;

/** From the commit on the master to the commit on the replica, at a quiet 50 changes a second. */
export const latency: Suite = {
  rows: rowsOf('latency-p50', 'latency-p99'),
  async run(bench) {
    const count = bench.size(250, 150);
    await using broker = await BenchBroker.open();
    const queues = { ours: await broker.queue('ours'), twin: await broker.queue('twin') };
    const databases = await Promise.all([createDatabase(), createDatabase(), createDatabase()]);
    const [master, rawMaster, rawReplica] = databases as [Database, Database, Database];
    await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue: queues.ours });
    const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange: broker.exchange });
    const orm = await MikroORM.init({ clientUrl: master.url, entities: [Product], extensions: [cqrs] });
    const raw = new RawPath(rawMaster.url, rawReplica.url, broker);
    const visible = new Map<string, () => void>();
    const onVisible = (kind: string, id: number | string): void => visible.get(`${kind} ${id}`)?.();
    try {
      await orm.schema.create();
      await copySchema(orm, rawMaster.url);
      await execute(rawReplica.url, REPLICA_DDL);
      reader.cqrs.events.on('cqrs.inbox.applied', ({ instancePk }) => onVisible('ours', instancePk));
      const consumer = reader.cqrs.createConsumer();
      await consumer.start();
      await cqrs.start();
      await raw.start(queues.twin, (id) => onVisible('raw', id));

      const ours = async (index: number): Promise<number> => {
        const em = orm.em.fork();
        const product = em.create(Product, productData(index) as never);
        await em.flush();
        return product.id;
      };
      // Both queues are bound for products: the keys of the two masters are kept apart.
      await execute(rawMaster.url, 'alter sequence products_id_seq restart with 1000000000');
      for (let round = -1; round < bench.rounds; round++) {
        const [mine, twin] = await inTurns(round + 1, [
          () => measure(count, 'ours', ours, visible),
          () => measure(count, 'raw', (index) => raw.create(index), visible),
        ]);
        if (round < 0) continue;
        for (const percent of [50, 99]) {
          bench.record(`latency-p${percent}`, { ours: percentile(mine!, percent), twin: percentile(twin!, percent) });
        }
      }
      await raw.stop();
      await consumer.stop();
    } finally {
      await cqrs.stop();
      await orm.close();
      await Promise.all(databases.map((database) => database.drop()));
    }
  },
};

type Database = Awaited<ReturnType<typeof createDatabase>>;

/** Milliseconds from each commit until its row is seen on the replica. */
async function measure(
  count: number,
  kind: string,
  create: (index: number) => Promise<number>,
  visible: Map<string, () => void>,
): Promise<number[]> {
  const begun = performance.now();
  const waits: Promise<number>[] = [];
  for (let index = 0; index < count; index++) {
    await setTimeout(Math.max(0, begun + (index * 1000) / RATE - performance.now()));
    const id = await create(index);
    const committedAt = performance.now();
    waits.push(
      new Promise((resolve) => {
        visible.set(`${kind} ${id}`, () => {
          visible.delete(`${kind} ${id}`);
          resolve(performance.now() - committedAt);
        });
      }),
    );
  }
  return Promise.all(waits);
}

async function copySchema(orm: MikroORM, url: string): Promise<void> {
  await execute(url, await orm.schema.getCreateSchemaSQL());
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(sql);
  await client.end();
}
