import { amqpUrl } from '../../test/support/broker.ts';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker } from '../harness/broker.ts';
import { openReader } from '../harness/replica-services.ts';
import { inTurns, type Suite } from '../harness/suite.ts';
import { startWorker } from '../harness/worker-process.ts';
import { rowsOf } from '../rows.ts';
import { ProductCopy } from '../product-copies.ts';

/**
 * Workers beside each other, at the default batches. Each message waits for something else than the servers, so long that
 * they and both cores are idle most of the time.
 */
export const processes: Suite = {
  rows: rowsOf('processes'),
  async run(bench) {
    const size = bench.size(800, 400);
    await using broker = await BenchBroker.open();
    const queue = await broker.queue('shared');
    await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue });
    await broker.fill(bodies(size, 0));
    await reader.drain(size);
    let revision = 0;

    const measure = async (count: number): Promise<number> => {
      const applied = new Map<number, number>();
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const order = { kind: 'throttled', databaseUrl: reader.url, amqpUrl, exchange: broker.exchange, queue } as const;
      const workers = Array.from({ length: count }, (_, index) =>
        startWorker({ ...order, count: null }, (sum) => {
          applied.set(index, sum);
          if ([...applied.values()].reduce((a, b) => a + b, 0) >= size) resolve();
        }),
      );
      await Promise.all(workers.map((worker) => worker.ready));
      const startedAt = performance.now();
      await broker.fill(bodies(size, ++revision));
      await done;
      const rate = (size / (performance.now() - startedAt)) * 1000;
      for (const worker of workers) worker.stop();
      await Promise.all(workers.map((worker) => worker.megabytes));
      return rate;
    };
    for (let round = 0; round < Math.min(3, bench.rounds); round++) {
      const [two, one] = await inTurns(round, [() => measure(2), () => measure(1)]);
      bench.record('processes', { ours: two!, twin: one! });
    }
  },
};
