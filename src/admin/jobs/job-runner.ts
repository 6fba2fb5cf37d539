import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { describeError } from '../../kernel/describe-error.js';
import type { Events } from '../../kernel/events.js';
import { ADD_WHAT_IS_MISSING } from '../../postgres/schema-version.js';
import { pause } from '../../kernel/service.js';
import type { JobOwner, JobProgress, JobStateName, JobTable, NewJob } from '../../jobs/job-table.js';
import { ApiProblem } from '../http/api-problem.js';
import type { JobItem } from '../contract.js';

/** What a job's work is given to tell how far it is. */
export interface JobHandle {
  readonly id: string;
  /** Aborted when the job is cancelled, or the process ends. */
  readonly signal: AbortSignal;
  readonly counts: Record<string, number>;
  total: number | null;
  done: number;
  /** Adds to a count. */
  add(name: string, by?: number): void;
  /** Notes what became of one thing; so many are kept, the others counted. */
  note(item: JobItem): void;
  /** Keeps something that was found. */
  find(finding: object): void;
  /** What was kept so far. */
  readonly found: readonly object[];
}

/** How a job ended by itself: the reason why it failed as a whole, if it did. */
export type JobWork = (job: JobHandle) => Promise<string | undefined | void>;

const MOST_ITEMS = 1_000;
const MOST_FINDINGS = 10_000;
/** How often progress is written while it moves, and a sign of life is given while it does not. */
const SAVE_MS = 500;
const TOUCH_MS = 3_000;
/** So many run at a time; the others wait. */
const MOST_RUNNING = 2;
const MOST_WAITING = 100;

/** Runs jobs in this process and keeps their rows in the table; see `jobs/job-table.ts` for their states. */
export class JobRunner {
  readonly owner: JobOwner = {
    id: `${Math.round(performance.timeOrigin)}.${randomUUID()}`,
    host: hostname(),
    pid: process.pid,
  };
  readonly #jobs = new Map<string, RunningJob>();
  readonly #waiting: (() => void)[] = [];
  readonly #listeners = new Set<(id: string) => void>();
  #running = 0;
  #prepared?: Promise<void>;
  #timer?: NodeJS.Timeout;
  #stopped = false;

  constructor(
    private readonly parts: {
      readonly table: JobTable;
      readonly events: Events;
      readonly retentionSeconds: number;
    },
  ) {}

