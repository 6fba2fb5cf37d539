import { parseArgs } from 'node:util';
import { buildIfStale } from '../scripts/support/build.ts';
import { runSuites } from './harness/run-suites.ts';
import { reaches } from './harness/row.ts';

// What is measured is what users run. The suites are loaded only then: they import the package by its name.
await buildIfStale();
const { suites } = await import('./suites/index.ts');

const HELP = `npm run bench -- [names] [--json] [--short] [--rounds N] [--list]

Measures ours beside its raw twin, in turns, on real PostgreSQL and RabbitMQ, and prints the median of each and of their
ratios. A name, or its beginning, chooses single benchmarks: npm run bench -- create bulk-update

  --json      one object a line on the standard output, for bench/results.json
  --short     small sizes, for a first look
  --rounds N  how often each pair is measured; default 5
  --list      the names`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
});

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

if (values.help) {
  print(HELP);
} else if (values.list) {
  for (const { name, work } of suites.flatMap((suite) => suite.rows)) print(`${name.padEnd(24)} ${work}`);
} else {
  await runSuites(suites, {
    names: positionals,
    short: values.short,
    rounds: Number(values.rounds ?? 5),
    say,
    onResult: (result, row, spread) => {
      if (values.json) return print(JSON.stringify(result));
      const { name, ours, twin, ratio, goal, unit, atMost } = result;
      const verdict = reaches(result) ? 'reached' : 'MISSED';
      print(
        `${name.padEnd(24)} ${String(ours).padStart(8)} ${unit.padEnd(7)} twin ${String(twin).padStart(8)}  ratio ${String(ratio).padStart(6)} (${spread})  goal ${atMost ? '≤' : '≥'} ${goal} ${verdict}   ${row.work}`,
      );
    },
    onSkipped: (row, reason) => say(`${row.name}: left out, because ${reason}`),
  });
}
