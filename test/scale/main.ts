import { parseArgs } from 'node:util';
import { runReconcile } from './reconcile.js';

/**
 * `npm run test:scale -- reconcile --rows 1000000`: what the commands promise of many rows, shown on as many as asked for.
 * Ends with 0 when the promise is kept.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { rows: { type: 'string', default: '1000000' }, 'writes-per-second': { type: 'string', default: '50' } },
});
if (positionals.join() !== 'reconcile') {
  console.error('Usage: npm run test:scale -- reconcile [--rows 1000000] [--writes-per-second 50]');
  process.exit(2);
}
const kept = await runReconcile({
  rows: Number(values.rows),
  writesPerSecond: Number(values['writes-per-second']),
  say: console.log,
});
process.exit(kept ? 0 : 1);
