import { parseArgs } from 'node:util';
import { runDiff } from './diff.js';
import { runDump } from './dump.js';
import { runReconcile } from './reconcile.js';
import { runSync } from './sync.js';
import type { ScaleOptions } from './scale-options.js';

const SCALES: Readonly<Record<string, (options: ScaleOptions & { writesPerSecond: number }) => Promise<boolean>>> = {
  reconcile: runReconcile,
  dump: runDump,
  diff: runDiff,
  sync: runSync,
};
const USAGE = `Usage: npm run test:scale -- <kind> [--rows 1000000] [--writes-per-second 50] [--heap-mb 100]

What the commands promise of many rows, shown on as many as asked for. Ends with 0 when the promise is kept.

  reconcile  ten faults are found and repaired while writes go on (--writes-per-second)
  dump       cqrs bulk-dump: all rows, memory stays flat
  diff       cqrs diff-master | cqrs diff-replica: five faults are found, memory of both stays flat
  sync       cqrs sync beside cqrs relay: all rows reach the queue, memory of both stays flat

--heap-mb bounds the heap of dump, diff and sync. Node otherwise collects late on a large machine: its memory grows until
then, whatever the rows, and the first 20 seconds are not looked at for that reason. dump and diff take 3000000 rows or
more to tell, sync 500000.`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '1000000' },
    'writes-per-second': { type: 'string', default: '50' },
    'heap-mb': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const run = SCALES[positionals.join()];
const rows = Number(values.rows);
if (!run || !(Number.isInteger(rows) && rows > 0)) {
  console.error(USAGE);
  process.exit(2);
}
const heapMb = values['heap-mb'] === undefined ? undefined : Number(values['heap-mb']);
const kept = await run({ rows, heapMb, writesPerSecond: Number(values['writes-per-second']), say: console.log });
process.exit(kept ? 0 : 1);
