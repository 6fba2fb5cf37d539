import { createReadStream, fstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
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

async function* untilAborted(source: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    for (let isFirst = true; ; isFirst = false) {
      const chunk = await unlessAborted(signal, chunks.next());
      if (signal.aborted && isFirst) throw new StoppedError('nothing was done.');
      if (!chunk || chunk.done) return;
      yield chunk.value as Uint8Array;
    }
  } finally {
    source.destroy();
  }
}

/** @returns undefined as soon as the signal is aborted, if it is. */
function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<T | undefined>();
  const stop = (): void => resolve(undefined);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  work.then(resolve, reject);
  return promise.finally(() => signal.removeEventListener('abort', stop));
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
};
