import { CompiledQuery } from 'kysely';
import type { Executor } from './activity-table.js';
import type { Expiring } from './deaths.js';
import {
  ENTITY_COUNTS,
  ENTITY_INSTANTS,
  type EntityCounters,
  type MinuteRecord,
  type NoteRecord,
  noteSchema,
  type ProcessRecord,
  processSchema,
} from './records.js';

/** What the processes of a service have left word of. Times are ISO 8601, by the database's clock where it matters. */
export interface Activity {
  /** False when `activity.enabled` is: then the rest is empty. */
  readonly enabled: boolean;
  /** When this was read. */
  readonly now: string;
  /** Those that run, first; then those that are gone, the latest first. */
  readonly processes: readonly ProcessActivity[];
  /** Oldest first; a period in which nothing happened is left out. */
  readonly history: readonly Period[];
  /** By `CQRS_ID`: the sums of the same periods. */
  readonly entities: Readonly<Record<string, EntityCounters>>;
  /** Newest first. */
  readonly events: readonly RecentEvent[];
  /** By queue: at most so many of its dead letters will soon be dropped by the broker. */
  readonly expiring: Readonly<Record<string, Expiring>>;
}

export interface ProcessActivity extends ProcessRecord {
  readonly id: string;
  readonly seenAt: string;
  /** `lost`: it did not say goodbye, and has missed several of its writes: killed, hanging, or without its database. */
  readonly state: 'running' | 'stopped' | 'lost';
}

/** All processes together in one period: sums; the greatest lag; what waited, as last seen. */
export interface Period extends Omit<MinuteRecord, 'entities'> {
  /** When it began. */
  readonly at: string;
}

export interface RecentEvent extends NoteRecord {
  readonly at: string;
  readonly processId: string;
}

export interface ActivityOptions {
  /** How far back the history, the sums of entities and the events go. Default 3 600. */
  readonly seconds?: number;
  /** The length of one period of the history, in whole minutes. Default 60. */
  readonly periodSeconds?: number;
  /** The most events. Default 100. */
  readonly events?: number;
}

export const NO_ACTIVITY: Omit<Activity, 'now'> = {
  enabled: false,
  processes: [],
  history: [],
  entities: {},
  events: [],
  expiring: {},
};

/** A process is lost when it has missed so many of its writes. */
const MISSED = 3;
const PATIENCE_MS = 5_000;

export async function readActivity(
  executor: Executor,
  table: string,
  { seconds = 3_600, periodSeconds = 60, events = 100 }: ActivityOptions = {},
): Promise<Omit<Activity, 'expiring'>> {
  const ask = async <R>(text: string, parameters: readonly unknown[] = []): Promise<R[]> =>
    (await executor.executeQuery(CompiledQuery.raw(text, [...parameters]) as CompiledQuery<R>)).rows;
  const processes = await ask<{ name: string; age: number; seen: string; now: string; data: unknown }>(
    `select name, (extract(epoch from clock_timestamp() - at) * 1000)::float8 as age, ${iso('at')} as seen,
            ${iso('clock_timestamp()')} as now, data from ${table} where kind = 'process' order by at desc`,
  );
  const [clock] =
    processes.length > 0 ? processes : await ask<{ now: string }>(`select ${iso('clock_timestamp()')} as now`);
  return {
    enabled: true,
    now: clock!.now,
    processes: processes.map(toProcess).toSorted(byState),
    history: await ask<Period>(historySql(table), [seconds, periodSeconds]),
    entities: Object.fromEntries(
      (await ask<EntityCounters & { cqrsId: string }>(entitiesSql(table), [seconds])).map(({ cqrsId, ...counters }) => [
        cqrsId,
        counters,
      ]),
    ),
    events: (
      await ask<{ name: string; at: string; data: unknown }>(
        `select name, ${iso('at')} as at, data from ${table}
          where kind = 'event' and at >= clock_timestamp() - make_interval(secs => $1)
          order by ${table}.at desc, name desc limit $2`,
        [seconds, events],
      )
    ).map(({ name, at, data }) => ({ ...noteSchema.parse(data), at, processId: name.slice(0, name.lastIndexOf('/')) })),
  };
}

function toProcess({
  name,
  age,
  seen,
  data,
}: {
  name: string;
  age: number;
  seen: string;
  data: unknown;
}): ProcessActivity {
  const process = processSchema.parse(data);
  const gone = age > MISSED * process.intervalMs + PATIENCE_MS;
  const state = process.stoppedAt !== null ? 'stopped' : gone ? 'lost' : 'running';
  return { id: name, seenAt: seen, state, ...process };
}

// What came in the order of `seenAt` keeps it within its state.
function byState(one: ProcessActivity, other: ProcessActivity): number {
  return Number(other.state === 'running') - Number(one.state === 'running');
}

const SUMS = [
  'announced',
  'published',
  'unroutable',
  'applied',
  'skipped',
  'retried',
  'deadLettered',
  'unreadable',
  'failed',
] as const;
const GREATEST = ['relayLagMs', 'applyLagMs', 'outboxDepth', 'queueDepth', 'deadLetters'] as const;

function historySql(table: string): string {
  const sums = SUMS.map((name) => `coalesce(sum((data->>'${name}')::float8), 0) as "${name}"`);
  const greatest = GREATEST.map((name) => `max((data->>'${name}')::float8) as "${name}"`);
  return `select ${iso('to_timestamp(begin)')} as at, ${[...sums, ...greatest].join(', ')}
    from (select floor(extract(epoch from at) / $2) * $2 as begin, data from ${table}
           where kind = 'minute' and at >= clock_timestamp() - make_interval(secs => $1)) as m
   group by begin order by begin`;
}

function entitiesSql(table: string): string {
  const sums = ENTITY_COUNTS.map((name) => `coalesce(sum((value->>'${name}')::float8), 0) as "${name}"`);
  const latest = ENTITY_INSTANTS.map((name) => `max(value->>'${name}') as "${name}"`);
  return `select key as "cqrsId", ${[...sums, ...latest].join(', ')}
    from ${table}, jsonb_each(data->'entities')
   where kind = 'minute' and at >= clock_timestamp() - make_interval(secs => $1) group by key`;
}

function iso(instant: string): string {
  return `to_char(${instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
