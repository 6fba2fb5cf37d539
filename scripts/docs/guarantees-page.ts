import { readReport } from '../../test/faults/report.ts';
import { passed, type Result, TABLE_HEAD, tableRow } from '../../test/faults/result.ts';
import { type Claim, CLAIMS } from './claims.ts';

/** A test that says what it shows. */
export interface TaggedTest {
  /** From the project's root, with slashes. */
  readonly path: string;
  readonly title: string;
  readonly claims: readonly string[];
}

const TAG =
  /^\s*\/\/ claims: (?<claims>[\w, -]+)\r?\n\s*(?:test|describe)(?:\.each)?\((?<quote>['"`])(?<title>.*?)\k<quote>/gm;
const ANY_TAG = /\/\/ claims:/g;

/** @throws when a tag stands where no test follows: it would be lost without a word. */
export function taggedTests(path: string, text: string): TaggedTest[] {
  const found = [...text.matchAll(TAG)].map(({ groups }) => ({
    path,
    title: groups!['title']!,
    claims: groups!['claims']!.split(',').map((claim) => claim.trim()),
  }));
  if (found.length !== (text.match(ANY_TAG)?.length ?? 0))
    throw new Error(`${path}: a 'claims:' without a test below it`);
  return found;
}

/** Everything that keeps the page from being true. */
export function claimProblems(tests: readonly TaggedTest[], report: readonly Result[] = readReport()): string[] {
  const known = new Set(CLAIMS.map(({ id }) => id));
  const shown = new Set(tests.flatMap(({ claims }) => claims));
  return [
    ...tests.flatMap(({ path, title, claims }) =>
      claims.filter((id) => !known.has(id)).map((id) => `${path}: '${title}' claims '${id}', which is no claim`),
    ),
    ...CLAIMS.filter(({ id }) => !shown.has(id)).map(({ id }) => `no test shows '${id}'`),
    ...CLAIMS.flatMap(({ faults = [] }) => faults)
      .filter((name) => !report.some((result) => result.name.startsWith(name)))
      .map((name) => `no case of the report is called '${name}…'`),
    ...report.filter((result) => !passed(result)).map(({ name, action }) => `${name} ${action} failed in the report`),
  ];
}

/** docs/guarantees.md, made from the tags of tests and from the last report that was kept. */
export function guaranteesPage(tests: readonly TaggedTest[], report: readonly Result[] = readReport()): string {
  return `${[
    '# Guarantees',
    '<!-- Made by `npm run docs:guarantees` from scripts/docs/claims.ts, the tests and test/faults/report.json. -->',
    'What is promised, and the tests that show it. A claim without a test fails the build.',
    ...CLAIMS.map((claim) => section(claim, tests, report)),
    '## Faults',
    'Last kept run of `npm run test:faults -- --report`, on real PostgreSQL and RabbitMQ. At each point the process at work meets an error, is killed with `kill -9`, or hangs until it is killed; then it starts again. In the cases of the network nobody restarts it. *Lost*: rows of the master that the replica lacks or has in another state. *Resurrected*: rows that the replica has and the master has not. *Effects twice*: what hooks wrote through their EntityManager more than once.',
    [TABLE_HEAD, ...report.map(tableRow)].join('\n'),
    '## What the network asks of you',
    'TCP does not tell an idle connection from a dead one. RabbitMQ is watched by heartbeats. PostgreSQL has none: give the pool limits (`driverOptions: { query_timeout, connectionTimeoutMillis, maxLifetimeSeconds }`, as these tests do), or a query whose answer is swallowed waits for ever. A query that ran into `query_timeout` leaves its connection in the pool as if it were sound, which `maxLifetimeSeconds` ends.',
    '## Not shown',
    'A worker whose connection to PostgreSQL is cut in the middle of a batch goes on by itself and loses nothing. But the transaction that was open then keeps its place in the pool for ever: Kysely gives a connection back only after a ROLLBACK that worked. After `pool.max` such losses the worker needs a restart, and it does not end when told. A connection that is swallowed instead of cut has stopped a worker for longer than the 20 seconds of the test. So the cases `network.worker-database` reset, flapping and black hole fail and are left out of the run; `npm run test:faults -- --only network.worker-database` shows them. Servers that stop, run out of memory or disk, and fail-over to a stand-by are not among the cases yet.',
  ].join('\n\n')}\n`;
}

function section({ id, says, faults = [] }: Claim, tests: readonly TaggedTest[], report: readonly Result[]): string {
  const cases = report.filter(({ name }) => faults.some((beginning) => name.startsWith(beginning)));
  return [
    `## ${id}`,
    '',
    says,
    '',
    ...tests.filter(({ claims }) => claims.includes(id)).map(({ path, title }) => `- [${path}](../${path}): ${title}`),
    ...(cases.length > 0
      ? [`- [the faults](#faults) below: ${cases.length} cases, ${cases.filter(passed).length} passed`]
      : []),
  ].join('\n');
}
