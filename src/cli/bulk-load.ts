import { loadRows } from '../operations/load.js';
import { UsageError, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { openInput } from './input.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown } from './shutdown.js';
import { batchSize, report, STREAM_OPTIONS } from './stream-options.js';

export const BULK_LOAD_OPTIONS = {
  input: { type: 'string', short: 'i', value: '<file>', help: 'The dump; mandatory; - for standard input.' },
  clear: { type: 'boolean', short: 'c', help: 'Also remove what the dump does not have, all in one transaction.' },
  ...STREAM_OPTIONS,
  batch: { ...STREAM_OPTIONS.batch, help: 'Rows a transaction; default 5000, fewer where they are long.' },
} as const satisfies Options;

/** `cqrs bulk-load`: loads a dump, ours or django-cqrs's, into a replica. */
export async function bulkLoad(values: Values<typeof BULK_LOAD_OPTIONS>): Promise<number> {
  if (values.input === undefined) throw new UsageError('--input is missing: which dump?');
  const { clear } = values;
  const size = batchSize(values);
  const signal = onShutdown();
  const source = await openInput(values.input, signal);
  await using service = await loadService(values);
  await service.cqrs.check();
  using progress = startProgress({ unit: 'lines', always: values.progress === true });
  const result = await loadRows(service.cqrs, source, {
    clear,
    batchSize: size,
    signal,
    onProgress: (lines) => progress.show(lines),
    onFailure: (line, reason) => progress.say(`cqrs: line ${line}: ${reason}`),
  });
  progress[Symbol.dispose]();
  const { loaded, kept, failed, removed, newer, stopped } = result;
  const untouched = clear === true && (failed > 0 || stopped);
  report(console.log, values.json, result, [
    `${loaded} instance(s) loaded.`,
    ...(kept > 0 ? [`${kept} instance(s) left as they are: the table has the same or a newer state.`] : []),
    ...(clear && !untouched ? [`${removed} instance(s) removed.`] : []),
    ...(newer > 0 ? [`${newer} instance(s) that the dump does not have were kept: they are newer than it.`] : []),
  ]);
  if (failed > 0)
    console.error(`cqrs: ${failed} lines could not be loaded${untouched ? '; nothing was changed' : ''}.`);
  if (stopped)
    console.error(`cqrs: stopped before the end; ${untouched ? 'nothing was changed' : 'run it again to go on'}.`);
  return failed > 0 || stopped ? Exit.failed : Exit.done;
}
