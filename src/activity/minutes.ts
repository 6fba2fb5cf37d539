import type { Row } from './activity-table.js';
import { ENTITY_COUNTS, ENTITY_INSTANTS, type EntityCounters, type MinuteRecord, noEntityCounters } from './records.js';
import type { Lags, Tally } from './tally.js';

/** Minutes that could not be written yet; older ones are given up. */
const MOST_WAITING = 60;

type Sums = Pick<
  MinuteRecord,
  | 'announced'
  | 'published'
  | 'unroutable'
  | 'applied'
  | 'skipped'
  | 'retried'
  | 'deadLettered'
  | 'unreadable'
  | 'failed'
>;

/** What waits where, as the process last saw it. */
export type Depths = Pick<MinuteRecord, 'outboxDepth' | 'queueDepth' | 'deadLetters'>;

/**
 * The past of one process, minute by minute: the tally's growth since it was last looked at goes to the present minute.
 * At the border that is wrong by one interval, which no chart shows, and costs nothing while messages are counted.
 */
export class Minutes {
  readonly #waiting = new Map<string, MinuteRecord>();
  readonly #changed = new Set<string>();
  readonly #entities = new Map<string, EntityCounters>();
  #sums: Sums;

  constructor(
    private readonly tally: Tally,
    private readonly now: () => Date = () => new Date(),
  ) {
    this.#sums = sumsOf(tally);
  }

  /** Moves what was counted since the last call into the present minute; answers with the lags among it. */
  take(depths?: Depths): Lags {
    this.tally.stamp();
    const sums = sumsOf(this.tally);
    const growth = difference(sums, this.#sums);
    this.#sums = sums;
    const lags = this.tally.takeLags();
    const entities = this.#growthOfEntities();
    const idle = Object.values(growth).every((value) => value === 0) && Object.keys(entities).length === 0;
    if (idle && depths === undefined) return lags;
    const minute = `${this.now().toISOString().slice(0, 16)}:00Z`;
    const before = this.#waiting.get(minute);
    this.#waiting.set(minute, {
      ...add(growth, before),
      relayLagMs: greater(lags.relayLagMs, before?.relayLagMs),
      applyLagMs: greater(lags.applyLagMs, before?.applyLagMs),
      outboxDepth: depths?.outboxDepth ?? before?.outboxDepth ?? null,
      queueDepth: depths?.queueDepth ?? before?.queueDepth ?? null,
      deadLetters: depths?.deadLetters ?? before?.deadLetters ?? null,
      entities: addEntities(entities, before?.entities),
    });
    this.#changed.add(minute);
    const surplus = this.#waiting.size - MOST_WAITING;
    for (const old of [...this.#waiting.keys()].slice(0, Math.max(0, surplus))) this.#waiting.delete(old);
    return lags;
  }

  /** What is not in the database yet, or otherwise. */
  rows(processId: string): Row[] {
    return [...this.#waiting]
      .filter(([minute]) => this.#changed.has(minute))
      .map(([minute, data]) => ({ kind: 'minute', name: `${minute}/${processId}`, at: minute, data }));
  }

  /** All rows are in the database; what is over is not needed any more. */
  written(): void {
    this.#changed.clear();
    const present = [...this.#waiting.keys()].at(-1);
    for (const minute of this.#waiting.keys()) if (minute !== present) this.#waiting.delete(minute);
  }

  #growthOfEntities(): Record<string, EntityCounters> {
    const growth: Record<string, EntityCounters> = {};
    for (const [cqrsId, total] of this.tally.entities) {
      const before = this.#entities.get(cqrsId) ?? noEntityCounters();
      const grown = mapEntity(
        (name) => total[name] - before[name],
        (name) => total[name],
      );
      if (ENTITY_COUNTS.some((name) => grown[name] > 0)) growth[cqrsId] = grown;
      this.#entities.set(cqrsId, { ...total });
    }
    return growth;
  }
}

function sumsOf({ totals }: Tally): Sums {
  const { announced, published, unroutable, applied, skipped, retried, deadLettered, unreadable, failed } = totals;
  return {
    announced,
    published,
    unroutable,
    applied,
    skipped: sumOf(skipped),
    retried: sumOf(retried),
    deadLettered: sumOf(deadLettered),
    unreadable,
    failed,
  };
}

function sumOf(reasons: Readonly<Record<string, number>>): number {
  return Object.values(reasons).reduce((sum, times) => sum + times, 0);
}

function difference(now: Sums, before: Sums): Sums {
  return mapSums((name) => now[name] - before[name]);
}

function add(growth: Sums, before: Sums | undefined): Sums {
  return mapSums((name) => growth[name] + (before?.[name] ?? 0));
}

function mapSums(value: (name: keyof Sums) => number): Sums {
  return {
    announced: value('announced'),
    published: value('published'),
    unroutable: value('unroutable'),
    applied: value('applied'),
    skipped: value('skipped'),
    retried: value('retried'),
    deadLettered: value('deadLettered'),
    unreadable: value('unreadable'),
    failed: value('failed'),
  };
}

function addEntities(
  growth: Readonly<Record<string, EntityCounters>>,
  before: MinuteRecord['entities'] = {},
): Record<string, EntityCounters> {
  const sum = { ...before };
  for (const [cqrsId, grown] of Object.entries(growth)) {
    const old = before[cqrsId] ?? noEntityCounters();
    sum[cqrsId] = mapEntity(
      (name) => old[name] + grown[name],
      (name) => grown[name] ?? old[name],
    );
  }
  return sum;
}

function mapEntity(
  count: (name: (typeof ENTITY_COUNTS)[number]) => number,
  instant: (name: (typeof ENTITY_INSTANTS)[number]) => string | null,
): EntityCounters {
  return {
    ...noEntityCounters(),
    ...Object.fromEntries(ENTITY_COUNTS.map((name) => [name, count(name)])),
    ...Object.fromEntries(ENTITY_INSTANTS.map((name) => [name, instant(name)])),
  };
}

function greater(one: number | null, other: number | null | undefined): number | null {
  return one === null ? (other ?? null) : Math.max(one, other ?? 0);
}
