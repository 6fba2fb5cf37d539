import * as z from 'zod';

/**
 * What a process writes down about itself, as it stands in the table. Processes of several versions share it while a
 * service is being deployed: what one does not know is left out, what another lacks counts as nothing.
 */

/** What a process does: writes masters, carries the outbox, applies messages, serves the admin page. */
export const PROCESS_ROLES = ['master', 'relay', 'worker', 'admin'] as const;
export type ProcessRole = (typeof PROCESS_ROLES)[number];

const count = z.number().catch(0).default(0);
const instant = z.string().nullable().catch(null).default(null);
const reasons = z.record(z.string(), z.number()).catch({}).default({});

/** What happened so often. Messages are counted, but for `failed`: attempts that found the broker or the database away. */
export const countersSchema = z.object({
  /** Committed to the outbox. */
  announced: count,
  /** Confirmed by the broker. */
  published: count,
  /** Published where no queue is bound. */
  unroutable: count,
  applied: count,
  /** By reason. */
  skipped: reasons,
  retried: reasons,
  deadLettered: reasons,
  /** Bodies that could not be read. */
  unreadable: count,
  failed: count,
});
export type Counters = z.output<typeof countersSchema>;

export const entityCountersSchema = z.object({
  announced: count,
  applied: count,
  skipped: count,
  retried: count,
  deadLettered: count,
  /** For every replica, and no queue took it. */
  unroutable: count,
  /** ISO 8601; null when it has not happened since the process began. */
  lastAnnouncedAt: instant,
  lastAppliedAt: instant,
  lastUnroutableAt: instant,
});
export type EntityCounters = z.output<typeof entityCountersSchema>;
/** What is added up of an entity, and of what the latest counts. */
export const ENTITY_COUNTS = ['announced', 'applied', 'skipped', 'retried', 'deadLettered', 'unroutable'] as const;
export const ENTITY_INSTANTS = ['lastAnnouncedAt', 'lastAppliedAt', 'lastUnroutableAt'] as const;

/** What a process knows to be out of order; every time is ISO 8601, null where all is well. */
export const conditionsSchema = z.object({
  brokerAwaySince: instant,
  databaseAwaySince: instant,
  /** The broker holds publishers back. */
  blockedSince: instant,
  blockedReason: z.string().nullable().catch(null).default(null),
  /** It refuses whatever is published. */
  publishRefusedSince: instant,
  publishRefusedReason: z.string().nullable().catch(null).default(null),
  keysHeldSince: instant,
  keysHeldBy: z.string().nullable().catch(null).default(null),
  clockBackSince: instant,
  clockBackBy: z.string().nullable().catch(null).default(null),
});
export type Conditions = z.output<typeof conditionsSchema>;

export const processSchema = z.object({
  roles: z.array(z.enum(PROCESS_ROLES)).catch([]).default([]),
  host: z.string().catch('').default(''),
  pid: count,
  version: z.string().catch('').default(''),
  startedAt: z.string().catch('').default(''),
  /** When it said goodbye; null while it runs, and for one that was killed. */
  stoppedAt: instant,
  /** How often it writes. */
  intervalMs: z.number().catch(5_000).default(5_000),
  queue: z.string().nullable().catch(null).default(null),
  prefetch: count,
  rssBytes: count,
  counters: countersSchema.prefault({}),
  conditions: conditionsSchema.prefault({}),
  /** What keeps it from being healthy, by its own verdict. */
  reasons: z
    .array(
      z.object({
        code: z.string(),
        severity: z.enum(['degraded', 'dead']),
        where: z.string(),
        text: z.string(),
        since: z.string().nullable(),
      }),
    )
    .catch([])
    .default([]),
  lastError: z.object({ at: z.string(), text: z.string() }).nullable().catch(null).default(null),
});
export type ProcessRecord = z.output<typeof processSchema>;

/** What is told of one event: ids and reasons, never row data. */
export const noteSchema = z.object({
  event: z.string(),
  level: z.enum(['debug', 'info', 'warn', 'error']).catch('info'),
  /** As the log has it. */
  text: z.string(),
  cqrsId: z.string().nullable().catch(null).default(null),
  key: z.string().nullable().catch(null).default(null),
  reason: z.string().nullable().catch(null).default(null),
  /** How many more like this there were that are not kept. */
  more: count,
});
export type NoteRecord = z.output<typeof noteSchema>;

/** What one process did in one minute; sums as in `Counters`, the greatest lag, and what waited at the end of it. */
export interface MinuteRecord {
  readonly announced: number;
  readonly published: number;
  readonly unroutable: number;
  readonly applied: number;
  readonly skipped: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly unreadable: number;
  readonly failed: number;
  readonly relayLagMs: number | null;
  readonly applyLagMs: number | null;
  readonly outboxDepth: number | null;
  readonly queueDepth: number | null;
  readonly deadLetters: number | null;
  readonly entities: Readonly<Record<string, EntityCounters>>;
}

export function noCounters(): Counters {
  return countersSchema.parse({});
}

export function noEntityCounters(): EntityCounters {
  return entityCountersSchema.parse({});
}
