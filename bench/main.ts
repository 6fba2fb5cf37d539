import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../scripts/support/build.ts';
import { fallenTwice, readResults } from './harness/against.ts';
import { reaches, type Result, type Row } from './harness/row.ts';
import { runSuites } from './harness/run-suites.ts';
import { rows, shortRows } from './rows.ts';

const HELP = `npm run bench -- [names] [--json] [--short] [--rounds N] [--against FILE] [--list]

Measures ours beside its twin, in turns, on real PostgreSQL and RabbitMQ, and prints the median of each and of their
ratios. A name, or its beginning, chooses single benchmarks: npm run bench -- create bulk-update

  --json          one object a line on the standard output, for bench/results.json
  --short         small sizes, and without names the few rows that are steady enough to be compared
  --rounds N      how often each pair is measured; default 5
  --against FILE  measures what FILE has results of; exit code 1 when a ratio is more than a fifth worse, twice in a row
  --list          the names

Examples:
  npm run bench -- --json > bench/results.json     # all, for docs/performance.md; less than half an hour
  npm run bench -- relay consume --rounds 3        # some, quickly
  npm run bench:short                              # --short --rounds 7 --against bench/short-results.json
  npm run bench:record                             # both files of results, and the page`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    against: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
});

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

if (values.help) {
  print(HELP);
} else if (values.list) {
  for (const { name, work } of rows) print(`${name.padEnd(24)} ${work}`);
} else {
  await main();
}

async function main(): Promise<void> {
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    return refuse(`--rounds takes a whole number from 1, not '${values.rounds}'`);
  const unknown = positionals.filter(
    (wanted) => !rows.some(({ name }) => name === wanted || name.startsWith(`${wanted}-`)),
  );
  if (unknown.length > 0) return refuse(`There is no benchmark '${unknown[0]}'; --list names them.`);
  if (values.against !== undefined && !existsSync(values.against)) {
    return refuse(`There is no ${values.against} to compare with; npm run bench:record makes it.`);
  }
  // What is measured is what users run. The suites are loaded only then: they import the package by its name.
  await buildIfStale();
  const { suites } = await import('./suites/index.ts');
  const measure = (names: readonly string[]): Promise<Result[]> =>
    runSuites(suites, {
      names,
      short: values.short,
      rounds,
      say,
      onResult: show,
      onSkipped: (row, reason) => say(`${row.name}: left out, because ${reason}`),
    });
  const names = positionals.length === 0 && values.short ? shortRows : positionals;
  if (values.against === undefined) return void (await measure(names));
  const problems = await fallenTwice(readResults(values.against), measure, say);
  for (const problem of problems) say(problem);
  if (problems.length > 0) process.exitCode = 1;
}

function refuse(problem: string): void {
  say(problem);
  process.exitCode = 2;
}

function show(result: Result, row: Row, spread: string): void {
  if (values.json) return print(JSON.stringify(result));
  const { name, ours, twin, ratio, goal, unit, atMost } = result;
  const verdict = reaches(result) ? 'reached' : 'MISSED';
  print(
    `${name.padEnd(24)} ${String(ours).padStart(8)} ${unit.padEnd(7)} twin ${String(twin).padStart(8)}  ratio ${String(ratio).padStart(6)} (${spread})  goal ${atMost ? '≤' : '≥'} ${goal} ${verdict}   ${row.work}`,
  );
}
