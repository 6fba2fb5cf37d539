import { describeError } from '../core/describe-error.js';
import type { SyncResult } from '../master/row-sender.js';
import { type Options, UsageError, type Values } from './arguments.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown } from './shutdown.js';
import { batchSize, requiredId, ROWS_OPTIONS, STREAM_OPTIONS } from './stream-options.js';

export const SYNC_OPTIONS = {
  ...ROWS_OPTIONS,
  queue: {
    type: 'string',
    short: 'q',
    value: '<queue>',
    help: 'The one replica that is to get them; default: all replicas.',
  },
  'new-incarnation': {
    type: 'boolean',
    help: 'Replace later states, too: after a restore of the master from a backup.',
  },
  ...STREAM_OPTIONS,
} as const satisfies Options;

/** `cqrs sync`: sends the present state of rows again. */
export async function sync(values: Values<typeof SYNC_OPTIONS>): Promise<number> {
  const cqrsId = requiredId(values);
  const filter = parseFilter(values.filter);
  const pageSize = batchSize(values);
  const { queue } = values;
  const newIncarnation = values['new-incarnation'];
  if (newIncarnation && queue !== undefined)
    throw new UsageError('--new-incarnation is for all replicas: leave out --queue.');
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  let failed = 0;
  const result = await withFilter(() =>
    service.cqrs.sync({
      cqrsId,
      filter,
      queue,
      pageSize,
      newIncarnation,
      signal,
      onProgress: ({ synced, withdrawn }) => progress.show(synced + withdrawn),
      onFailure: (key, error) => {
        failed++;
        console.error(`cqrs: ${cqrsId} ${key.join(', ')}: ${describeError(error)}`);
      },
    }),
  );
  progress[Symbol.dispose]();
  console.log(values.json ? JSON.stringify({ ...result, failed }) : summary(cqrsId, result, queue));
  if (failed > 0) console.error(`cqrs: ${failed} rows could not be sent.`);
  if (result.unroutable > 0) {
    console.error(
      `cqrs: ${result.unroutable} messages reached no queue${queue === undefined ? '' : `; is '${queue}' the queue of a replica of ${cqrsId}?`}`,
    );
  }
  if (signal.aborted) console.error('cqrs: stopped before the end.');
  return failed > 0 || result.unroutable > 0 || signal.aborted ? Exit.failed : Exit.done;
}

function summary(cqrsId: string, { synced, withdrawn }: SyncResult, queue: string | undefined): string {
  const where = queue === undefined ? 'all replicas' : `queue ${queue}`;
  return `${cqrsId}: ${synced} rows sent to ${where}, ${withdrawn} withdrawn that no longer match.`;
}
