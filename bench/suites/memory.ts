import pg from 'pg';
import { amqpUrl } from '../../test/support/broker.ts';
import { createDatabase } from '../../test/support/database.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker } from '../harness/broker.ts';
import { openReader } from '../harness/replica-services.ts';
import { inTurns, type Suite } from '../harness/suite.ts';
import { startWorker } from '../harness/worker-process.ts';
import { ProductCopy } from '../product-copies.ts';
import { rowsOf } from '../rows.ts';
import { REPLICA_DDL } from '../twins/consumer.ts';

const ALLOWANCE_MB = 80;

/** The most memory that a worker ever takes while it works off a backlog of large messages. */
export const memory: Suite = {
  rows: rowsOf('memory'),
  async run(bench) {
    const size = bench.size(20_000, 5_000);
    await using broker = await BenchBroker.open();
    const queues = { ours: await broker.queue('ours'), raw: await broker.queue('raw') };
    await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue: queues.ours });
    const database = await createDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(REPLICA_DDL);
    const order = { amqpUrl, exchange: broker.exchange, count: size };
    try {
      for (let round = 0; round < Math.min(3, bench.rounds); round++) {
        await Promise.all([reader.clear(), client.query('truncate product_copies')]);
        await broker.fill(bodies(size, 0, { nameBytes: 3_600 }));
        const [ours, raw] = await inTurns(round, [
          () => startWorker({ ...order, kind: 'ours', databaseUrl: reader.url, queue: queues.ours }).megabytes,
          () => startWorker({ ...order, kind: 'raw', databaseUrl: database.url, queue: queues.raw }).megabytes,
        ]);
        bench.record('memory', { ours: ours!, twin: raw! + ALLOWANCE_MB });
      }
    } finally {
      await client.end();
      await database.drop();
    }
  },
};
