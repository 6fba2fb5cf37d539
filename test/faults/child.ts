import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { HealthState } from '../../src/activity/verdict.js';
import type { CqrsEventName } from '../../src/kernel/events.js';
import { compile } from './compiled.ts';
import type { Fault } from './injection.ts';
import type { Scene } from './scene.ts';
import { eventually, within } from './within.ts';
import type { Round } from './workload.ts';

export type Role = 'master' | 'worker';

let compiled: Promise<string> | undefined;

/** A service in a process of its own. */
export class Child {
  readonly #process: ChildProcess;
  readonly #said = new Map<string, PromiseWithResolvers<void>>();
  readonly #exited: Promise<unknown>;
  readonly #heard = new Set<CqrsEventName>();
  #health: HealthState[] = [];

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.#exited = once(process, 'exit');
    process.on('message', (message: { heard?: CqrsEventName; health?: HealthState }) => {
      if (message.heard) this.#heard.add(message.heard);
      else if (message.health) this.#health.push(message.health);
      else for (const word of Object.keys(message)) this.#word(word).resolve();
    });
  }

  static async start(role: Role, scene: Scene, fault?: Fault): Promise<Child> {
    const folder = await (compiled ??= compile('test/faults/tsconfig.victim.json'));
    const child = new Child(
      fork(`${folder}/test/faults/victim.js`, {
        env: { ...process.env, FAULTS_VICTIM: JSON.stringify({ role, scene, fault }) },
        execArgv: [],
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
    return within(120_000, `waiting for the child to be ${word}`, this.#word(word).promise);
  }

  /** Forgets what it has said so far. */
  listen(): void {
    this.#heard.clear();
    this.#health = this.#health.slice(-1);
  }

  /** Every state it called itself since then, beginning with the one it was in. */
  get states(): readonly HealthState[] {
    return this.#health;
  }

  /** Whether it calls itself so; it may take its time. */
  calls(itself: HealthState): Promise<boolean> {
    // A connection that nobody needs at the moment may be in its longest back-off, of 30 seconds; what was late counts for 60.
    return eventually(75_000, async () => this.#health.at(-1) === itself);
  }

  /** Whether it has said so since it was listened to; it may take its time. */
  hears(event: CqrsEventName): Promise<boolean> {
    return eventually(15_000, async () => this.#heard.has(event));
  }

  write(round: Round): void {
    this.#said.delete('written');
    this.#process.send({ write: round });
  }

  async gone(): Promise<void> {
    await within(30_000, 'waiting for the child to end', this.#exited);
  }

  /** Stops the process where it stands, and lets it go on after a while as if nothing had been. */
  async freeze(milliseconds: number): Promise<void> {
    this.suspend();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.resume();
  }

  suspend(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
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
