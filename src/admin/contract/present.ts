import * as z from 'zod';
import { Job } from './jobs.js';
import { count, time, text } from './values.js';

export const Why = z.object({
  where: z.enum(['master', 'outbox', 'relay', 'broker', 'queue', 'replica', 'dead-letters', 'database']),
  text,
  cure: text.optional(),
});
export type Why = z.infer<typeof Why>;

export const Verdict = z.object({ state: z.enum(['healthy', 'degraded', 'dead']), why: z.array(Why) });
export type Verdict = z.infer<typeof Verdict>;

const queueState = z.object({
  name: text,
  messages: count.nullable().describe('null: there is no such queue'),
  consumers: count.nullable(),
});

/** The path of a change. A station that this service has not is null. Counts are of the last hour, rates of the last half minute. */
export const Overview = z.object({
  at: time,
  verdict: Verdict,
  master: z.object({ announcedPerSecond: z.number(), announced: count }).nullable(),
  outbox: z.object({ depth: count, failed: count, held: count, oldestAgeMs: z.number().nullable() }).nullable(),
  relay: z
    .object({
      running: count,
      publishedPerSecond: z.number(),
      published: count,
      unroutable: count,
      lagMs: z.number().nullable(),
    })
    .nullable(),
  broker: z.object({ reachable: z.boolean(), error: text.nullable() }),
  queues: z.array(queueState).describe('known queues of the replicas of our masters'),
  queue: queueState.nullable().describe('our own'),
  deadLetters: queueState.nullable(),
  unreadable: queueState.nullable(),
  replica: z
    .object({
      workers: count,
      appliedPerSecond: z.number(),
      applied: count,
      skipped: count,
      retried: count,
      deadLettered: count,
      lagMs: z.number().nullable(),
    })
    .nullable(),
});
export type Overview = z.infer<typeof Overview>;

export const HistoryPoint = z.object({
  at: time.describe('the beginning of its span'),
  announced: count,
  published: count,
  unroutable: count,
  applied: count,
  skipped: count,
  retried: count,
  deadLettered: count,
  failed: count,
  relayLagMs: z.number().nullable(),
  applyLagMs: z.number().nullable(),
});
export type HistoryPoint = z.infer<typeof HistoryPoint>;

export const History = z.object({
  stepSeconds: count,
  points: z.array(HistoryPoint).describe('without gaps, oldest first'),
});
export type History = z.infer<typeof History>;

export const OutboxView = z.object({
  depth: count,
  failed: count,
  oldestAgeMs: z.number().nullable(),
  byEntity: z.array(z.object({ cqrsId: text, waiting: count, failed: count, oldestAgeMs: z.number().nullable() })),
  stuck: z
    .array(
      z.object({
        outboxId: text,
        cqrsId: text,
        signalType: text,
        key: text,
        queue: text.nullable(),
        since: time,
        failure: text.nullable().describe('null: it still waits, and too long'),
      }),
    )
    .describe('those that failed for good, and the oldest of those that wait for more than a minute; at most 100'),
  held: count.describe('refused by the broker, and those of their rows behind them; counted up to 100,000'),
  refused: z
    .array(
      z.object({
        outboxId: text,
        cqrsId: text,
        signalType: text,
        key: text,
        queue: text.nullable(),
        bytes: count,
        since: time,
        attempts: count,
        retryAt: time.nullable().describe('null: it waits for an operator'),
        behind: count.describe('later messages of its row that wait; counted up to 1,000'),
        reason: text.describe('what the broker says'),
      }),
    )
    .describe('messages that the broker refuses, oldest first; at most 100'),
  relays: z
    .array(z.object({ pid: count, client: text, application: text, since: time.nullable(), buckets: count }))
    .describe('the database sessions that hold key buckets at this moment'),
});
export type OutboxView = z.infer<typeof OutboxView>;

export const RefusedAction = z.strictObject({
  action: z.enum(['retry', 'drop']),
  selection: z.union([
    z.strictObject({
      outboxIds: z
        .array(z.string().regex(/^[1-9]\d{0,17}$/))
        .min(1)
        .max(10_000),
    }),
    z.strictObject({ cqrsId: text }),
    z.strictObject({ all: z.literal(true) }),
  ]),
});
export type RefusedAction = z.input<typeof RefusedAction>;

export const RefusedResult = z.object({ count: count.describe('of how many messages') });
export type RefusedResult = z.infer<typeof RefusedResult>;

export const ProcessInfo = z.object({
  id: text,
  roles: z.array(z.enum(['master', 'relay', 'worker', 'admin'])),
  host: text,
  pid: count,
  version: text,
  startedAt: time,
  seenAt: time,
  alive: z.boolean().describe('it was seen lately'),
  queue: text.nullable(),
  prefetch: count.nullable(),
  counts: z.record(z.string(), count).describe('since it started'),
  lastError: text.nullable(),
  degraded: z.array(text).describe('what it has against its surroundings, e.g. that the broker is away'),
});
export type ProcessInfo = z.infer<typeof ProcessInfo>;

export const Processes = z.object({ processes: z.array(ProcessInfo) });
export type Processes = z.infer<typeof Processes>;

export const RecentEvent = z.object({
  id: text,
  at: time,
  level: z.enum(['debug', 'info', 'warn', 'error']),
  event: text.describe('its name in the catalogue'),
  text,
  cqrsId: text.nullable(),
  key: text.nullable(),
  process: text.nullable(),
});
export type RecentEvent = z.infer<typeof RecentEvent>;

export const RecentEvents = z.object({ events: z.array(RecentEvent).describe('newest first') });
export type RecentEvents = z.infer<typeof RecentEvents>;

/**
 * The server-sent events of `live`: the fresh thing itself, or a word that something is worth asking for again.
 * Heartbeats are comments. After a break the browser connects by itself, and gets an `overview` first.
 */
export const LiveEvents = {
  overview: Overview,
  job: Job,
  event: RecentEvent,
  changed: z.object({ what: z.array(z.enum(['jobs', 'dead-letters', 'outbox', 'processes', 'replicas'])) }),
} as const;
export type LiveEvents = { readonly [N in keyof typeof LiveEvents]: z.infer<(typeof LiveEvents)[N]> };