  /** Marks what former processes have left behind, and forgets what is old; once. @throws ApiProblem without the table. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#prepare().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  /** Notes the job and begins it as soon as there is room. @returns its id, and when it has ended */
  async start(job: NewJob, work: JobWork): Promise<{ id: string; ended: Promise<void> }> {
    await this.prepare();
    if (this.#stopped) throw new ApiProblem('unavailable', 'This process is ending.');
    if (this.#waiting.length >= MOST_WAITING) {
      throw new ApiProblem('too-many-requests', `${MOST_WAITING} jobs are waiting already.`, {
        cure: 'Wait until some have ended, or cancel some.',
      });
    }
    const id = await this.parts.table.add(job, this.owner);
    const running = new RunningJob(id, this.parts.table, () => this.#tell(id));
    this.#jobs.set(id, running);
    this.#timer ??= setInterval(() => void this.#touch(), TOUCH_MS).unref();
    this.parts.events.emit('cqrs.admin.acted', {
      user: job.by,
      action: job.kind,
      cqrsId: job.cqrsId,
      queue: job.queue,
      job: id,
    });
    this.#tell(id);
    const ended = this.#run(running, job, work);
    return { id, ended };
  }

  /** @returns false when there is no such job, or it has ended */
  async cancel(id: string): Promise<boolean> {
    const asked = await this.parts.table.requestCancel(id);
    this.#jobs.get(id)?.cancel();
    if (asked) this.#tell(id);
    return asked;
  }

  /** Is told the id of a job whose row has changed; the answer unsubscribes. */
  onChange(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Interrupts what runs, and says so in the table. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    const jobs = [...this.#jobs.values()];
    for (const job of jobs) job.interrupt();
    for (const begin of this.#waiting.splice(0)) begin();
    await Promise.all(jobs.map((job) => job.ended));
  }

  async #prepare(): Promise<void> {
    const { table, retentionSeconds } = this.parts;
    if (!(await table.exists())) {
      throw new ApiProblem('unavailable', 'The table cqrs_jobs is not in the database.', {
        cure: ADD_WHAT_IS_MISSING,
      });
    }
    await table.interruptLost(this.owner, isAlive);
    await table.purge(retentionSeconds);
  }

  async #run(running: RunningJob, job: NewJob, work: JobWork): Promise<void> {
    if (this.#running >= MOST_RUNNING) await new Promise<void>((begin) => this.#waiting.push(begin));
    this.#running++;
    try {
      await running.run(work);
    } finally {
      this.#running--;
      this.#jobs.delete(running.id);
      this.#waiting.shift()?.();
      const { state, counts, error } = running.progress;
      this.parts.events.emit('cqrs.admin.job-ended', {
        job: running.id,
        action: job.kind,
        cqrsId: job.cqrsId,
        user: job.by,
        state,
        counts: { ...counts },
        error,
      });
      this.#tell(running.id);
    }
  }

  async #touch(): Promise<void> {
    if (this.#jobs.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    // The database may be away for a while: the next sign of life makes up for it.
    const unwanted = await this.parts.table.touch([...this.#jobs.keys()]).catch(() => []);
    for (const id of unwanted) this.#jobs.get(id)?.cancel();
  }

  #tell(id: string): void {
    for (const listener of this.#listeners) listener(id);
  }
}

class RunningJob implements JobHandle {
  total: number | null = null;
  done = 0;
  readonly counts: Record<string, number> = {};
  readonly #items: JobItem[] = [];
  #itemsLeftOut = 0;
  readonly #findings: object[] = [];
  #findingsLeftOut = 0;
  #state: JobStateName = 'waiting';
  #error: string | null = null;
  readonly #abort = new AbortController();
  readonly #ended = Promise.withResolvers<void>();

  constructor(
    readonly id: string,
    private readonly table: JobTable,
    private readonly saved: () => void,
  ) {}

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get progress(): JobProgress {
    const { done, total, counts } = this;
    const lists = {
      items: this.#items,
      itemsLeftOut: this.#itemsLeftOut,
      findings: this.#findings,
      findingsLeftOut: this.#findingsLeftOut,
    };
    return { state: this.#state, error: this.#error, done, total, counts, ...lists };
  }

  add(name: string, by = 1): void {
    if (by !== 0) this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  note(item: JobItem): void {
    if (this.#items.length < MOST_ITEMS) this.#items.push(item);
    else this.#itemsLeftOut++;
  }

  find(finding: object): void {
    if (this.#findings.length < MOST_FINDINGS) this.#findings.push(finding);
    else this.#findingsLeftOut++;
  }

  get found(): readonly object[] {
    return this.#findings;
  }

  cancel(): void {
    this.#abort.abort('cancelled');
  }

  interrupt(): void {
    this.#abort.abort('interrupted');
  }

  async run(work: JobWork): Promise<void> {
    const over = new AbortController();
    let saving: Promise<void> = Promise.resolve();
    try {
      if (!this.signal.aborted) {
        this.#state = 'running';
        await this.#save();
        saving = this.#saveNowAndThen(over.signal);
        this.#error = (await work(this)) ?? null;
      }
      this.#state = this.signal.aborted ? this.signal.reason : this.#error === null ? 'done' : 'failed';
    } catch (error) {
      this.#state = this.signal.aborted ? this.signal.reason : 'failed';
      this.#error = error instanceof ApiProblem ? error.message : describeError(error);
    }
    over.abort();
    await saving;
    await this.#saveEnd();
    this.#ended.resolve();
  }

  async #saveNowAndThen(over: AbortSignal): Promise<void> {
    let last = '';
    for (;;) {
      await pause(SAVE_MS, over);
      if (over.aborted) return;
      const now = JSON.stringify([this.done, this.total, this.counts, this.#items.length, this.#findings.length]);
      if (now === last) continue;
      last = now;
      await this.#save().catch(() => {}); // the database is away: the work will say so
    }
  }

  async #save(): Promise<void> {
    if (await this.table.save(this.id, this.progress)) this.cancel();
    this.saved();
  }

  // How it ended must not be lost because the database is away for a moment; if it stays away the job shows as interrupted.
  async #saveEnd(): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        await this.table.save(this.id, this.progress);
        return;
      } catch {
        await pause(500 * 2 ** attempt, new AbortController().signal);
      }
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
