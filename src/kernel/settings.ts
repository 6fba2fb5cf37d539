import * as z from 'zod';
import { ConfigurationError, type Problem } from './errors.js';
import { didYouMean } from './nearest-name.js';
import type { SignalType } from '../wire/payload.js';
import { isTimeZone } from './time-zone.js';
import type { WireValue } from '../wire/values.js';

/**
 * Every option: its schema, its default and its line of documentation (`describe`) in one place. Parsed once when a
 * `Cqrs` is made, then frozen. Meanings and defaults are those of django-cqrs; units stand in the names.
 * `docs/settings.md` is generated from here.
 */

const seconds = z.number().min(0);
const milliseconds = z.int().min(0);
const name = z
  .string()
  .min(1)
  .max(120)
  .regex(/^[^*#\s]+$/, "must not contain '*', '#' or blanks");

/** What a master's correlation function is told. */
export interface CorrelationContext {
  readonly cqrsId: string;
  readonly signalType: SignalType;
  readonly instancePk: WireValue;
  /** The one queue a SYNC is meant for; otherwise null. */
  readonly queue: string | null;
  /** What `master.contextFunction` said of the transaction that wrote the row; null for nothing. */
  readonly context: WireValue;
}

/** What a master's meta function is told about the message that is being built. */
export interface MetaContext {
  readonly cqrsId: string;
  readonly signalType: SignalType;
  readonly instancePk: WireValue;
  readonly instanceData: Readonly<Record<string, WireValue>>;
  readonly previousData: Readonly<Record<string, WireValue>> | null;
  /** What `master.contextFunction` said of the transaction that wrote the row; null for nothing. */
  readonly context: WireValue;
}

/** The query that finds the keys of the rows to be sent: MikroORM's query builder, as far as it is needed to narrow it. */
export interface SyncQuery {
  /** The table's alias, for raw conditions. */
  readonly alias: string;
  /** Adds a condition in MikroORM's query syntax, or `raw(…)`. */
  andWhere(condition: object): this;
}

/**
 * Narrows which of the chosen rows of a master are sent, e.g. to those of the asker's tenant. Called once for every page
 * of keys; the request is the one that asked for the sync.
 */
export type AdjustSyncQuery = (query: SyncQuery, request: Request) => SyncQuery | Promise<SyncQuery>;

const fn = <F extends (...args: never[]) => unknown>(): z.ZodType<F, F> =>
  z.custom<F>((value) => typeof value === 'function', 'expected a function');

const master = z.strictObject({
  capture: z
    .enum(['driver', 'trigger'])
    .default('driver')
    .describe(
      'How writes of masters are captured: at the driver of MikroORM, or by triggers in the database, whoever writes. An entity says otherwise with `CQRS_CAPTURE`.',
    ),
  messageTtlSeconds: seconds
    .nullable()
    .default(86_400)
    .describe('How long a message is worth delivering, counted from the moment it is published; null = for ever.'),
  correlationFunction: fn<(context: CorrelationContext) => WireValue>()
    .nullable()
    .default(null)
    .describe(
      'Called once for each message inside the transaction, with trigger capture in the relay; its answer travels as `correlation_id`.',
    ),
  metaFunction: fn<(context: MetaContext) => WireValue>()
    .nullable()
    .default(null)
    .describe(
      'Called once for each message inside the transaction, with trigger capture in the relay; its answer travels as `meta`, unless the entity has `getCqrsMeta`.',
    ),
  contextFunction: fn<() => WireValue | undefined>()
    .nullable()
    .default(null)
    .describe(
      'Called at each BEGIN of MikroORM; `correlationFunction`, `metaFunction` and `getCqrsMeta` are given its answer as `context`, JSON of at most 2,048 bytes, with trigger capture, too.',
    ),
});

const replica = z.strictObject({
  maxRetries: z
    .int()
    .min(0)
    .nullable()
    .default(30)
    .describe('How often a failed message is tried again before it becomes a dead letter; null = for ever, 0 = never.'),
  retryDelaySeconds: seconds
    .default(2)
    .describe('How long a failed message waits, in the broker, before it is tried again.'),
  deadLetterTtlSeconds: seconds
    .nullable()
    .default(864_000)
    .describe('How long the broker keeps a dead letter; null = for ever.'),
  deadLetterWarningSeconds: seconds
    .nullable()
    .default(86_400)
    .describe(
      'How long before the broker drops dead letters a warning is given, at most half of their time; null = never.',
    ),
  foreignKeyWaitSeconds: seconds
    .default(3_600)
    .describe(
      'How long a message may wait for the row its foreign key points to; this wait does not count as retries.',
    ),
  unknownCqrsId: z
    .enum(['dead-letter', 'discard'])
    .default('dead-letter')
    .describe('What happens to a message whose id this service does not declare.'),
  clockSkewToleranceSeconds: seconds
    .default(1)
    .describe('How far the clocks of masters that send no incarnation (django-cqrs) may differ.'),
  lockWaitSeconds: seconds
    .default(30)
    .describe(
      'How long a statement of a master that sends no incarnation (django-cqrs) may wait for a lock: its message has a higher revision, but a time that is so much earlier.',
    ),
  senderTimezone: z
    .string()
    .refine(isTimeZone, 'expected the name of a time zone, such as Europe/Madrid')
    .nullable()
    .default(null)
    .describe(
      'Where times without an offset are from: the `TIME_ZONE` of a Django master with `USE_TZ=False`. Null: they are UTC.',
    ),
  syncDowngrade: z
    .enum(['never', 'always'])
    .default('never')
    .describe(
      'Whether a SYNC without incarnation may replace a newer row; `always` suits a Python master restored from a backup.',
    ),
  lossyValues: z
    .enum(['apply', 'dead-letter'])
    .default('apply')
    .describe(
      'What happens to a message of which a column would round or cut a value (`numeric(10,0)`, `timestamptz(3)`, `real`): `apply` stores it and tells it once a column and process, `dead-letter` stores nothing. A key is never rounded: such a message is a dead letter in any case.',
    ),
  tombstoneRetentionSeconds: seconds
    .default(2_592_000)
    .describe(
      'How long a deletion is remembered; a message older than this creates nothing and becomes a dead letter.',
    ),
  batchSize: z
    .int()
    .min(1)
    .max(10_000)
    .default(1_000)
    .describe('The most messages applied in one transaction; of replicas with hooks never more than 500.'),
  batchWaitMs: milliseconds
    .default(0)
    .describe(
      'How long a batch waits to fill up once its first message is there. At 0 it is what came while the one before was applied.',
    ),
  keyWaitSeconds: z
    .number()
    .min(0.05)
    .max(3_600)
    .default(5)
    .describe(
      'How long a batch waits for keys that another worker holds; after that the messages of these keys are tried again later, and the others go on.',
    ),
  silentWorkerSeconds: z
    .number()
    .min(1)
    .max(3_600)
    .default(20)
    .describe(
      'How long PostgreSQL keeps the keys of a worker that says nothing more, where no hooks run. With hooks it is `health.stuckSeconds`.',
    ),
  queryTimeoutMs: milliseconds
    .min(1)
    .max(2_147_483_647)
    .nullable()
    .default(null)
    .describe(
      'How long one statement of a batch may take, hooks included; the message at fault is then tried again. The wait for other workers does not count. null = no limit.',
    ),
  prefetch: z.int().min(1).max(65_535).default(2_000).describe('The most messages a worker holds unsettled.'),
});

const relay = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Whether `cqrs.start()` runs a relay in this process; `cqrs relay` always does.'),
  batchSize: z.int().min(1).max(10_000).default(500).describe('The most messages handed to the broker at a time.'),
  pollIntervalMs: milliseconds
    .default(1_000)
    .describe(
      'How often the outbox is looked at for messages of other processes; commits of this process wake the relay at once.',
    ),
  publishTimeoutMs: milliseconds
    .default(30_000)
    .describe(
      'How long the broker may take to confirm; then the batch is published again. A relay that the database has not heard of for three times as long loses its claim to another.',
    ),
  onRefused: z
    .enum(['block-key', 'set-aside'])
    .default('block-key')
    .describe(
      'What happens to a message that the broker refuses (too long, forbidden): `block-key` tries it again, more and more seldom, up to every five minutes; `set-aside` waits for `cqrs refused retry` or `drop`. Either way later messages of its row wait behind it and all others go on. What a full queue refuses is always tried again.',
    ),
  unroutableWaitSeconds: z
    .number()
    .min(0)
    .max(2_147_483)
    .default(300)
    .describe(
      'How long a change waits when its entity had a queue and has none any more (deleted, or its binding removed); then it is settled, with an event. `cqrs retire` ends the wait. An entity that no replica has ever followed does not wait.',
    ),
  sentRetentionSeconds: z
    .number()
    .min(1)
    .max(2_147_483_647)
    .nullable()
    .default(null)
    .describe(
      'How long it is remembered what was sent of each row and when, for the admin page, in the table `cqrs_sent` (keys and revisions, no row data). null = not at all: it writes every message a second time.',
    ),
});

