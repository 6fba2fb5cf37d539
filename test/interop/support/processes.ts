import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended, and what it has printed. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits for a program that reads nothing, or whose input is a pipe already. */
export async function runToEnd(
  child: ChildProcessWithoutNullStreams,
  input: 'empty' | 'piped' = 'empty',
): Promise<Ended> {
  const stdout = collect(child, 'stdout');
  const stderr = collect(child, 'stderr');
  if (input === 'empty') child.stdin.end();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, stdout: stdout(), stderr: stderr() };
}

/** Lets each program read what the one before it prints, as a shell does with `a | b | c`. */
export function pipe(children: readonly ChildProcessWithoutNullStreams[]): Promise<Ended[]> {
  return Promise.all(
    children.map((child, index) => {
      const before = children[index - 1];
      before?.stdout.pipe(child.stdin);
      return runToEnd(child, before ? 'piped' : 'empty');
    }),
  );
}

/** Everything that a program has printed so far. */
export function collect(child: ChildProcessWithoutNullStreams, stream: 'stdout' | 'stderr'): () => string {
  let text = '';
  child[stream].setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return () => text;
}
