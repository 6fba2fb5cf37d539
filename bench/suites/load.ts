import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createDatabase } from '../../test/support/database.ts';
import type * as loading from '../../src/operations/load.ts';
import { BenchBroker } from '../harness/broker.ts';
import { newestPython, measureDjango } from '../harness/django.ts';
import { writeDump } from '../harness/dump.ts';
import { openReader } from '../harness/replica-services.ts';
import { inTurns, perSecond, type Suite } from '../harness/suite.ts';
import { ProductCopy } from '../product-copies.ts';
import { copyIn } from '../twins/copy-in.ts';
import { rowsOf } from '../rows.ts';
import { REPLICA_DDL } from '../twins/consumer.ts';

/** A new replica's table from a file. */
export const load: Suite = {
  rows: rowsOf('load-copy', 'load-django', 'load-memory'),
  async run(bench) {
    const besideDjango = bench.wants('load-django');
    const python = besideDjango ? await newestPython(bench.say) : undefined;
    if (besideDjango && python === undefined)
      bench.skip('load-django', 'there is no Python 3.10 or later with venv and pip');
    const size = bench.size(1_000_000, 20_000);
    await using broker = await BenchBroker.open();
    const queue = await broker.queue('load');
    await using reader = await openReader(ProductCopy, { exchange: broker.exchange, queue });
    await using dump = await writeDump(size);
    await using small = await writeDump(2_000);
    const database = await createDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(REPLICA_DDL);
    try {
      for (let round = 0; round < Math.min(3, bench.rounds); round++) {
        await reader.clear();
        await client.query('truncate product_copies');
        const memory: number[] = [];
        const [ours, twin] = await inTurns(round, [
          () =>
            perSecond(size, () =>
              loadRows(reader.cqrs, dump.path, (lines) => memory.push(lines, process.memoryUsage().rss)),
            ),
          () => perSecond(size, () => pipeline(createReadStream(dump.path), (source) => copyIn(client, source))),
        ]);
        bench.record('load-copy', { ours: ours!, twin: twin! });
        bench.record('load-memory', { ours: rssAt(memory, 0.9 * size), twin: rssAt(memory, 0.1 * size) });
        if (python === undefined) continue;
        const names = { exchange: broker.exchange, queue };
        bench.record('load-django', {
          ours: ours!,
          twin: await measureDjango(python, 'load', { count: 2_000, dump: small.path, ...names }),
        });
      }
    } finally {
      await client.end();
      await database.drop();
    }
  },
};

// The command's own code: `cqrs bulk-load` is no part of the package's interface.
async function loadRows(cqrs: unknown, path: string, onProgress: (lines: number) => void): Promise<void> {
  const file = fileURLToPath(new URL('../../dist/operations/load.js', import.meta.url));
  const module = (await import(file)) as typeof loading;
  const result = await module.loadRows(cqrs as never, createReadStream(path), { onProgress });
  if (result.failed > 0) throw new Error(`${result.failed} lines could not be loaded`);
}

/** Megabytes when that many lines had been read. */
function rssAt(samples: readonly number[], lines: number): number {
  for (let index = 0; index < samples.length; index += 2) {
    if (samples[index]! >= lines) return samples[index + 1]! / 1e6;
  }
  return samples.at(-1)! / 1e6;
}
