import type { SyncResult } from '../cqrs.js';
import { UsageError, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { loadService, SERVICE_OPTIONS } from './service.js';
import { onShutdown } from './shutdown.js';

export const SYNC_OPTIONS = {
  'cqrs-id': { type: 'string', value: '<id>', help: 'Whose rows; mandatory.' },
  filter: { type: 'string', value: '<json>', help: "Which rows, in MikroORM's query syntax; default: all of them." },
  queue: { type: 'string', value: '<queue>', help: 'The one replica that is to get them; default: all replicas.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs sync`: sends the present state of rows again. */
export async function sync(values: Values<typeof SYNC_OPTIONS>): Promise<number> {
  const cqrsId = values['cqrs-id'];
  if (cqrsId === undefined) throw new UsageError('--cqrs-id is missing: which rows are to be sent?');
  const filter = parseFilter(values.filter);
  const { queue } = values;
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  const progress = terminalLine();
  const onProgress = ({ synced, withdrawn }: SyncResult): void => progress.show(`${synced + withdrawn} rows`);
  const result = await withFilter(() => service.cqrs.sync({ cqrsId, filter, queue, signal, onProgress })).finally(() =>
    progress.clear(),
  );
  const where = queue === undefined ? 'all replicas' : `queue ${queue}`;
  console.log(`${cqrsId}: ${result.synced} rows sent to ${where}, ${result.withdrawn} withdrawn that no longer match.`);
  if (result.unroutable > 0) {
    console.error(
      `cqrs: ${result.unroutable} messages reached no queue${queue === undefined ? '' : `; is '${queue}' the queue of a replica of ${cqrsId}?`}`,
    );
  }
  if (signal.aborted) console.error('cqrs: stopped before the end.');
  return result.unroutable > 0 || signal.aborted ? Exit.failed : Exit.done;
}

// Rewritten in place for a person; a log file or a pipe gets the result alone.
function terminalLine(): { show(text: string): void; clear(): void } {
  const write = (text: string): void => void (process.stderr.isTTY && process.stderr.write(`\r\u001b[K${text}`));
  return { show: write, clear: () => write('') };
}
