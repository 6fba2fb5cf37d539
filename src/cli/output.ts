import type { Writable } from 'node:stream';

/** Lines for whoever reads the other end of a pipe. */
export interface Output extends Disposable {
  /** Resolves when the reader has room for more. @throws BrokenPipeError */
  line(text: string): Promise<void>;
  /** The same without the end of a line. */
  text(text: string): Promise<void>;
}

/** The reader has gone: `… | head` does that. */
export class BrokenPipeError extends Error {
  override readonly name = 'BrokenPipeError';
}

/** Writes to a stream that may break: Node ends the process with a stack otherwise. */
export function openOutput(stream: Writable): Output {
  const ignore = (): void => {}; // the error comes to the write that met it
  stream.on('error', ignore);
  const text = (chunk: string): Promise<void> =>
    new Promise((resolve, reject) => {
      stream.write(chunk, (error) => (error ? reject(explained(error)) : resolve()));
    });
  return {
    text,
    line: (line) => text(`${line}\n`),
    // Late answers still come: the stream outlives its use here.
    [Symbol.dispose]: () => {},
  };
}

function explained(error: Error): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'EPIPE' && code !== 'ERR_STREAM_DESTROYED') return error;
  return new BrokenPipeError('the reader of its output has gone before the end (broken pipe).', { cause: error });
}
