import { createReadStream, fstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { UsageError } from './arguments.js';

/**
 * The bytes of a file, or of standard input for `-`.
 * @throws UsageError when the file cannot be read.
 */
export async function openInput(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (path === '-') return standardInput();
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
  return stream;
}

/** @throws UsageError for a directory, which Node reads as if it were empty. */
export function standardInput(): AsyncIterable<Uint8Array> {
  if (fstatSync(0).isDirectory()) throw new UsageError(`Standard input cannot be read: ${REASONS['EISDIR']}.`);
  return process.stdin;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
};
