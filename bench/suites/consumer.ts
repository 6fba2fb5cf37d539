import { MikroORM } from '@mikro-orm/postgresql';
import { createDatabase } from '../../test/support/database.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker, type QueueType } from '../harness/broker.ts';
import { openRawReader } from '../harness/raw-reader.ts';
import { openReader } from '../harness/replica-services.ts';
import { type Bench, pair, type Suite } from '../harness/suite.ts';
import { HookedProductCopy, PlainProductCopy, ProductCopy } from '../product-copies.ts';
import { rowsOf } from '../rows.ts';
import { consumeByFlush } from '../twins/flush-consumer.ts';

const TYPES: readonly QueueType[] = ['classic', 'quorum'];

/** From a full queue to the replica's table, one worker. */
export const consumer: Suite = {
  rows: rowsOf(
    'consume-create-classic',
    'consume-update-classic',
    'consume-create-quorum',
    'consume-update-quorum',
    'consume-hooks',
    'consume-stale-classic',
    'consume-stale-quorum',
  ),
  async run(bench) {
    for (const type of TYPES) {
      const names = ['create', 'update', 'stale'].map((work) => `consume-${work}-${type}`);
      if (bench.wants(...names)) await fastPath(bench, type);
    }
    if (bench.wants('consume-hooks')) await hookPath(bench);
  },
};

async function fastPath(bench: Bench, type: QueueType): Promise<void> {
  const size = bench.size(30_000, 10_000);
  await using broker = await BenchBroker.open();
  const queues = { ours: await broker.queue(`ours_${type}`, type), twin: await broker.queue(`twin_${type}`, type) };
  await using reader = await openReader(ProductCopy, {
    exchange: broker.exchange,
    queue: queues.ours,
    queueType: type,
  });
  await using twin = await openRawReader(broker, queues.twin);
  for (let round = -1; round < bench.rounds; round++) {
    await Promise.all([reader.clear(), twin.clear()]);
    const work = async (revision: number): Promise<{ ours: number; twin: number }> => {
      await broker.fill(bodies(size, revision));
      return pair(
        round + 1,
        () => reader.drain(size),
        () => twin.drain(size),
      );
    };
    const creates = await work(0);
    if (round >= 0) bench.record(`consume-create-${type}`, creates);
    if (!bench.wants(`consume-update-${type}`, `consume-stale-${type}`)) continue;
    const updates = await work(1);
    if (round >= 0) bench.record(`consume-update-${type}`, updates);
    if (!bench.wants(`consume-stale-${type}`)) continue;
    const stale = await work(0);
    if (round >= 0) bench.record(`consume-stale-${type}`, { ours: stale.ours, twin: creates.ours });
  }
}

async function hookPath(bench: Bench): Promise<void> {
  const size = bench.size(5_000, 2_000);
  await using broker = await BenchBroker.open();
  const queues = { ours: await broker.queue('ours'), twin: await broker.queue('twin') };
  await using reader = await openReader(HookedProductCopy, { exchange: broker.exchange, queue: queues.ours });
  const database = await createDatabase();
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [PlainProductCopy] });
  await orm.schema.create();
  try {
    for (let round = -1; round < bench.rounds; round++) {
      // The rows are there already: what is measured is the change of each.
      const revision = round + 2;
      if (round === -1) {
        await broker.fill(bodies(size, 0));
        await reader.drain(size);
        await consumeByFlush(broker.connection, queues.twin, orm, size);
      }
      await broker.fill(bodies(size, revision));
      const measured = await pair(
        revision,
        () => reader.drain(size),
        () => consumeByFlush(broker.connection, queues.twin, orm, size),
      );
      if (round >= 0) bench.record('consume-hooks', measured);
    }
  } finally {
    await orm.close();
    await database.drop();
  }
}
