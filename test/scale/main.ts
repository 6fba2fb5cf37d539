import { parseArgs } from 'node:util';
import { runDiff } from './diff.js';
import { runDump } from './dump.js';
import { runReconcile } from './reconcile.js';
import { runSync } from './sync.js';
import type { ScaleOptions } from './scale-options.js';
import type { ScaleTable } from './service/service.js';

interface Scale {
  readonly run: (options: ScaleOptions & { writesPerSecond: number }) => Promise<boolean>;
  /** With fewer the start of the process is longer than what is measured. */
  readonly rows: number;
}

const SCALES: Readonly<Record<string, Scale>> = {
  reconcile: { run: runReconcile, rows: 1_000_000 },
  dump: { run: runDump, rows: 3_000_000 },
  diff: { run: runDiff, rows: 3_000_000 },
  sync: { run: runSync, rows: 500_000 },
};
const TABLES: Readonly<Record<string, ScaleTable>> = { composite: 'payment', uuid: 'transfer' };
const USAGE = `Usage: npm run test:scale -- <kind> [--rows N] [--key composite|uuid] [--writes-per-second 50]

What the commands promise of many rows, shown on as many as asked for. Ends with 0 when the promise is kept.

  reconcile  ten faults are found and repaired while writes go on (--writes-per-second)
  dump       cqrs bulk-dump: all rows, memory stays flat
  diff       cqrs diff-master --checksums | cqrs diff-replica: six faults are found, memory of both stays flat
  sync       cqrs sync beside cqrs relay: all rows reach the queue, memory of both stays flat

--rows is 1000000 for reconcile, 3000000 for dump and diff, 500000 for sync; --key is that of the last three. Memory is
what is in use after a forced collection: how much more Node takes before it collects is the machine's, not the rows'.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      rows: { type: 'string' },
      key: { type: 'string', default: 'composite' },
      'writes-per-second': { type: 'string', default: '50' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const scale = SCALES[positionals.join()];
  const rows = Number(values.rows ?? scale?.rows);
  const writesPerSecond = Number(values['writes-per-second']);
  const table = TABLES[values.key];
  if (!scale || !table || [rows, writesPerSecond].some((number) => !(Number.isInteger(number) && number > 0))) {
    console.error(USAGE);
    return 2;
  }
  return (await scale.run({ rows, table, writesPerSecond, say: console.log })) ? 0 : 1;
}
