import type { CqrsEventName, CqrsEvents, Events } from '../kernel/events.js';
import { type Counters, type EntityCounters, noCounters, noEntityCounters } from './records.js';

/** Reasons come from user code and from messages; so many of a kind are told apart, the rest is counted together. */
const MOST_REASONS = 50;
const OTHERS = 'others';

/** The greatest lags since they were last taken, in milliseconds; null when nothing was measured. */
export interface Lags {
  readonly relayLagMs: number | null;
  readonly applyLagMs: number | null;
}

/** Counts what happens, in memory: one message costs a look-up and two additions. */
export class Tally {
  readonly totals: Counters = noCounters();
  /** Of the ids that this service declares. */
  readonly entities = new Map<string, EntityCounters>();
  #relayLagMs: number | null = null;
  #applyLagMs: number | null = null;
  readonly #off: readonly (() => void)[];

  constructor(
    events: Events,
    private readonly knows: (cqrsId: string) => boolean,
  ) {
    const { totals } = this;
    const on = <N extends CqrsEventName>(name: N, listener: (fields: CqrsEvents[N]) => void): (() => void) =>
      events.on(name, listener);
    this.#off = [
      on('cqrs.master.announced', ({ count, counts }) => {
        totals.announced += count;
        const now = new Date().toISOString();
        for (const [cqrsId, times] of Object.entries(counts)) {
          this.#update(cqrsId, (entity) => {
            entity.announced += times;
            entity.lastAnnouncedAt = now;
          });
        }
      }),
      on('cqrs.relay.published', ({ count, lagMs }) => {
        totals.published += count;
        this.#relayLagMs = Math.max(this.#relayLagMs ?? 0, lagMs);
      }),
      on('cqrs.relay.unroutable', ({ cqrsId, queue }) => {
        totals.unroutable++;
        if (queue !== null) return;
        this.#update(cqrsId, (entity) => {
          entity.unroutable++;
          entity.lastUnroutableAt = new Date().toISOString();
        });
      }),
      on('cqrs.relay.failed', () => void totals.failed++),
      on('cqrs.inbox.failed', () => void totals.failed++),
      on('cqrs.inbox.applied', ({ cqrsId }) => {
        totals.applied++;
        const entity = this.#entity(cqrsId);
        if (!entity) return;
        entity.applied++;
        this.#touched.add(entity);
      }),
      on('cqrs.inbox.batch-applied', ({ lagMs }) => {
        this.stamp();
        if (lagMs !== null) this.#applyLagMs = Math.max(this.#applyLagMs ?? 0, lagMs);
      }),
      on('cqrs.inbox.skipped', ({ cqrsId, reason }) => {
        countReason(totals.skipped, reason);
        this.#update(cqrsId, (entity) => entity.skipped++);
      }),
      on('cqrs.inbox.retried', ({ cqrsId, reason }) => {
        countReason(totals.retried, reason);
        this.#update(cqrsId, (entity) => entity.retried++);
      }),
      on('cqrs.inbox.dead-lettered', ({ cqrsId, reason }) => {
        countReason(totals.deadLettered, reason);
        this.#update(cqrsId, (entity) => entity.deadLettered++);
      }),
      on('cqrs.inbox.unreadable', () => void totals.unreadable++),
    ];
  }

  readonly #touched = new Set<EntityCounters>();

  /** Notes the time for what was applied since the last call: once a batch, not once a message. */
  stamp(): void {
    if (this.#touched.size === 0) return;
    const now = new Date().toISOString();
    for (const entity of this.#touched) entity.lastAppliedAt = now;
    this.#touched.clear();
  }

  takeLags(): Lags {
    const lags = { relayLagMs: this.#relayLagMs, applyLagMs: this.#applyLagMs };
    this.#relayLagMs = null;
    this.#applyLagMs = null;
    return lags;
  }

  close(): void {
    for (const off of this.#off) off();
  }

  #update(cqrsId: string, change: (entity: EntityCounters) => void): void {
    const entity = this.#entity(cqrsId);
    if (entity) change(entity);
  }

  // Ids of messages may be anybody's: whoever sends nonsense does not fill the memory.
  #entity(cqrsId: string): EntityCounters | undefined {
    const known = this.entities.get(cqrsId);
    if (known || !this.knows(cqrsId)) return known;
    const entity = noEntityCounters();
    this.entities.set(cqrsId, entity);
    return entity;
  }
}

function countReason(reasons: Record<string, number>, reason: string): void {
  const known = Object.hasOwn(reasons, reason) || Object.keys(reasons).length < MOST_REASONS ? reason : OTHERS;
  reasons[known] = (reasons[known] ?? 0) + 1;
}
