import { type Campaign, faultCount, readCampaign } from '../../test/campaign/report.ts';
import { type MastersCampaign, readMastersCampaigns } from '../../test/campaign/masters/report.ts';
import { readReport } from '../../test/faults/report.ts';
import { LOAD_HEAD, type LoadReport, loadRow, readLoads } from '../../test/load/report.ts';
import { readScores, type Score, SCORE_HEAD, scoreRow } from '../../test/mutation/report.ts';
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
  /^\s*\/\/ claims: (?<claims>[\w, -]+)\r?\n\s*(?:test|describe|history)(?:\.each)?\((?:\d+, )?(?<quote>['"`])(?<title>.*?)\k<quote>/gm;
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

function campaignSection(campaign: Campaign | undefined): string[] {
  if (!campaign) return [];
  const { transactions, faults } = campaign;
  const rows = Object.entries(faults).toSorted(([, a], [, b]) => b - a);
  const seconds = (campaign.slowestRecoveryMs / 1_000).toFixed(1);
  return [
    '## Campaign',
    `Last kept run of \`npm run campaign -- --report\`: random writes of every kind, and in the middle of them random faults, with two relays and three workers, each on a wire of its own. A plain map says what the master must hold. After each round master, map and replica were equal, the outbox was empty, nothing unacknowledged and nothing dead.`,
    `Seed ${campaign.seed}, ${campaign.rounds} rounds in ${campaign.minutes} minutes: **${faultCount(campaign)} faults**, ${transactions.committed} transactions committed, ${transactions.rolledBack} rolled back, ${transactions.failed} failed, ${transactions.doubtful} whose COMMIT had no answer, ${campaign.syncs} syncs. Lost ${campaign.lost}, resurrected ${campaign.resurrected}, effects twice ${campaign.duplicatedEffects}. All was equal at most ${seconds} s after the last fault of a round.`,
    ['| fault | times |', '|---|---|', ...rows.map(([kind, count]) => `| ${kind} | ${count} |`)].join('\n'),
  ];
}

function mastersSection(campaigns: readonly MastersCampaign[]): string[] {
  if (campaigns.length === 0) return [];
  return [
    '## Campaign over masters',
    `Last kept runs of \`npm run campaign -- --masters --report\`, one for each way of capture (\`--mode\`): random transactions in every way that MikroORM can write (flush, native calls, upserts, query builders, bulk operations, collections, hooks, nested and parallel transactions, savepoints, isolation levels, locks), with \`kill -9\` of writing processes and connections cut. After each COMMIT the rows that a logical decoding slot says were changed were compared with the messages of the same transaction: final state, revision, incarnation, times, previous data. After each round the replica was compared with the master, table by table. Writes of other programs are compared only where the way of capture sees them.`,
    ...campaigns.map(mastersParagraph),
  ];
}

function mastersParagraph(campaign: MastersCampaign): string {
  const { programs, mode } = campaign;
  const failed = programs.failed + programs.rolledBack + programs.refused + programs.killed;
  return `Capture by ${mode}, MikroORM ${campaign.mikroOrm}, seed ${campaign.seed}, ${campaign.rounds} rounds in ${campaign.minutes} minutes: **${campaign.transactions} transactions** that changed ${campaign.rows} rows and wrote ${campaign.messages} messages, **${campaign.problems.length} differences**. ${programs.committed} programs committed, ${failed} ended otherwise: ${programs.failed} failed (duplicate keys, missing parents, serialization failures, deadlocks, lost connections), ${programs.rolledBack} gave up on purpose, ${programs.refused} were refused with \`UnsupportedWriteError\`, ${programs.killed} were killed. ${campaign.kills} times \`kill -9\`, ${campaign.terminations} connections ended. ${unseen(campaign)}`;
}

function unseen({ mode, unknownBefore, uncaptured }: MastersCampaign): string {
  if (mode === 'trigger') return 'Writes by raw SQL and other programs were captured as all others.';
  return `${unknownBefore} upserts met a row that was inserted after they had looked: its former values are not known. ${uncaptured} changes by raw SQL and other programs, which this way of capture does not see, arrived with the next \`cqrs sync\`.`;
}

function loadSection(report: LoadReport | undefined): string[] {
  if (!report) return [];
  return [
    '## Load',
    `Last kept run of \`npm run test:load -- --full --report\`, each relay and worker in a process of its own, on ${report.machine}. *Most memory* is the resident set of that process; *growth* is its slope over the second half, for each 100,000 messages, where there are enough of them to tell it from the garbage collector.`,
    [LOAD_HEAD, ...report.loads.map(loadRow)].join('\n'),
  ];
}

function mutantSection(scores: readonly Score[]): string[] {
  if (scores.length === 0) return [];
  return [
    '## Mutants',
    'Last kept run of `npm run test:mutation -- --report`: the rules are changed, one small thing at a time, and a test must fail for each. [test/mutation](../test/mutation/README.md) says what survived, and why.',
    [SCORE_HEAD, ...scores.map(scoreRow)].join('\n'),
  ];
}

/** docs/guarantees.md, made from the tags of tests and from the last report that was kept. */
export function guaranteesPage(
  tests: readonly TaggedTest[],
  report: readonly Result[] = readReport(),
  campaign: Campaign | undefined = readCampaign(),
): string {
  return `${[
    '# Guarantees',
    '<!-- Made by `npm run docs:guarantees` from scripts/docs/claims.ts, the tests, and the report.json of test/faults, test/campaign, test/campaign/masters, test/load and test/mutation. -->',
    'What is promised, and the tests that show it. They pass: `.ci/run` fails when one of them did not, and when a claim has none.',
    ...CLAIMS.map((claim) => section(claim, tests, report)),
    '## Faults',
    'Last kept run of `npm run test:faults -- --report`, on PostgreSQL and RabbitMQ servers of its own. At each point the process at work meets an error, is killed with `kill -9`, or hangs until it is killed; then it starts again. In the cases of the network nobody restarts it, and it must say what happened. *Lost*: rows of the master that the replica lacks or has in another state. *Resurrected*: rows that the replica has and the master has not. *Effects twice*: what hooks wrote through their EntityManager more than once.',
    [TABLE_HEAD, ...report.map(tableRow)].join('\n'),
    ...campaignSection(campaign),
    ...mastersSection(Object.values(readMastersCampaigns())),
    ...loadSection(readLoads()),
    ...mutantSection(readScores()),
    '## What the network asks of you',
    'TCP does not tell an idle connection from a dead one. RabbitMQ is watched by heartbeats. PostgreSQL has none: give the pool limits (`driverOptions: { query_timeout, connectionTimeoutMillis, maxLifetimeSeconds, idle_in_transaction_session_timeout }`, as these tests do), or a query whose answer is swallowed waits for ever. A connection whose query ran into `query_timeout` is given up; the statements of a batch that travel together count as one query, from the wait for keys to the COMMIT. A worker takes such a silence for the fault of the database, and tries its batch three more times before it looks for a message that is to blame. The last limit is for the other end: a worker or relay that is cut off without a word holds its keys until PostgreSQL gives its transaction up. A worker sets that limit by itself, at `replica.silentWorkerSeconds` or, with hooks, `health.stuckSeconds`, where the connection has none; a relay at three times `relay.publishTimeoutMs`. A hook that leaves its transaction idle for longer (while it waits for another service, say) loses it, and its message an attempt.',
    '## Not shown',
    'All servers of these tests run on one machine: a machine that loses its power, and with it what a disk had not written, is not among the cases. Neither is RabbitMQ as a cluster, nor what a fail-over costs a replica whose own database loses commits. `npm audit` is no step of `.ci/run`: not every registry answers it. Ask it before a release.',
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
