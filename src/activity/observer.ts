import type { Events } from '../kernel/events.js';
import { Circumstances } from './circumstances.js';
import { Deaths } from './deaths.js';
import { type Depths, Minutes } from './minutes.js';
import { Notes } from './notes.js';
import { Tally } from './tally.js';
import { type Backlog, type HeldBacklog, unroutableOf } from './verdict.js';

/** What waits, just looked at; null where it could not be. */
export interface Look extends Depths {
  readonly outboxOldestMs: number | null;
  readonly outboxFailed: number | null;
  readonly outboxHeld: HeldBacklog | null;
}

const LAG_COUNTS_MS = 60_000;
const MINUTES = 10;

/** Everything that one process sees of itself, in memory; from its events, and from looks at the depths now and then. */
export class Observer {
  readonly tally: Tally;
  readonly notes: Notes;
  readonly circumstances: Circumstances;
  readonly deaths: Deaths;
  readonly minutes: Minutes;
  #look: Look | undefined;
  readonly #looks = new Map<number, Look>();
  #lags: { readonly at: number; readonly lagMs: number }[] = [];

  constructor(events: Events, knows: (cqrsId: string) => boolean, deathPeriodSeconds: number) {
    this.tally = new Tally(events, knows);
    this.notes = new Notes(events);
    this.circumstances = new Circumstances(events);
    this.deaths = new Deaths(events, deathPeriodSeconds);
    this.minutes = new Minutes(this.tally);
  }

  /** Moves what was counted into the present minute; called once an interval. */
  tick(): void {
    const { applyLagMs } = this.minutes.take(this.#look);
    this.#look = undefined;
    const now = performance.now();
    this.#lags = this.#lags.filter(({ at }) => now - at < LAG_COUNTS_MS);
    if (applyLagMs !== null) this.#lags.push({ at: now, lagMs: applyLagMs });
  }

  looked(look: Look): void {
    this.#look = look;
    this.#looks.set(Math.floor(Date.now() / 60_000), look);
    for (const minute of [...this.#looks.keys()].slice(0, -MINUTES)) this.#looks.delete(minute);
  }

  /** The last look, if there was one in the last two minutes. */
  get lastLook(): Look | undefined {
    const minute = Math.floor(Date.now() / 60_000);
    return this.#looks.get(minute) ?? this.#looks.get(minute - 1);
  }

  get backlog(): Backlog {
    const minute = Math.floor(Date.now() / 60_000);
    const looks = Array.from({ length: MINUTES }, (_, index) => this.#looks.get(minute - MINUTES + 1 + index));
    // The present minute may not have been looked at yet.
    if (looks.at(-1) === undefined) looks.pop();
    return {
      outboxOldestMs: this.lastLook?.outboxOldestMs ?? null,
      held: this.lastLook?.outboxHeld ?? null,
      applyLagMs: this.#lags.length === 0 ? null : Math.max(...this.#lags.map(({ lagMs }) => lagMs)),
      outboxDepths: looks.map((look) => look?.outboxDepth ?? null),
      queueDepths: looks.map((look) => look?.queueDepth ?? null),
      unroutable: unroutableOf(this.tally.entities, Date.now()),
    };
  }

  close(): void {
    for (const part of [this.tally, this.notes, this.circumstances, this.deaths]) part.close();
  }
}