const activity = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Whether processes leave word of themselves in the table `cqrs_activity` of their own database.'),
  intervalSeconds: z
    .number()
    .min(1)
    .max(60)
    .default(5)
    .describe('How often a process writes there: one statement, never in a transaction of yours.'),
  retentionSeconds: z.number().min(60).default(604_800).describe('How long the minutes of the past are kept.'),
});

const admin = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(100)
    .nullable()
    .default(null)
    .describe('What the admin page calls this service; default: the name of its database.'),
  environment: z
    .string()
    .min(1)
    .max(30)
    .nullable()
    .default(null)
    .describe('Shown on every page as a badge, e.g. `production`, so that nobody takes one for the other.'),
  queues: z
    .array(name)
    .default([])
    .describe(
      'Queues of replicas that follow the masters of this service, to be chosen from when rows are sent to one.',
    ),
  jobRetentionSeconds: seconds
    .default(7_776_000)
    .describe('How long it is remembered who asked for what, and what became of it.'),
  adjustSyncQuery: z
    .record(z.string(), fn<AdjustSyncQuery>())
    .default({})
    .describe(
      'By the `CQRS_ID` of a master: narrows which of the chosen rows **Synchronize selected** sends, on every page of the service, that of `cqrs admin` as well.',
    ),
  actionsPerMinute: z.int().min(1).default(60).describe('The most actions of one user in a minute.'),
});

