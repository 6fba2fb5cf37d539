import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { BenchBroker } from '../harness/broker.ts';
import { pair, perSecond, type Suite } from '../harness/suite.ts';
import { fillOutbox } from '../harness/outbox-backlog.ts';
import { Product } from '../products.ts';
import { relayBatchRaw } from '../twins/relay.ts';

/** From a full outbox to the broker. */
export const relay: Suite = {
  rows: [
    {
      name: 'relay',
      work: 'relay, backlog of 100,000',
      against: 'raw claim + pipelined confirms + delete, in order per row beside another relay',
      unit: 'msg/s',
      goal: 0.9,
    },
  ],
  async run(bench) {
    const size = bench.size(20_000, 10_000);
    const database = await createDatabase();
    await using broker = await BenchBroker.open();
    const queue = await broker.queue('relayed');
    const transport = new RabbitMQTransport({ url: amqpUrl });
    const cqrs = new Cqrs({ transport, exchange: broker.exchange });
    const orm = await MikroORM.init({ clientUrl: database.url, entities: [Product], extensions: [cqrs] });
    await orm.schema.create();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await cqrs.connect();
      const ours = async (): Promise<number> => {
        await fillOutbox(client, size);
        return perSecond(size, () => relayAll(cqrs, size));
      };
      const twin = async (): Promise<number> => {
        await fillOutbox(client, size);
        return perSecond(size, async () => {
          while ((await relayBatchRaw(client, broker.channel, broker.exchange)) > 0);
        });
      };
      for (let round = -1; round < bench.rounds; round++) {
        const measured = await pair(round + 1, ours, twin);
        await broker.purge(queue);
        if (round >= 0) bench.record('relay', measured);
      }
    } finally {
      await client.end();
      await cqrs.stop();
      await orm.close();
      await database.drop();
    }
  },
};

async function relayAll(cqrs: Cqrs, size: number): Promise<void> {
  let published = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const off = cqrs.events.on('cqrs.relay.published', ({ count }) => {
    published += count;
    if (published >= size) resolve();
  });
  const running = cqrs.createRelay();
  await running.start();
  await done;
  off();
  await running.stop();
}
