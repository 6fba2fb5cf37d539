import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Fault } from './injection.ts';
import type { Scene } from './scene.ts';
import { within } from './within.ts';
import type { Round } from './workload.ts';

export type Role = 'master' | 'worker';

/** A service in a process of its own. */
export class Child {
  readonly #process: ChildProcess;
  readonly #said = new Map<string, PromiseWithResolvers<void>>();
  readonly #exited: Promise<unknown>;

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#exited = once(process, 'exit');
    process.on('message', (message: object) => {
      for (const word of Object.keys(message)) this.#word(word).resolve();
    });
  }

  static async start(role: Role, scene: Scene, fault?: Fault): Promise<Child> {
    const child = new Child(
      fork(fileURLToPath(new URL('victim.ts', import.meta.url)), {
        env: { ...process.env, FAULTS_VICTIM: JSON.stringify({ role, scene, fault }) },
        execArgv: process.execArgv,
      }),
    );
    await child.says('ready');
    return child;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Resolves once the process has said so; rejects when it never does. */
  says(word: 'ready' | 'injected' | 'written'): Promise<void> {
    return within(45_000, `waiting for the child to be ${word}`, this.#word(word).promise);
  }

  write(round: Round): void {
    this.#said.delete('written');
    this.#process.send({ write: round });
  }

  async gone(): Promise<void> {
    await within(15_000, 'waiting for the child to end', this.#exited);
  }

  async kill(): Promise<void> {
    if (this.running) this.#process.kill('SIGKILL');
    await this.gone();
  }

  /** Ends it in good order, or by force when it does not end; answers whether it ended by itself. */
  async stop(): Promise<boolean> {
    if (this.running) this.#process.kill('SIGTERM');
    const ended = await this.gone().then(
      () => true,
      () => false,
    );
    await this.kill();
    return ended;
  }

  #word(word: string): PromiseWithResolvers<void> {
    let said = this.#said.get(word);
    if (!said) this.#said.set(word, (said = Promise.withResolvers()));
    return said;
  }
}
