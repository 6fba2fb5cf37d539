import { spawn, spawnSync } from 'node:child_process';
import { root } from './paths.ts';

export interface RunOptions {
  readonly label?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** A command that failed, with what it printed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly output: string;
  constructor(label: string, output: string) {
    super(`${label} failed:\n${output.trim()}`);
    this.output = output;
  }
}

/** Runs quietly; its output is seen only when it fails. */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<void> {
  await capture(words, options);
}

/** Runs quietly and answers what it printed. */
export function capture(words: readonly string[], options: RunOptions = {}): Promise<string> {
  const [command, ...args] = words;
  return new Promise((resolve, reject) => {
    const child = spawn(command!, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.timeoutMs && { timeout: options.timeoutMs }),
    });
    const out: Buffer[] = [];
    const all: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => (out.push(chunk), all.push(chunk)));
    child.stderr.on('data', (chunk: Buffer) => all.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const label = options.label ?? words.join(' ');
      if (code === 0) resolve(Buffer.concat(out).toString());
      else reject(new CommandFailed(signal ? `${label} (${signal})` : label, Buffer.concat(all).toString()));
    });
  });
}

/** Runs with this terminal and answers the exit code. */
export async function passThrough(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd: string = root,
): Promise<number> {
  const [command, ...args] = words;
  const child = spawn(command!, args, { cwd, env: { ...process.env, ...env }, stdio: 'inherit' });
  // Ctrl-C reaches the child by itself, which decides when it is done; leaving before it would orphan it
  const wait = (): void => {};
  const terminate = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', wait).on('SIGTERM', terminate);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGINT', wait).off('SIGTERM', terminate);
  }
}

export function succeeds(words: readonly string[]): boolean {
  const [command, ...args] = words;
  return spawnSync(command!, args, { stdio: 'ignore', timeout: 20_000 }).status === 0;
}
