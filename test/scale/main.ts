import { parseArgs } from 'node:util';
import { runDiff } from './diff.js';
import { runDump } from './dump.js';
import { runReconcile } from './reconcile.js';
import { runSync } from './sync.js';
import type { ScaleOptions } from './scale-options.js';

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
const USAGE = `Usage: npm run test:scale -- <kind> [--rows N] [--writes-per-second 50] [--heap-mb 100]

What the commands promise of many rows, shown on as many as asked for. Ends with 0 when the promise is kept.

  reconcile  ten faults are found and repaired while writes go on (--writes-per-second)
  dump       cqrs bulk-dump: all rows, memory stays flat
  diff       cqrs diff-master | cqrs diff-replica: five faults are found, memory of both stays flat
  sync       cqrs sync beside cqrs relay: all rows reach the queue, memory of both stays flat

--rows is 1000000 for reconcile, 3000000 for dump and diff, 500000 for sync. --heap-mb bounds the heap of the last three.
Node otherwise collects late on a large machine: its memory grows until then, whatever the rows, and the first 20 seconds
are not looked at for that reason.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      rows: { type: 'string' },
      'writes-per-second': { type: 'string', default: '50' },
      'heap-mb': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const scale = SCALES[positionals.join()];
  const rows = Number(values.rows ?? scale?.rows);
  const heapMb = values['heap-mb'] === undefined ? undefined : Number(values['heap-mb']);
  const writesPerSecond = Number(values['writes-per-second']);
  if (!scale || [rows, heapMb ?? 1, writesPerSecond].some((number) => !(Number.isInteger(number) && number > 0))) {
    console.error(USAGE);
    return 2;
  }
  return (await scale.run({ rows, heapMb, writesPerSecond, say: console.log })) ? 0 : 1;
}
