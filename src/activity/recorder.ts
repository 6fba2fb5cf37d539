import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { CompiledQuery } from 'kysely';
import { toError } from '../kernel/describe-error.js';
import type { Events } from '../kernel/events.js';
import type { Settings } from '../kernel/settings.js';
import { VERSION } from '../kernel/version.js';
import { type Executor, purge, record, type Row } from './activity-table.js';
import { deadLetterTimes, deathPeriodSeconds, findExpiringByQueue, mayWarn } from './deaths.js';
import type { Note } from './notes.js';
import { type Look, Observer } from './observer.js';
import type { Reason } from './verdict.js';
import { PROCESS_ROLES, type ProcessRecord, type ProcessRole } from './records.js';

export interface RecorderParts {
  /** The database's client; asked for once, when there is something to write. */
  readonly client: () => Promise<Executor>;
  /** Undefined when nothing is to be written: then the database is only asked whether it is there. */
  readonly table: () => string | undefined;
  readonly events: Events;
  readonly settings: Settings;
  /** Whether this service declares the id. */
  readonly knows: (cqrsId: string) => boolean;
  /** Looks at what waits where processes of these roles have to do with it. */
  readonly look: (roles: ReadonlySet<ProcessRole>, queue: string | null) => Promise<Look>;
  readonly deadLetterQueueOf: (queue: string) => string;
  readonly reasons: () => readonly Reason[];
}

const LOOK_EVERY_MS = 15_000;
const TIDY_EVERY_MS = 10 * 60_000;
const WARN_EVERY_SECONDS = 6 * 3_600;
/** Whether a warning is due is asked so often while it would be in time. */
const ASKED_IN_TIME = 5;
const PROCESSES_SECONDS = 86_400;
const MOST_EVENTS = 500;
/** Notes that wait while the database is away. */
const MOST_WAITING = 200;
/** A database that has not answered for so long does not answer. */
const ANSWER_MS = 10_000;
/** How long a process that ends waits for its last word to be written. */
const GOODBYE_MS = 2_000;

/**
 * Leaves word of this process in the database: who it is, what it does, what it has counted.
 *
 *   idle ──join──▶ writing every interval ──the last one leaves──▶ goodbye ─▶ idle
 *
 * One statement an interval, never two at a time, outside of every transaction. What could not be written is kept, as far
 * as it is bounded, and written later; the work never waits for it and never hears of it but by an event.
 */
