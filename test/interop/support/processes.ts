import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended, and what it has printed. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runToEnd(child: ChildProcessWithoutNullStreams, input: string): Promise<Ended> {
  const stdout = collect(child, 'stdout');
  const stderr = collect(child, 'stderr');
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, stdout: stdout(), stderr: stderr() };
}

/** Everything that a program has printed so far. */
export function collect(child: ChildProcessWithoutNullStreams, stream: 'stdout' | 'stderr'): () => string {
  let text = '';
  child[stream].setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return () => text;
}
