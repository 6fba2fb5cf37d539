import { CompiledQuery } from 'kysely';
import type { Events } from '../kernel/events.js';
import type { Settings } from '../kernel/settings.js';
import type { Executor, Row } from './activity-table.js';

/**
 * When messages became dead letters, period by period: what tells how soon the broker will drop them, without a look into
 * their queue. One row a period, a queue and a process (kind `death`), kept for as long as a dead letter lives.
 */
export class Deaths {
  readonly #periods = new Map<string, { readonly began: string; readonly queue: string; count: number }>();
  readonly #changed = new Set<string>();
  readonly #off: () => void;

  constructor(events: Events, periodSeconds: number, now: () => number = Date.now) {
    const periodMs = periodSeconds * 1_000;
    this.#off = events.on('cqrs.inbox.dead-lettered', ({ queue }) => {
      const began = new Date(Math.floor(now() / periodMs) * periodMs).toISOString();
      const key = `${began}/${queue}`;
      const entry = this.#periods.get(key) ?? { began, queue, count: 0 };
      entry.count++;
      this.#periods.set(key, entry);
      this.#changed.add(key);
    });
  }

  rows(processId: string): Row[] {
    return [...this.#changed].map((key) => {
      const { began, queue, count } = this.#periods.get(key)!;
      return { kind: 'death', name: `${key}/${processId}`, at: began, data: { queue, count } };
    });
  }

  /** All rows are in the database. */
  written(): void {
    this.#changed.clear();
    const present = [...this.#periods.values()].at(-1)?.began;
    for (const [key, { began }] of this.#periods) if (began !== present) this.#periods.delete(key);
  }

  close(): void {
    this.#off();
  }
}

export interface Expiring {
  /** At most so many dead letters. */
  readonly count: number;
  readonly firstInSeconds: number;
}

/** How long a dead letter lives, and how early its end is told. */
export interface DeadLetterTimes {
  readonly ttlSeconds: number;
  /** At most half of their life: nobody needs a warning of what has just happened. */
  readonly warningSeconds: number;
}

/** Undefined when nobody is to be told. */
export function deadLetterTimes({
  deadLetterTtlSeconds: ttlSeconds,
  deadLetterWarningSeconds,
}: Settings['replica']): DeadLetterTimes | undefined {
  if (ttlSeconds === null || deadLetterWarningSeconds === null) return undefined;
  return { ttlSeconds, warningSeconds: Math.min(deadLetterWarningSeconds, ttlSeconds / 2) };
}

const HOUR_SECONDS = 3_600;

/** How exactly deaths are remembered: by the hour, or better where letters do not live for days. */
export function deathPeriodSeconds({ deadLetterTtlSeconds: ttlSeconds }: Settings['replica']): number {
  return ttlSeconds === null ? HOUR_SECONDS : Math.min(HOUR_SECONDS, Math.max(1, Math.floor(ttlSeconds / 24)));
}

/**
 * By queue: how many of the messages that became dead letters are about to be dropped, if they still lie there. Which ones
 * were put back or purged is not known, so it is the most it can be; queues with none are left out.
 */
export async function findExpiringByQueue(
  executor: Executor,
  table: string,
  { ttlSeconds, warningSeconds }: DeadLetterTimes,
): Promise<Record<string, Expiring>> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `select data->>'queue' as queue, sum((data->>'count')::float8) as count,
              $1::float8 - extract(epoch from clock_timestamp() - min(at))::float8 as first
         from ${table}
        where kind = 'death' and at >= clock_timestamp() - make_interval(secs => $1)
          and at < clock_timestamp() - make_interval(secs => $2) group by data->>'queue'`,
      [ttlSeconds, ttlSeconds - warningSeconds],
    ) as CompiledQuery<{ queue: string; count: number; first: number }>,
  );
  return Object.fromEntries(
    rows.map(({ queue, count, first }) => [queue, { count, firstInSeconds: Math.max(0, Math.round(first)) }]),
  );
}

/** Whether this process is the one to warn: true once in so many seconds for all processes of the service. */
export async function mayWarn(executor: Executor, table: string, what: string, everySeconds: number): Promise<boolean> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `insert into ${table} as a (kind, name, at, data) values ('warning', $1, clock_timestamp(), '{}')
       on conflict (kind, name) do update set at = excluded.at
        where a.at < clock_timestamp() - make_interval(secs => $2) returning 1 as one`,
      [what, everySeconds],
    ) as CompiledQuery<{ one: number }>,
  );
  return rows.length > 0;
}
