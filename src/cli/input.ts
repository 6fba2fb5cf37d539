import { createReadStream, fstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { UsageError } from './arguments.js';
import { StoppedError } from './shutdown.js';

/**
 * The bytes of a file, or of standard input for `-`; they end when the signal is aborted, maybe in the middle of a line.
 * @throws UsageError when the file cannot be read.
 */
export async function openInput(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return standardInput(signal);
  const unreadable = (error: unknown): UsageError => {
    const { code } = error as NodeJS.ErrnoException;
    const why = REASONS[code ?? ''] ?? code ?? 'it cannot be read';
    return new UsageError(`${path} cannot be read: ${why}.`, { cause: error });
  };
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(error);
  });
  if (found.isDirectory()) throw unreadable(Object.assign(new Error(), { code: 'EISDIR' }));
  const stream = createReadStream(path);
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error) => reject(unreadable(error)));
  });
  return untilAborted(stream, signal);
}

/**
 * Standard input; it ends when the signal is aborted, maybe in the middle of a line: whoever writes it may be slow.
 * @throws UsageError for a directory, which Node reads as if it were empty.
 */
export function standardInput(signal: AbortSignal): AsyncIterable<Uint8Array> {
  if (fstatSync(0).isDirectory()) throw new UsageError(`Standard input cannot be read: ${REASONS['EISDIR']}.`);
  return untilAborted(process.stdin, signal);
}

async function* untilAborted(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  for (let isFirst = true; ; isFirst = false) {
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array> | undefined>();
    const stop = (): void => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    chunks.next().then(resolve, reject);
    const chunk = await promise.finally(() => signal.removeEventListener('abort', stop));
    if (signal.aborted && isFirst) throw new StoppedError('nothing was done.');
    if (signal.aborted || !chunk || chunk.done) return;
    yield chunk.value;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
};
