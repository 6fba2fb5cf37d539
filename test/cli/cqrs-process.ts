import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The real command, in a process of its own. */
export class CqrsProcess implements AsyncDisposable {
  readonly exited: Promise<number | string>;
  readonly #child: ChildProcess;
  #out = '';
  #err = '';
  #changed = Promise.withResolvers<void>();
  #ended = false;

  /** @param input a file descriptor for its standard input; default: none */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}, input?: number) {
    this.#child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
      stdio: [input ?? 'ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout!.on('data', (chunk) => this.#take(() => (this.#out += String(chunk))));
    this.#child.stderr!.on('data', (chunk) => this.#take(() => (this.#err += String(chunk))));
    this.exited = new Promise((resolve) => {
      // 'close' comes when nobody can write any more: with workers left behind it would not come
      this.#child.once('close', (code, signal) => this.#take(() => ((this.#ended = true), resolve(code ?? signal!))));
    });
  }

  get out(): string {
    return this.#out;
  }

  get err(): string {
    return this.#err;
  }

  /** Waits until the output matches; rejects with all of it when the process ends without. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#err) ?? pattern.exec(this.#out);
      if (match) return match;
      if (this.#ended) throw new Error(`ended without ${pattern}:\n${this.#out}\n${this.#err}`);
      await this.#changed.promise;
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #take(change: () => void): void {
    change();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** Whether a process is there, by its id. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
