import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../kernel/describe-error.js';
import { parseJson, stringifyJson, type WireValue } from '../wire/values.js';
import { reconcile } from '../operations/reconcile/reconcile.js';
import type { ReconciledRow, ReconcileReport } from '../operations/reconcile/report.js';
import { isOtherIncarnation } from '../operations/reconcile/row-verdict.js';
import { durationSeconds, seconds, UsageError, wholeNumber, type Options, type Values } from './arguments.js';
import { watchBroker } from './broker-watch.js';
import { Exit } from './command.js';
import { startProgress } from './progress.js';
import { loadService, SERVICE_OPTIONS, type Service } from './service.js';
import { onShutdown } from './shutdown.js';

export const RECONCILE_OPTIONS = {
  'cqrs-id': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: '<id>',
    help: 'Whose rows; repeatable; default: every master of this service.',
  },
  queue: {
    type: 'string',
    short: 'q',
    multiple: true,
    value: '<queue>',
    help: 'The queue of the replica; mandatory; repeatable.',
  },
  key: { type: 'string', multiple: true, value: '<json>', help: 'Only this key, as it travels; repeatable.' },
  fields: {
    type: 'string',
    value: '<names>',
    help: 'Compare the content of these fields only, by their names on the wire, with commas.',
  },
  restored: {
    type: 'boolean',
    help: "The replica's database was restored from a backup: rows that it has later than the master begin a new incarnation.",
  },
  'dry-run': { type: 'boolean', help: 'Report only; repair nothing.' },
  every: { type: 'string', value: '<time>', help: 'Again and again, so long after the end of the last time: 15m, 1h.' },
  'settle-seconds': {
    type: 'string',
    value: '<n>',
    help: 'Rows changed less than n seconds ago are no difference; default 5.',
  },
  timeout: { type: 'string', value: '<time>', help: 'How long the replica may take for an answer; default 60s.' },
  sample: { type: 'string', value: '<n>', help: 'Name at most n of the rows that differ; default 100.' },
  progress: { type: 'boolean', short: 'p', help: 'Show progress where standard error is no terminal, too.' },
  json: { type: 'boolean', help: 'Print each report as one JSON object a line.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

const RUN_AGAIN = 'what was repaired stays; run it again for the rest.';

type ReconcileValues = Values<typeof RECONCILE_OPTIONS>;

/** `cqrs reconcile`: compares replicas with their masters over the broker, and repairs them. */
export async function reconcileCommand(values: ReconcileValues): Promise<number> {
  const queues = values.queue ?? [];
  if (queues.length === 0) throw new UsageError('--queue is missing: which replica?');
  const keys = values.key?.map(parseKey);
  if (keys && values['cqrs-id']?.length !== 1) throw new UsageError('--key needs one --cqrs-id.');
  const everySeconds = durationSeconds('every', values.every);
  const options = {
    keys,
    fields: values.fields?.split(',').map((name) => name.trim()),
    restored: values.restored,
    dryRun: values['dry-run'],
    settleSeconds: seconds('settle-seconds', values['settle-seconds']),
    timeoutSeconds: durationSeconds('timeout', values.timeout),
    sampleSize: wholeNumber('sample', values.sample, 0),
  };
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  const cqrsIds = values['cqrs-id'] ?? service.cqrs.masters.ids;
  for (const cqrsId of cqrsIds) service.cqrs.masters.get(cqrsId);
  if (cqrsIds.length === 0) throw new UsageError('This service has no masters, so there is nothing to compare.');
  const pairs = queues.flatMap((queue) => cqrsIds.map((cqrsId) => ({ queue, cqrsId })));
  const runAll = async (some: typeof pairs): Promise<End[]> => {
    const ends: End[] = [];
    for (const pair of some) {
      if (!signal.aborted) ends.push(await runOne(service, values, { ...pair, ...options, signal }));
    }
    return ends;
  };
  const once = async (): Promise<boolean> => {
    const first = await runAll(pairs);
    // What waited for rows of another entity, which have been repaired since, is there now.
    const stuck = pairs.filter((_, index) => first[index] === 'stuck');
    const second = pairs.length > 1 ? await runAll(stuck) : first;
    return !signal.aborted && !first.includes('unclean') && second.every((end) => end === 'clean');
  };
  if (everySeconds === undefined) return (await once()) ? Exit.done : Exit.failed;
  while (!signal.aborted) {
    // A replica that is away this time may be there the next time.
    await once().catch((error: unknown) => console.error(`cqrs: ${reasonOf(error)}`));
    await sleep(everySeconds * 1_000, undefined, { signal }).catch(() => {});
  }
  return Exit.done;
}

/** `stuck`: rows were sent, and the replica does not have them yet; `unclean`: something else is left to be done. */
type End = 'clean' | 'stuck' | 'unclean';

async function runOne(
  { cqrs }: Service,
  values: ReconcileValues,
  options: Parameters<typeof reconcile>[1],
): Promise<End> {
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  using _ = watchBroker(cqrs.events, progress.say, () => RUN_AGAIN);
  const report = await reconcile(cqrs, {
    ...options,
    onProgress: ({ done, total, phase }) => progress.show(done, total, phase),
    onFailure: (key, reason) => progress.say(`cqrs: ${options.cqrsId} ${key}: ${reason}`),
  });
  progress[Symbol.dispose]();
  console.log(values.json ? stringifyJson(report) : reportText(report, options.dryRun === true));
  const leftAlone = options.restored && !options.dryRun ? 0 : report.ahead;
  if (leftAlone > 0) {
    console.error(
      `cqrs: ${report.ahead} rows of ${report.queue} are later than their master's and were left alone. If the master was restored from a backup: cqrs sync --cqrs-id ${report.cqrsId} --new-incarnation; if the replica was: cqrs reconcile --restored`,
    );
  }
  const stuck = report.unrepaired - (options.dryRun ? 0 : leftAlone);
  if (stuck > 0) console.error(`cqrs: ${stuck} rows were sent and are still different; ${whyNot(report)}.`);
  if (report.failed > 0) console.error(`cqrs: ${report.failed} rows could not be compared: their serializer failed.`);
  if (report.stopped) console.error(`cqrs: stopped before the end; ${RUN_AGAIN}`);
  const left = differences(report) - report.repaired;
  if (left === 0 && report.failed === 0 && !report.stopped) return 'clean';
  return stuck > 0 && stuck === left && report.failed === 0 && !options.dryRun ? 'stuck' : 'unclean';
}

function whyNot({ reasons, queue }: ReconcileReport): string {
  const known = Object.entries(reasons).map(([reason, count]) => `${count} ${reason}`);
  return known.length === 0 ? `see the dead letters of ${queue}` : `the replica says why: ${known.join(', ')}`;
}

const KINDS = ['missing', 'extra', 'stale', 'damaged', 'ahead'] as const;

function differences(report: ReconcileReport): number {
  return KINDS.reduce((sum, kind) => sum + report[kind], 0);
}

/** A report for people. */
export function reportText(report: ReconcileReport, dryRun: boolean): string {
  const { cqrsId, queue, masterRows, replicaRows, fieldsLeftOut, unsettled, changedLately, traffic, sample } = report;
  const found = differences(report);
  const lines = [
    `${cqrsId} → ${queue}: ${masterRows} rows here, ${replicaRows} there, compared in ${(report.durationMs / 1_000).toFixed(1)} s`,
    found === 0
      ? '  no difference'
      : `  ${KINDS.map((kind) => `${report[kind]} ${kind}`).join(', ')}; ${dryRun ? 'nothing was repaired' : `${report.repaired} repaired`}`,
    ...sample.map(
      (row) =>
        `  ${stringifyJson(row.key)}: ${row.difference}${details(row)}, ${row.outcome}${row.reason === undefined ? '' : ` (${row.reason})`}`,
    ),
    ...(sample.length < found ? [`  … and ${found - sample.length} more`] : []),
    ...(changedLately > 0 ? [`  ${changedLately} rows were changed a moment ago and not compared`] : []),
    ...(unsettled > 0 ? [`  ${unsettled} rows were in flight`] : []),
    ...(report.fields === null ? ['  compared by revision only'] : []),
    ...(report.fields !== null && fieldsLeftOut.length > 0
      ? [`  not compared, since the replica does not have them: ${fieldsLeftOut.join(', ')}`]
      : []),
    `  ${traffic.questions} questions and answers of ${size(traffic.questionBytes)}, ${traffic.repairs} repairs of ${size(traffic.repairBytes)}`,
  ];
  return lines.join('\n');
}

/** At which revisions, and in which fields; never their values. */
function details({ master, replica, fields }: ReconciledRow): string {
  const revisions = [
    ...(master ? [`revision ${master.revision} here`] : []),
    ...(replica ? [`${master ? '' : 'revision '}${replica.revision} there`] : []),
  ];
  if (!master || !replica) return ` (${revisions.join(', ')})`;
  if (isOtherIncarnation(master, replica)) revisions.push('of another incarnation');
  const [only, ...others] = fields ?? [];
  const content =
    fields &&
    (only === undefined ? 'no field differs' : others.length > 0 ? `${fields.join(', ')} differ` : `${only} differs`);
  return ` (${[revisions.join(', '), ...(content ? [content] : [])].join('; ')})`;
}

function size(bytes: number): string {
  return bytes < 10_000 ? `${bytes} bytes` : `${(bytes / 1_000).toFixed(0)} kB`;
}

function parseKey(text: string): WireValue {
  try {
    return parseJson(text);
  } catch (error) {
    throw new UsageError(`--key must be JSON such as 7, '"b1c"' or '[7,"b"]', not ${text}.`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'cure' in error ? error.message : describeError(error);
}
