import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import pg from 'pg';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { BenchBroker } from '../harness/broker.ts';
import { pair, perSecond, type Suite } from '../harness/suite.ts';
import { relayAll } from '../harness/relay.ts';
import { fillOutbox } from '../harness/outbox-backlog.ts';
import { Product } from '../products.ts';
import { rowsOf } from '../rows.ts';
import { relayBatchRaw } from '../twins/relay.ts';

/** From a full outbox to the broker. */
export const relay: Suite = {
  rows: rowsOf('relay'),
  async run(bench) {
    const size = bench.size(50_000, 10_000);
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
        return relayAll(cqrs, size);
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
