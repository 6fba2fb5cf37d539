import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker } from '../harness/broker.ts';
import { findPython, measureDjango } from '../harness/django.ts';
import { openReader } from '../harness/replica-services.ts';
import { inTurns, perSecond, type Suite } from '../harness/suite.ts';
import { ProductCopy } from '../product-copies.ts';
import { rowsOf } from '../rows.ts';
import { Product, productData } from '../products.ts';

/** Beside django-cqrs from PyPI on the same servers and rows, at its best setting: connections that stay. */
export const django: Suite = {
  rows: rowsOf('django-drain', 'django-create', 'django-bulk-create', 'django-sync'),
  async run(bench) {
    const python = await findPython(bench.say);
    if (python === undefined) {
      for (const { name } of this.rows) bench.skip(name, 'there is no Python 3.10 or later with venv and pip');
      return;
    }
    await using broker = await BenchBroker.open();
    const queues = { ours: await broker.queue('ours'), twin: await broker.queue('twin') };
    const names = { exchange: broker.exchange, queue: queues.twin };
    await using master = await openMaster(broker.exchange, queues.ours);
    await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue: queues.ours });
    const purge = async (): Promise<void> => {
      for (const queue of Object.values(queues)) await broker.purge(queue);
    };
    // Seconds for each of theirs are enough; what they take grows with the count and nothing else.
    const rounds = Math.max(1, Math.ceil(bench.rounds / 2));
    for (let round = 0; round < rounds; round++) {
      const measure = async (name: string, ours: () => Promise<number>, twin: () => Promise<number>): Promise<void> => {
        if (!bench.wants(`django-${name}`)) return;
        await master.clear();
        await reader.clear();
        const [mine, theirs] = await inTurns(round, [ours, twin]);
        bench.record(`django-${name}`, { ours: mine!, twin: theirs! });
        await purge();
      };
      await measure(
        'create',
        () => master.creates(1_000),
        () => measureDjango(python, 'create', { count: 1_000, ...names }),
      );
      await measure(
        'bulk-create',
        () => master.bulk(10_000),
        () => measureDjango(python, 'bulk', { count: 5_000, ...names }),
      );
      await measure(
        'sync',
        () => master.sync(20_000),
        () => measureDjango(python, 'sync', { count: 2_000, ...names }),
      );
      const small = 1_000;
      const large = bench.size(20_000, 5_000);
      await measure(
        'drain',
        async () => {
          await broker.fill(bodies(large, 0));
          return reader.drain(large);
        },
        async () => {
          await broker.purge(queues.twin);
          await broker.fill(bodies(small, 0));
          return measureDjango(python, 'drain', { count: small, ...names });
        },
      );
    }
  },
};

/** A master with its relay; each measure ends when the broker has confirmed everything. */
async function openMaster(exchange: string, queue: string) {
  const database = await createDatabase();
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Product], extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.start();
  const untilPublished = (count: number): Promise<void> => {
    let published = 0;
    return new Promise((resolve) => {
      const off = cqrs.events.on('cqrs.relay.published', (batch) => {
        published += batch.count;
        if (published < count) return;
        off();
        resolve();
      });
    });
  };
  const create = async (index: number): Promise<void> => {
    const em = orm.em.fork();
    em.create(Product, productData(index) as never);
    await em.flush();
  };
  return {
    clear: async () =>
      void (await orm.em.getConnection().execute('truncate products, cqrs_outbox restart identity /* cqrs */')),
    creates: (count: number) =>
      perSecond(count, async () => {
        const published = untilPublished(count);
        for (let index = 0; index < count; index++) await create(index);
        await published;
      }),
    bulk: (count: number) =>
      perSecond(count, async () => {
        const published = untilPublished(count);
        await Product.cqrs(orm.em.fork()).bulkCreate(
          Array.from({ length: count }, (_, index) => productData(index)) as never,
        );
        await published;
      }),
    async sync(count: number) {
      await cqrs.withoutReplication(() =>
        orm.em.fork().insertMany(Product, Array.from({ length: count }, (_, index) => productData(index)) as never),
      );
      return perSecond(count, () => cqrs.sync({ cqrsId: 'product', queue }));
    },
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
      await database.drop();
    },
  };
}
