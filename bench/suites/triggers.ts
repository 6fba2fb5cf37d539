import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from 'mikro-orm-cqrs';
import { RabbitMQTransport } from 'mikro-orm-cqrs/rabbitmq';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { BenchBroker } from '../harness/broker.ts';
import { openWriter, type Writer } from '../harness/master-services.ts';
import { relayAll } from '../harness/relay.ts';
import { type Bench, inTurns, type Suite } from '../harness/suite.ts';
import { Product, productData, TriggeredProduct } from '../products.ts';
import { rows, rowsOf } from '../rows.ts';
import { creates as bulkCreates, flushes } from './bulk.ts';
import { creates, updates } from './one-row.ts';

type Work = (writer: Writer, round: number) => Promise<number>;

/** Both ways of capture, and none, in turns: what the writer pays. What the relay does later is the row `trigger-relay`. */
export const triggers: Suite = {
  rows: rowsOf(...rows.map(({ name }) => name).filter((name) => name.startsWith('trigger-'))),
  async run(bench) {
    await using byTriggers = await openWriter('triggers');
    await using atDriver = await openWriter('ours');
    await using plain = await openWriter('plain');
    const writers = [byTriggers, atDriver, plain];
    const single = bench.size(400, 200);
    const many = bench.size(10_000, 5_000);
    for (const connections of [1, 8]) {
      await measure(bench, `create-${connections}`, writers, (writer) => creates(writer, connections, single));
      await measure(bench, `update-${connections}`, writers, (writer) => updates(writer, connections, single));
    }
    await measure(bench, 'bulk-create', writers, (writer) => bulkCreates(writer, many));
    await measure(bench, 'flush-update', writers, async (writer, round) => {
      await bulkCreates(writer, many);
      return flushes(writer, many, round);
    });
    await relays(bench);
  },
};

async function measure(bench: Bench, name: string, writers: readonly Writer[], work: Work): Promise<void> {
  const [row, beside] = [`trigger-${name}`, `trigger-${name}-driver`];
  if (!bench.wants(row, beside)) return;
  // Short turns, many of them: the machine is never the same for long.
  const rounds = /-[18]$/.test(name) ? 3 * bench.rounds : bench.rounds;
  for (let round = -1; round < rounds; round++) {
    for (const writer of writers) await writer.clear();
    const [byTriggers, atDriver, plain] = await inTurns(
      round + 1,
      writers.map((writer) => () => work(writer, round)),
    );
    if (round < 0) continue;
    bench.record(row, { ours: byTriggers!, twin: plain! });
    bench.record(beside, { ours: byTriggers!, twin: atDriver! });
  }
}

/** From the commits to the broker: with the messages made in between, and made already. */
async function relays(bench: Bench): Promise<void> {
  if (!bench.wants('trigger-relay')) return;
  const size = bench.size(20_000, 5_000);
  await using broker = await BenchBroker.open();
  const queue = await broker.queue('relayed');
  const masters = [
    await openMaster(broker.exchange, TriggeredProduct, size),
    await openMaster(broker.exchange, Product, size),
  ];
  try {
    for (let round = -1; round < bench.rounds; round++) {
      for (const master of masters) await master.fill();
      const [made, ready] = await inTurns(
        round + 1,
        masters.map((master) => () => relayAll(master.cqrs, size)),
      );
      await broker.purge(queue);
      if (round >= 0) bench.record('trigger-relay', { ours: made!, twin: ready! });
    }
  } finally {
    for (const master of masters) await master.close();
  }
}

async function openMaster(exchange: string, entity: typeof Product | typeof TriggeredProduct, size: number) {
  const database = await createDatabase();
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [entity], extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.connect();
  const data = Array.from({ length: size }, (_, index) => productData(index));
  return {
    cqrs,
    fill: () => entity.cqrs(orm.em.fork()).bulkCreate(data as never),
    async close(): Promise<void> {
      await cqrs.stop();
      await orm.close();
      await database.drop();
    },
  };
}
