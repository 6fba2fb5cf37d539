import { diffMaster, diffReplica, diffSync, SETTLE_SECONDS } from '../operations/diff.js';
import { seconds, UsageError, type Options, type Values } from './arguments.js';
import { watchBroker } from './broker-watch.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { standardInput } from './input.js';
import { openOutput } from './output.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown } from './shutdown.js';
import {
  batchSize,
  FROM_THE_FIRST,
  listEnd,
  report,
  requiredId,
  ROWS_OPTIONS,
  STREAM_OPTIONS,
} from './stream-options.js';

const SETTLE_OPTION = {
  type: 'string',
  value: '<n>',
  help: `Leave out rows changed less than n seconds ago; default ${SETTLE_SECONDS}.`,
} as const;
const { batch: BATCH, ...COMMON_OPTIONS } = STREAM_OPTIONS;

export const DIFF_MASTER_OPTIONS = {
  ...ROWS_OPTIONS,
  'settle-seconds': SETTLE_OPTION,
  checksums: { type: 'boolean', help: 'Compare content, too; not for Python at the other end.' },
  fields: {
    type: 'string',
    value: '<names>',
    help: 'With --checksums: only these fields, by their names on the wire, with commas.',
  },
  ...STREAM_OPTIONS,
} as const satisfies Options;

export const DIFF_REPLICA_OPTIONS = { 'settle-seconds': SETTLE_OPTION, ...COMMON_OPTIONS } as const satisfies Options;

export const DIFF_SYNC_OPTIONS = {
  queue: { type: 'string', short: 'q', value: '<queue>', help: 'Whom to send to; default: the replica that asks.' },
  batch: BATCH,
  ...COMMON_OPTIONS,
} as const satisfies Options;

/** `cqrs diff-master`: the first of the pipe. */
export async function diffMasterCommand(values: Values<typeof DIFF_MASTER_OPTIONS>): Promise<number> {
  const cqrsId = requiredId(values);
  const filter = parseFilter(values.filter);
  const pageSize = batchSize(values);
  const settleSeconds = seconds('settle-seconds', values['settle-seconds']);
  if (values.fields !== undefined && !values.checksums) throw new UsageError('--fields is for --checksums.');
  const signal = onShutdown();
  const checksums = values.checksums ? (values.fields?.split(',').map((name) => name.trim()) ?? 'all') : undefined;
  await using service = await loadService(values);
  await service.cqrs.check();
  using output = openOutput(process.stdout);
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await withFilter(() =>
    diffMaster(service.cqrs, {
      cqrsId,
      filter,
      pageSize,
      settleSeconds,
      checksums,
      signal,
      write: (text) => output.text(text),
      onProgress: (processed) => progress.show(processed),
    }),
  );
  progress[Symbol.dispose]();
  const unsettled = result.unsettled > 0 ? [`${result.unsettled} instance(s) left out: changed a moment ago.`] : [];
  report(console.error, values.json, result, [`${result.listed} instance(s) listed.`, ...unsettled]);
  return listEnd(signal);
}

/** `cqrs diff-replica`: the second of the pipe. */
export async function diffReplicaCommand(values: Values<typeof DIFF_REPLICA_OPTIONS>): Promise<number> {
  const settleSeconds = seconds('settle-seconds', values['settle-seconds']);
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  using output = openOutput(process.stdout);
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await diffReplica(service.cqrs, standardInput(signal), {
    settleSeconds,
    signal,
    write: (text) => output.text(text),
    onProgress: (processed) => progress.show(processed),
  });
  progress[Symbol.dispose]();
  const { compared, missing, stale, damaged, ahead } = result;
  report(console.error, values.json, result, [
    `${missing + stale + damaged} of ${compared} instance(s) differ: ${missing} missing, ${stale} at another revision, ${damaged} with other content.`,
    ...(ahead > 0 ? [`${ahead} instance(s) left alone: changed since the list was made.`] : []),
  ]);
  return listEnd(signal);
}

/** `cqrs diff-sync`: the third of the pipe. */
export async function diffSyncCommand(values: Values<typeof DIFF_SYNC_OPTIONS>): Promise<number> {
  const pageSize = batchSize(values);
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  // Told now: later on, a broker that is away is waited for.
  await service.cqrs.connect();
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  using _ = watchBroker(service.cqrs.events, progress.say, () => FROM_THE_FIRST);
  const result = await diffSync(service.cqrs, standardInput(signal), {
    queue: values.queue,
    pageSize,
    signal,
    onProgress: (processed) => progress.show(processed),
  });
  progress[Symbol.dispose]();
  const { processed, synced, withdrawn, unroutable, refused } = result;
  report(console.log, values.json, result, [
    `${synced} instance(s) synced.`,
    ...(withdrawn > 0 ? [`${withdrawn} instance(s) withdrawn: they are not replicated.`] : []),
    `${processed} instance(s) processed.`,
  ]);
  if (unroutable > 0) console.error(`cqrs: ${unroutable} messages reached no queue.`);
  if (refused > 0) {
    console.error(`cqrs: ${refused} messages are held, since the broker refuses them: see cqrs refused list`);
  }
  if (signal.aborted) console.error(`cqrs: stopped before the end; ${FROM_THE_FIRST}`);
  return unroutable + refused > 0 || signal.aborted ? Exit.failed : Exit.done;
}