export class ActivityRecorder {
  readonly id = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`;
  readonly #startedAt = new Date().toISOString();
  readonly #roles = new Map<ProcessRole, number>();
  readonly #off: (() => void)[] = [];
  #observer?: Observer;
  #client?: Promise<Executor>;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #goodbye: Promise<void> | undefined;
  #looking = false;
  #waiting: readonly Note[] = [];
  #written = 0;
  #lookedAt = -Infinity;
  #tidiedAt = performance.now();
  #askedAt = -Infinity;
  #failing = false;
  #queue: string | null = null;
  #stoppedAt: string | null = null;
  /** What it did before it said goodbye. */
  #lastRoles: readonly ProcessRole[] = [];

  constructor(private readonly parts: RecorderParts) {
    const { events } = parts;
    this.#off = [
      events.on('cqrs.relay.started', () => this.join('relay')),
      events.on('cqrs.relay.stopped', () => this.leave('relay')),
      events.on('cqrs.consumer.started', ({ queue }) => {
        this.#queue = queue;
        this.join('worker');
      }),
      events.on('cqrs.consumer.stopped', () => this.leave('worker')),
    ];
  }

  get roles(): ReadonlySet<ProcessRole> {
    return new Set(this.#roles.keys());
  }

  /** Begins to listen, if it does not yet. */
  get observer(): Observer {
    const { events, knows, settings } = this.parts;
    return (this.#observer ??= new Observer(events, knows, deathPeriodSeconds(settings.replica)));
  }

  /** The process does this from now on. Cheap; returns at once. */
  join(role: ProcessRole): void {
    this.#roles.set(role, (this.#roles.get(role) ?? 0) + 1);
    this.#lastRoles = PROCESS_ROLES.filter((one) => this.#roles.has(one));
    this.#stoppedAt = null;
    void this.observer;
    this.#schedule(0);
  }

  /** It does it no longer; the last one to leave says goodbye, in the background. */
  leave(role: ProcessRole): void {
    const times = this.#roles.get(role) ?? 0;
    if (times > 1) this.#roles.set(role, times - 1);
    else this.#roles.delete(role);
    if (this.#roles.size > 0) this.#lastRoles = PROCESS_ROLES.filter((one) => this.#roles.has(one));
    if (times > 0 && this.#roles.size === 0) this.#sayGoodbye();
  }

  /** Says goodbye and listens no longer; waits a moment for the last word, no more. */
  async close(): Promise<void> {
    for (const off of this.#off) off();
    this.#roles.clear();
    this.#sayGoodbye();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, GOODBYE_MS);
    await Promise.race([this.#goodbye, late]);
    clearTimeout(timer);
    this.#observer?.close();
    this.#observer = undefined;
  }

  /** Writes now, after the write that is under way. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#write();
  }

  #sayGoodbye(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#observer || this.#stoppedAt !== null) return;
    this.#stoppedAt = new Date().toISOString();
    this.#goodbye = this.flush();
  }

  // Not a reason to stay alive.
  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#lookAround();
      void this.#write().then(() => {
        this.#timer = undefined;
        if (this.#roles.size > 0) this.#schedule(this.#intervalMs);
      });
    }, delayMs).unref();
  }

  /** Beside the writing, since a broker may take its time. */
  #lookAround(): void {
    if (this.#looking || performance.now() - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#looking = true;
    this.#lookedAt = performance.now();
    void this.parts
      .look(this.roles, this.#queue)
      .then((look) => this.#observer?.looked(look))
      .catch(() => {}) // that the broker or the database is away is known by other signs
      .finally(() => (this.#looking = false));
  }

  #write(): Promise<void> {
    return (this.#writing ??= this.#attempt().finally(() => (this.#writing = undefined)));
  }

  async #attempt(): Promise<void> {
    const observer = this.#observer;
    if (!observer) return;
    const { notes, circumstances } = observer;
    this.#waiting = [...this.#waiting, ...notes.take()].slice(-MOST_WAITING);
    observer.tick();
    const late = new Error(`the database has not answered within ${ANSWER_MS / 1_000} s`);
    const timer = setTimeout(() => circumstances.databaseFailed(late), ANSWER_MS).unref();
    try {
      const client = await (this.#client ??= this.parts.client());
      await this.#tell(client, observer);
      circumstances.databaseAnswered();
      this.#failing = false;
    } catch (error) {
      if (!(await this.#client?.catch(() => undefined))) this.#client = undefined;
      circumstances.databaseFailed(error);
      if (!this.#failing) {
        this.parts.events.emit('cqrs.activity.failed', { error: toError(error), retryInMs: this.#intervalMs });
      }
      this.#failing = true;
    } finally {
      clearTimeout(timer);
    }
  }

  async #tell(client: Executor, observer: Observer): Promise<void> {
    const table = this.parts.table();
    if (table === undefined) {
      this.#waiting = [];
      observer.minutes.written();
      observer.deaths.written();
      await client.executeQuery(CompiledQuery.raw('select 1'));
      return;
    }
    const waiting = this.#waiting;
    await record(client, table, [
      this.#ownRow(observer),
      ...observer.minutes.rows(this.id),
      ...observer.deaths.rows(this.id),
      ...waiting.map((note, index) => this.#noteRow(note, index)),
    ]);
    this.#written += waiting.length;
    this.#waiting = [];
    observer.minutes.written();
    observer.deaths.written();
    await this.#tidy(client, table);
    await this.#warnOfExpiry(client, table, observer.lastLook?.deadLetters ?? 0);
  }

  async #tidy(client: Executor, table: string): Promise<void> {
    if (performance.now() - this.#tidiedAt < TIDY_EVERY_MS) return;
    this.#tidiedAt = performance.now();
    const { activity, replica } = this.parts.settings;
    await purge(client, table, {
      minutesSeconds: activity.retentionSeconds,
      processesSeconds: Math.min(activity.retentionSeconds, PROCESSES_SECONDS),
      mostEvents: MOST_EVENTS,
      deathsSeconds: replica.deadLetterTtlSeconds ?? 0,
    });
  }

  async #warnOfExpiry(client: Executor, table: string, present: number): Promise<void> {
    const times = deadLetterTimes(this.parts.settings.replica);
    if (!times || this.#queue === null || present === 0) return;
    const everyMs = Math.min(TIDY_EVERY_MS, (times.warningSeconds * 1_000) / ASKED_IN_TIME);
    if (performance.now() - this.#askedAt < everyMs) return;
    this.#askedAt = performance.now();
    const expiring = (await findExpiringByQueue(client, table, times))[this.#queue];
    const everySeconds = Math.min(WARN_EVERY_SECONDS, times.warningSeconds);
    if (!expiring || !(await mayWarn(client, table, `expiring ${this.#queue}`, everySeconds))) return;
    const queue = this.parts.deadLetterQueueOf(this.#queue);
    const count = Math.min(expiring.count, present);
    this.parts.events.emit('cqrs.inbox.dead-letters-expiring', { ...expiring, queue, count });
  }

  #ownRow({ tally, circumstances }: Observer): Row {
    const data: ProcessRecord = {
      roles: [...this.#lastRoles],
      host: hostname(),
      pid: process.pid,
      version: VERSION,
      startedAt: this.#startedAt,
      stoppedAt: this.#stoppedAt,
      intervalMs: this.#intervalMs,
      queue: this.#queue,
      prefetch: this.#queue === null ? 0 : this.parts.settings.replica.prefetch,
      rssBytes: process.memoryUsage.rss(),
      counters: tally.totals,
      // Where this can be read, the database is there.
      conditions: { ...circumstances.conditions, databaseAwaySince: null },
      reasons: this.parts.reasons().filter(({ code }) => code !== 'database-away'),
      lastError: circumstances.lastError,
    };
    return { kind: 'process', name: this.id, at: null, data };
  }

  #noteRow({ at, ...data }: Note, index: number): Row {
    const number = String(this.#written + index).padStart(8, '0');
    return { kind: 'event', name: `${this.id}/${number}`, at, data };
  }

  get #intervalMs(): number {
    return this.parts.settings.activity.intervalSeconds * 1_000;
  }
}
