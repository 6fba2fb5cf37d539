import { deletedDiffMaster, deletedDiffReplica, deletedSyncReplica } from '../operations/deleted-diff.js';
import { type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { standardInput } from './input.js';
import { openOutput } from './output.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown } from './shutdown.js';
import { batchSize, listEnd, report, requiredId, ROWS_OPTIONS, STREAM_OPTIONS } from './stream-options.js';

const { batch: _, ...COMMON_OPTIONS } = STREAM_OPTIONS;

export const DELETED_DIFF_REPLICA_OPTIONS = { ...ROWS_OPTIONS, ...STREAM_OPTIONS } as const satisfies Options;
export const DELETED_DIFF_MASTER_OPTIONS = COMMON_OPTIONS satisfies Options;
export const DELETED_SYNC_REPLICA_OPTIONS = COMMON_OPTIONS satisfies Options;

/** `cqrs deleted-diff-replica`: the first of the pipe. */
export async function deletedDiffReplicaCommand(values: Values<typeof DELETED_DIFF_REPLICA_OPTIONS>): Promise<number> {
  const cqrsId = requiredId(values);
  const filter = parseFilter(values.filter);
  const pageSize = batchSize(values);
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  using output = openOutput(process.stdout);
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await withFilter(() =>
    deletedDiffReplica(service.cqrs, {
      cqrsId,
      filter,
      pageSize,
      signal,
      write: (text) => output.text(text),
      onProgress: (processed) => progress.show(processed),
    }),
  );
  progress[Symbol.dispose]();
  report(console.error, values.json, result, [`${result.listed} instance(s) listed.`]);
  return listEnd(signal);
}

/** `cqrs deleted-diff-master`: the second of the pipe. */
export async function deletedDiffMasterCommand(values: Values<typeof DELETED_DIFF_MASTER_OPTIONS>): Promise<number> {
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  using output = openOutput(process.stdout);
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await deletedDiffMaster(service.cqrs, standardInput(signal), {
    signal,
    write: (text) => output.text(text),
    onProgress: (processed) => progress.show(processed),
  });
  progress[Symbol.dispose]();
  report(console.error, values.json, result, [`${result.deleted} of ${result.compared} instance(s) to be deleted.`]);
  return listEnd(signal);
}

/** `cqrs deleted-sync-replica`: the third of the pipe. */
export async function deletedSyncReplicaCommand(values: Values<typeof DELETED_SYNC_REPLICA_OPTIONS>): Promise<number> {
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await deletedSyncReplica(service.cqrs, standardInput(signal), {
    signal,
    onProgress: (processed) => progress.show(processed),
    onFailure: (key, reason) => progress.say(`cqrs: ${key} is not deleted: ${reason}`),
  });
  progress[Symbol.dispose]();
  const { processed, deleted, gone, kept, failed } = result;
  report(console.log, values.json, result, [
    `${deleted} instance(s) deleted.`,
    ...(gone > 0 ? [`${gone} instance(s) were gone already.`] : []),
    ...(kept > 0 ? [`${kept} instance(s) kept: changed since the list was made.`] : []),
    `${processed} instance(s) processed.`,
  ]);
  if (failed > 0) console.error(`cqrs: ${failed} instances could not be deleted.`);
  if (signal.aborted)
    console.error(
      'cqrs: stopped before the end; what was deleted stays; run the pipe again from its first command for the rest.',
    );
  return failed > 0 || signal.aborted ? Exit.failed : Exit.done;
}
