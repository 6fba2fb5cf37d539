import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { toError } from '../core/describe-error.js';
import type { Events } from '../core/events.js';
import type { Settings } from '../core/settings.js';
import { VERSION } from '../core/version.js';
import { type Executor, purge, record, type Row } from './activity-table.js';
import { Circumstances } from './circumstances.js';
import { Minutes } from './minutes.js';
import { type Note, Notes } from './notes.js';
import { PROCESS_ROLES, type ProcessRecord, type ProcessRole } from './records.js';
import { Tally } from './tally.js';

export interface RecorderParts {
  /** The database's client; asked for once, when there is something to write. */
  readonly client: () => Promise<Executor>;
  readonly table: () => string;
  readonly events: Events;
  readonly settings: Settings;
  /** Whether this service declares the id. */
  readonly knows: (cqrsId: string) => boolean;
}

const PURGE_EVERY_MS = 10 * 60_000;
const PROCESSES_SECONDS = 86_400;
const MOST_EVENTS = 500;
/** Notes that wait while the database is away. */
const MOST_WAITING = 200;
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
  #watching?: {
    readonly tally: Tally;
    readonly notes: Notes;
    readonly circumstances: Circumstances;
    readonly minutes: Minutes;
  };
  #client?: Promise<Executor>;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #goodbye: Promise<void> | undefined;
  #waiting: readonly Note[] = [];
  #written = 0;
  #purgedAt = performance.now();
  #failing = false;
  #prefetch = 0;
  #queue: string | null = null;
  #stoppedAt: string | null = null;

  constructor(private readonly parts: RecorderParts) {
    const { events, settings } = parts;
    this.#off = [
      events.on('cqrs.relay.started', () => this.join('relay')),
      events.on('cqrs.relay.stopped', () => this.leave('relay')),
      events.on('cqrs.consumer.started', ({ queue }) => {
        this.#queue = queue;
        this.#prefetch = settings.replica.prefetch;
        this.join('worker');
      }),
      events.on('cqrs.consumer.stopped', () => this.leave('worker')),
    ];
  }

  /** The process does this from now on. Cheap; returns at once. */
  join(role: ProcessRole): void {
    if (!this.parts.settings.activity.enabled) return;
    this.#roles.set(role, (this.#roles.get(role) ?? 0) + 1);
    this.#stoppedAt = null;
    if (!this.#watching) {
      const { events, knows } = this.parts;
      const tally = new Tally(events, knows);
      this.#watching = {
        tally,
        notes: new Notes(events),
        circumstances: new Circumstances(events),
        minutes: new Minutes(tally),
      };
    }
    this.#schedule(0);
  }

  /** It does it no longer; the last one to leave says goodbye, in the background. */
  leave(role: ProcessRole): void {
    const times = this.#roles.get(role) ?? 0;
    if (times > 1) this.#roles.set(role, times - 1);
    else this.#roles.delete(role);
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
    for (const part of [this.#watching?.tally, this.#watching?.notes, this.#watching?.circumstances]) part?.close();
    this.#watching = undefined;
  }

  /** Writes now, or joins the write that is under way. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#write();
  }

  #sayGoodbye(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#watching || this.#stoppedAt !== null) return;
    this.#stoppedAt = new Date().toISOString();
    this.#goodbye = this.flush();
  }

  // Not a reason to stay alive.
  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      void this.#write().then(() => {
        this.#timer = undefined;
        if (this.#roles.size > 0) this.#schedule(this.#intervalMs);
      });
    }, delayMs).unref();
  }

  #write(): Promise<void> {
    return (this.#writing ??= this.#attempt().finally(() => (this.#writing = undefined)));
  }

  async #attempt(): Promise<void> {
    const watching = this.#watching;
    if (!watching) return;
    const { events, table } = this.parts;
    const { notes, minutes, circumstances } = watching;
    this.#waiting = [...this.#waiting, ...notes.take()].slice(-MOST_WAITING);
    const waiting = this.#waiting;
    minutes.take();
    try {
      const client = await (this.#client ??= this.parts.client());
      const rows = [
        this.#ownRow(),
        ...minutes.rows(this.id),
        ...waiting.map((note, index) => this.#noteRow(note, index)),
      ];
      await record(client, table(), rows);
      this.#written += waiting.length;
      this.#waiting = [];
      minutes.written();
      circumstances.databaseAnswered();
      this.#failing = false;
      await this.#purge(client);
    } catch (error) {
      if (!(await this.#client?.catch(() => undefined))) this.#client = undefined;
      circumstances.databaseFailed(error);
      if (!this.#failing) events.emit('cqrs.activity.failed', { error: toError(error), retryInMs: this.#intervalMs });
      this.#failing = true;
    }
  }

  async #purge(client: Executor): Promise<void> {
    if (performance.now() - this.#purgedAt < PURGE_EVERY_MS) return;
    this.#purgedAt = performance.now();
    const { retentionSeconds } = this.parts.settings.activity;
    await purge(client, this.parts.table(), {
      minutesSeconds: retentionSeconds,
      processesSeconds: Math.min(retentionSeconds, PROCESSES_SECONDS),
      mostEvents: MOST_EVENTS,
    });
  }

  #ownRow(): Row {
    const { tally, circumstances } = this.#watching!;
    const data: ProcessRecord = {
      roles: PROCESS_ROLES.filter((role) => this.#roles.has(role)),
      host: hostname(),
      pid: process.pid,
      version: VERSION,
      startedAt: this.#startedAt,
      stoppedAt: this.#stoppedAt,
      intervalMs: this.#intervalMs,
      queue: this.#queue,
      prefetch: this.#prefetch,
      rssBytes: process.memoryUsage.rss(),
      counters: tally.totals,
      // Where this can be read, the database is there.
      conditions: { ...circumstances.conditions, databaseAwaySince: null },
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
