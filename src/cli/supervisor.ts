import type { ChildProcess } from 'node:child_process';
import type { Events } from '../kernel/events.js';
import { pause, Service } from '../kernel/service.js';
import { backoffMilliseconds } from '../kernel/retrying.js';
import { Exit } from './command.js';
import { aborted } from './shutdown.js';
import type { WorkerMessage } from './worker-process.js';
import type { WorkerReport, WorkerSigns } from './worker-reports.js';

export interface SupervisorParts {
  readonly workers: number;
  /** Starts the process of a worker, counted from 1, with an IPC channel. */
  readonly fork: (worker: number) => ChildProcess;
  readonly events: Events;
  /** A wrong set-up does not end it: its files are being worked on, and `restart` will come. Default false. */
  readonly patient?: boolean;
}

/** How long a worker may take to drain before its successor; what it has in hand is delivered again. */
const DRAIN_MS = 5_000;
/** A worker that lived this long was well; if it dies now, it is started again without delay. */
const WELL_AFTER_MS = 60_000;

/**
 * Keeps a number of worker processes running.
 *
 *   fork ─▶ running ──dies──▶ wait (200 ms, 400 ms … 30 s) ─▶ fork
 *              │ ├─ ends with `setup`: started again it would end the same way → all stop, `finished` says so
 *              │ └─ restart: told to drain ─▶ fork
 *              └─ stop: told to drain ─▶ ended
 *
 * The first worker goes ahead: the others are started once it works, so that a mistake is told once and a database
 * that comes up is not stormed.
 */
export class Supervisor extends Service {
  readonly #parts: SupervisorParts;
  readonly #children = new Set<ChildProcess>();
  readonly #known = new Map<number, Known>();
  /** Aborted, and replaced, by each `restart`. */
  #restarting = new AbortController();
  readonly #firstReady = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<number>();
  #workers: Promise<unknown> = Promise.resolve();

  constructor(parts: SupervisorParts) {
    super();
    this.#parts = parts;
  }

  /** Resolves with the exit code when there is no point in going on, or all workers have ended after `stop`. */
  get finished(): Promise<number> {
    return this.#finished.promise;
  }

  /** What is known of every worker, by number. */
  get signs(): WorkerSigns[] {
    return Array.from({ length: this.#parts.workers }, (_, index) => {
      const known = this.#known.get(index + 1);
      const { child, report = null, heardAt = performance.now() } = known ?? {};
      const silentMs = performance.now() - heardAt;
      return { number: index + 1, begun: known !== undefined, pid: child?.pid ?? null, report, silentMs };
    });
  }

  /** What each worker has counted; without those that do not answer in time. */
  async metrics(): Promise<(readonly object[])[]> {
    const children = [...this.#known.values()].flatMap(({ child }) => (child?.connected ? [child] : []));
    const answers = await Promise.all(children.map(askForMetrics));
    return answers.filter((answer) => answer !== undefined);
  }

  /** Ends all workers at once; what they had in hand is delivered again. */
  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  /** Lets every worker finish what is in hand and starts it anew, those that wait for their next start at once. */
  restart(): void {
    this.#restarting.abort();
    this.#restarting = new AbortController();
    for (const child of this.#children) {
      tellToStop(child);
      setTimeout(() => child.kill('SIGKILL'), DRAIN_MS).unref();
    }
  }

  protected override async onStart(): Promise<void> {
    const numbers = Array.from({ length: this.#parts.workers }, (_, index) => index + 1);
    this.signal.addEventListener('abort', () => this.#firstReady.resolve(), { once: true });
    this.#workers = Promise.all(
      numbers.map(async (worker) => {
        if (worker > 1) await this.#firstReady.promise;
        await this.#keepRunning(worker);
      }),
    );
  }

  protected override async onStop(): Promise<void> {
    for (const child of this.#children) tellToStop(child);
    await this.#workers;
    this.#finished.resolve(Exit.done);
  }

  async #keepRunning(worker: number): Promise<void> {
    const { events, patient = false } = this.#parts;
    for (let failures = 0; !this.signal.aborted;) {
      const startedAt = performance.now();
      const { signal: restart } = this.#restarting;
      const code = await this.#run(worker);
      const hopeless = code === Exit.setup && !restart.aborted;
      if (performance.now() - startedAt > WELL_AFTER_MS || restart.aborted) failures = 0;
      const ending = this.signal.aborted || hopeless;
      const backoff = (): number => backoffMilliseconds(failures++, { base: 200, max: 30_000 });
      const restartInMs = ending ? null : restart.aborted ? 0 : backoff();
      events.emit('cqrs.worker.exited', { worker, code, restartInMs });
      if (hopeless && !this.signal.aborted && patient) {
        await aborted(AbortSignal.any([this.signal, this.#restarting.signal]));
        continue;
      }
      if (hopeless) this.#finished.resolve(code);
      if (restartInMs === null) return;
      await pause(restartInMs, AbortSignal.any([this.signal, this.#restarting.signal]));
    }
  }

  /** Resolves with the exit code, null when it was killed. */
  #run(worker: number): Promise<number | null> {
    const child = this.#parts.fork(worker);
    this.#children.add(child);
    const known: Known = { child, heardAt: performance.now() };
    this.#known.set(worker, known);
    child.on('message', (message: WorkerMessage) => {
      known.heardAt = performance.now();
      if (message === 'ready') this.#firstReady.resolve();
      else if ('report' in message) known.report = message.report;
    });
    return new Promise((resolve) => {
      const ended = (code: number | null): void => {
        this.#children.delete(child);
        known.child = undefined;
        resolve(code);
      };
      child.once('exit', ended);
      child.once('error', () => child.pid === undefined && ended(Exit.failed)); // it could not even be started
      if (child.pid !== undefined) this.#parts.events.emit('cqrs.worker.started', { worker, pid: child.pid });
    });
  }
}

interface Known {
  /** Undefined when it has ended. */
  child: ChildProcess | undefined;
  report?: WorkerReport;
  heardAt: number;
}

const ANSWER_MS = 2_000;

function askForMetrics(child: ChildProcess): Promise<readonly object[] | undefined> {
  return new Promise((resolve) => {
    const done = (answer?: readonly object[]): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      resolve(answer);
    };
    const onMessage = (message: WorkerMessage): void => {
      if (message !== 'ready' && 'metrics' in message) done(message.metrics);
    };
    const timer = setTimeout(done, ANSWER_MS);
    child.on('message', onMessage);
    child.send('metrics', (error) => error && done());
  });
}

function tellToStop(child: ChildProcess): void {
  // A worker whose line is cut has been told by that.
  if (child.connected) child.send('stop', () => {});
}