const health = z.strictObject({
  stuckSeconds: z
    .number()
    .min(1)
    .default(300)
    .describe(
      'How long a worker or relay may take for one step (a batch, a publication) before it counts as dead, and how long PostgreSQL keeps the keys of a worker with hooks that says nothing more.',
    ),
  backlogSeconds: z
    .number()
    .min(1)
    .default(60)
    .describe('How old the oldest waiting change may be before the service counts as degraded.'),
  growthMessages: z
    .int()
    .min(1)
    .default(1_000)
    .describe('How much a backlog may grow, minute after minute for five of them, before it counts as degraded.'),
  unroutableSeconds: z
    .number()
    .min(0)
    .max(3_600)
    .default(300)
    .describe(
      'How long a master counts as degraded after it has sent a change for which no queue is bound. 0 = never, for services whose replicas come and go.',
    ),
});

export const settingsSchema = z.strictObject({
  queue: name.nullable().default(null).describe("The replica's queue. Mandatory as soon as a service consumes."),
  deadLetterQueue: name.nullable().default(null).describe('Where dead letters go; default `dead_letter_<queue>`.'),
  exchange: name.default('cqrs').describe('The topic exchange shared by all services.'),
  maxPayloadBytes: z
    .int()
    .min(1_024)
    .default(16_000_000)
    .describe(
      'The longest message. A master refuses the write, with an error that names the row; a replica puts what comes longer, unread, to the unreadable messages. RabbitMQ has a limit of its own, 16 MiB from version 4 on.',
    ),
  master: master.prefault({}).describe('Where rows are written.'),
  replica: replica.prefault({}).describe('Where rows are copied.'),
  relay: relay.prefault({}).describe('The way from the outbox to the broker.'),
  health: health.prefault({}).describe('When a process or a service counts as degraded or dead.'),
  activity: activity
    .prefault({})
    .describe('What `cqrs status` and the admin page know of other processes and the past.'),
  admin: admin.prefault({}).describe('The admin page.'),
});

/** What a user may write; every key is optional. */
export type SettingsInput = z.input<typeof settingsSchema>;
/** What the parts read: complete, checked, frozen. */
export type Settings = Readonly<z.output<typeof settingsSchema>>;

/** Problems of the given settings, one an option, in words a person can act on. */
export function parseSettings(input: unknown): { settings?: Settings; problems: Problem[] } {
  const parsed = settingsSchema.safeParse(input);
  if (parsed.success) return { settings: deepFreeze(parsed.data), problems: [] };
  const problems = parsed.error.issues.flatMap((issue): Problem[] => {
    const where = ['settings', ...issue.path].join('.');
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownOption(where, key, issue.path));
    return [{ where, what: `${issue.message}.`, cure: 'See docs/settings.md for what it may be.' }];
  });
  return { problems };
}

function unknownOption(where: string, key: string, path: readonly PropertyKey[]): Problem {
  let known: unknown = settingsSchema.parse({});
  for (const step of path) known = Reflect.get(known as object, step);
  const hint = didYouMean(key, Object.keys(known as object));
  return { where, what: `unknown option '${key}'.${hint}`, cure: 'See docs/settings.md for the names.' };
}

/** @throws ConfigurationError listing every wrong option. */
export function settingsOrThrow(input: unknown): Settings {
  const { settings, problems } = parseSettings(input);
  if (!settings) throw new ConfigurationError(problems);
  return settings;
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  return Object.freeze(value);
}
