import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker } from '../harness/broker.ts';
import { formerPython, measureDjango, newestPython } from '../harness/django.ts';
import { openReader } from '../harness/replica-services.ts';
import { inTurns, perSecond, type Suite } from '../harness/suite.ts';
import { ProductCopy } from '../product-copies.ts';
import { rowsOf } from '../rows.ts';
import { Product, productData } from '../products.ts';

/**
 * Beside django-cqrs from PyPI on the same servers and rows: at its best setting, where connections stay, and the ways
 * that open one to the broker for each message they publish (KombuTransport, and all releases up to 3.0.1).
 */
export const django: Suite = {
  rows: rowsOf(
    'django-drain',
    'django-create',
    'django-create-kombu',
    'django-create-3.0',
    'django-bulk-create',
    'django-bulk-create-kombu',
    'django-bulk-create-3.0',
    'django-sync',
    'django-sync-kombu',
  ),
  async run(bench) {
    const python = await newestPython(bench.say);
    const python30 = python && (await formerPython(bench.say));
    if (python === undefined || python30 === undefined) {
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
      /** One measure of ours, and beside it each of theirs by the name of its row. */
      const measure = async (
        ours: () => Promise<number>,
        twins: Record<string, () => Promise<number>>,
      ): Promise<void> => {
        const wanted = Object.keys(twins).filter((name) => bench.wants(name));
        if (wanted.length === 0) return;
        await master.clear();
        await reader.clear();
        const [mine, ...theirs] = await inTurns(round, [ours, ...wanted.map((name) => twins[name]!)]);
        for (const [index, name] of wanted.entries()) bench.record(name, { ours: mine!, twin: theirs[index]! });
        await purge();
      };
      const newest = (work: 'create' | 'bulk' | 'sync' | 'drain', count: number): Promise<number> =>
        measureDjango(python, work, { count, ...names });
      const kombu = (work: 'create' | 'bulk' | 'sync'): Promise<number> =>
        measureDjango(python, work, { count: FEW, transport: 'KombuTransport', ...names });
      const former = (work: 'create' | 'bulk'): Promise<number> =>
        measureDjango(python30, work, { count: FEW, ...names });
      await measure(() => master.creates(1_000), {
        'django-create': () => newest('create', 1_000),
        'django-create-kombu': () => kombu('create'),
        'django-create-3.0': () => former('create'),
      });
      await measure(() => master.bulk(10_000), {
        'django-bulk-create': () => newest('bulk', 10_000),
        'django-bulk-create-kombu': () => kombu('bulk'),
        'django-bulk-create-3.0': () => former('bulk'),
      });
      await measure(() => master.sync(20_000), {
        'django-sync': () => newest('sync', 2_000),
        'django-sync-kombu': () => kombu('sync'),
      });
      const small = 1_000;
      const large = bench.size(20_000, 5_000);
      const drainOurs = async (): Promise<number> => {
        await broker.fill(bodies(large, 0));
        return reader.drain(large);
      };
      await measure(drainOurs, {
        'django-drain': async () => {
          await broker.purge(queues.twin);
          await broker.fill(bodies(small, 0));
          return newest('drain', small);
        },
      });
    }
  },
};

/** Messages of a way that opens a connection for each: enough for some seconds. */
const FEW = 300;

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
