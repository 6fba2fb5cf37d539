import { statSync } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { describeError } from '../kernel/describe-error.js';
import { dumpRows } from '../operations/dump.js';
import { UsageError, type Options, type Values } from './arguments.js';
import { Exit } from './command.js';
import { parseFilter, withFilter } from './filter.js';
import { openOutput } from './output.js';
import { startProgress } from './progress.js';
import { loadService } from './service.js';
import { onShutdown, StoppedError } from './shutdown.js';
import { batchSize, report, requiredId, ROWS_OPTIONS, STREAM_OPTIONS } from './stream-options.js';

export const BULK_DUMP_OPTIONS = {
  'cqrs-id': ROWS_OPTIONS['cqrs-id'],
  output: { type: 'string', short: 'o', value: '<file>', help: 'Where to; default <id>.dump, - for standard output.' },
  force: { type: 'boolean', short: 'f', help: 'Write over a file that exists.' },
  filter: { type: 'string', value: '<json>', help: ROWS_OPTIONS.filter.help },
  ...STREAM_OPTIONS,
} as const satisfies Options;

/** `cqrs bulk-dump`: the rows of a master as a file for `bulk-load`, ours or django-cqrs's. */
export async function bulkDump(values: Values<typeof BULK_DUMP_OPTIONS>): Promise<number> {
  const cqrsId = requiredId(values);
  const pageSize = batchSize(values);
  const filter = parseFilter(values.filter);
  const path = values.output ?? `${cqrsId}.dump`;
  const present = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (present?.isDirectory()) throw new UsageError(`${path} is a directory; name a file in it with --output.`);
  if (present?.isFile() && !values.force) {
    throw new UsageError(`${path} exists; write over it with --force, or name another with --output.`);
  }
  const signal = onShutdown();
  await using service = await loadService(values);
  await service.cqrs.check();
  service.cqrs.masters.get(cqrsId);
  await using target =
    path === '-' ? toStandardOutput() : present && !present.isFile() ? await toDevice(path) : await toFile(path);
  using progress = startProgress({ unit: 'rows', always: values.progress === true });
  const result = await withFilter(() =>
    dumpRows(service.cqrs, {
      cqrsId,
      filter,
      pageSize,
      signal,
      count: values.progress === true || process.stderr.isTTY,
      write: target.write,
      onProgress: (processed, total) => progress.show(processed, total),
      onFailure: (key, reason) => progress.say(`cqrs: ${cqrsId} ${key} is left out: ${reason}`),
    }),
  );
  progress[Symbol.dispose]();
  if (signal.aborted) throw new StoppedError(target.isFile ? 'nothing was kept.' : 'what was written is not all.');
  await target.keep();
  report(console.error, values.json, result, [
    `${result.saved} instance(s) saved.`,
    `${result.processed} instance(s) processed.`,
  ]);
  return result.failed > 0 ? Exit.failed : Exit.done;
}

interface Target extends AsyncDisposable {
  /** Whether nothing is seen of it before `keep`. */
  readonly isFile: boolean;
  write(text: string): Promise<void>;
  /** Makes it final; without this, nothing is left of it. */
  keep(): Promise<void>;
}

function toStandardOutput(): Target {
  const output = openOutput(process.stdout);
  return {
    isFile: false,
    write: (text) => output.text(text),
    keep: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A named pipe or a device, which a file must not take the place of: /dev/null would be one afterwards. */
async function toDevice(path: string): Promise<Target> {
  const device = await opened(path, path, 'w');
  return {
    isFile: false,
    write: (text) => device.appendFile(text),
    keep: async () => {},
    [Symbol.asyncDispose]: () => device.close(),
  };
}

/** Into a file beside it, which takes its name when it is complete. */
async function toFile(path: string): Promise<Target> {
  const draft = `${path}.${process.pid}.part`;
  const file = await opened(path, draft, 'wx');
  let kept = false;
  return {
    isFile: true,
    write: (text) => file.appendFile(text),
    keep: async () => {
      await file.sync();
      await file.close();
      await rename(draft, path);
      kept = true;
    },
    [Symbol.asyncDispose]: async () => {
      if (kept) return;
      await file.close().catch(() => {});
      await unlink(draft).catch(() => {});
    },
  };
}

function opened(path: string, file: string, flags: 'w' | 'wx'): Promise<FileHandle> {
  return open(file, flags).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be written: ${describeError(error)}`, { cause: error });
  });
}
