import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { compile } from '../../faults/compiled.ts';
import { within } from '../../faults/within.ts';
import type { End, FromWriter } from './writing.ts';

/** Longer than any program takes that still moves. */
const PATIENCE_MS = 120_000;

/** Counts what became of programs. */
export interface Tally {
  committed: number;
  rolledBack: number;
  failed: number;
  refused: number;
  /** Cut off by kill -9. */
  killed: number;
  readonly whys: Record<string, number>;
}

/** One process with some of the clients, started again whenever it was killed. */
class Writer {
  #child: ChildProcess | undefined;
  #killing: Promise<void> | undefined;
  /** client → the transaction that it does next. */
  readonly #next = new Map<number, number>();
  readonly #busy = new Map<number, PromiseWithResolvers<void>>();
  #task: { seed: number; count: number } | undefined;

  constructor(
    private readonly program: string,
    private readonly clients: readonly number[],
    private readonly settings: object,
    private readonly tally: Tally,
    private readonly strange: (problem: string) => void,
    private readonly begun: Map<string, number>,
  ) {}

  async start(): Promise<void> {
    const child = fork(this.program, {
      env: { ...process.env, CAMPAIGN_WRITER: JSON.stringify(this.settings) },
      // of `pg`, about statements of parallel transactions, which are meant
      execArgv: ['--disable-warning=DeprecationWarning'],
    });
    this.#child = child;
    const ready = Promise.withResolvers<void>();
    child.on('message', (message: FromWriter) => {
      if (message.ready) ready.resolve();
      this.#hear(message);
    });
    child.once('exit', (code, signal) => {
      const early = new Error(`a writer ended by itself (${signal ?? code})`);
      ready.reject(early);
      if (signal !== 'SIGKILL') for (const busy of this.#busy.values()) busy.reject(early);
    });
    await within(PATIENCE_MS, 'waiting for a writer', ready.promise);
    for (const client of this.#busy.keys()) this.#send(client);
  }

  /** Resolves when each client has run so many programs. */
  async play(seed: number, count: number): Promise<void> {
    this.#task = { seed, count };
    for (const client of this.clients) {
      this.#next.set(client, 0);
      this.#busy.set(client, Promise.withResolvers());
      this.#send(client);
    }
    const all = Promise.all([...this.#busy.values()].map(({ promise }) => promise));
    await within(30 * PATIENCE_MS, 'waiting for the clients', all);
    await this.#killing;
  }

  /** kill -9, and a new process in its place. @returns whether there was one at work */
  kill(): boolean {
    if (this.#killing || this.#busy.size === 0) return false;
    const child = this.#child!;
    this.#killing = (async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      for (const client of this.#busy.keys()) {
        this.tally.killed++;
        this.#next.set(client, this.#next.get(client)! + 1);
      }
      await this.start();
    })().finally(() => (this.#killing = undefined));
    this.#killing.catch((error: unknown) => {
      for (const busy of this.#busy.values()) busy.reject(error);
    });
    return true;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  #send(client: number): void {
    const from = this.#next.get(client)!;
    const { seed, count } = this.#task!;
    this.#child!.send({ seed, client, from, count: Math.max(0, count - from) }, () => {});
  }

  #hear({ begun, ended, strange, finished }: FromWriter): void {
    if (begun) {
      this.#next.set(begun.client, begun.transaction);
      this.begun.set(`${begun.client}.${begun.transaction}`, begun.at);
    }
    if (ended) {
      this.#next.set(ended.client, ended.transaction + 1);
      this.#count(ended);
    }
    if (strange !== undefined) this.strange(strange);
    if (finished !== undefined) {
      this.#busy.get(finished)?.resolve();
      this.#busy.delete(finished);
    }
  }

  #count({ end, why }: End): void {
    const names = {
      committed: 'committed',
      'rolled back': 'rolledBack',
      refused: 'refused',
      failed: 'failed',
    } as const;
    this.tally[names[end]]++;
    if (why !== undefined) this.tally.whys[why] = (this.tally.whys[why] ?? 0) + 1;
  }
}

/** All processes that write. */
export class Writers implements AsyncDisposable {
  readonly tally: Tally = { committed: 0, rolledBack: 0, failed: 0, refused: 0, killed: 0, whys: {} };
  /** Errors that no right program gets; taken by the round. */
  readonly strange: string[] = [];
  /** When the programs of this round began, by their names; in milliseconds since 1970. */
  readonly begun = new Map<string, number>();
  #writers: Writer[] = [];

  static async start(shape: { processes: number; clients: number }, settings: object): Promise<Writers> {
    const folder = await compile('test/campaign/masters/tsconfig.writer.json');
    const all = new Writers();
    all.#writers = Array.from({ length: shape.processes }, (_, index) => {
      const clients = Array.from({ length: shape.clients }, (_unused, client) => index * shape.clients + client);
      return new Writer(
        `${folder}/test/campaign/masters/writer.js`,
        clients,
        settings,
        all.tally,
        (problem) => all.strange.push(problem),
        all.begun,
      );
    });
    await Promise.all(all.#writers.map((writer) => writer.start()));
    return all;
  }

  async play(seed: number, count: number): Promise<void> {
    this.begun.clear();
    await Promise.all(this.#writers.map((writer) => writer.play(seed, count)));
  }

  kill(which: number): boolean {
    return this.#writers[which % this.#writers.length]!.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.stop()));
  }
}
