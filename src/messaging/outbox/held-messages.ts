import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { versionComment } from '../../postgres/schema-version.js';
import { type Executor, LOCK_CLASS, type OutboxRow, readState, type Tables, type WaitingState } from './outbox.js';

/**
 * Messages that the broker refuses, and those behind them: a table of its own, so that the outbox has only what may leave,
 * however many are held, and an outbox without refusals costs nothing for them. Every query on it is here.
 *
 *   outbox ──refused──▶ refused ──confirmed at a later attempt──▶ gone; the next of its key is attempted
 *          ──its key is held──▶ behind ──▲
 *
 * Of each key the one with the least id is the one that is attempted (`retry_at`); a message of the outbox whose key has
 * any row here goes behind it. Only who has locked the bucket of a key writes its rows.
 */

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const HELD_VERSION = 1;

/** Added to the entities of every service with masters, so that the schema generator and migrations know the table. */
export const HeldMessage = defineEntity({
  name: 'CqrsHeldMessage',
  tableName: 'cqrs_held',
  comment: versionComment(HELD_VERSION),
  properties: {
    /** Of the outbox: the order of the key goes on. */
    id: p.bigint('string').primary().autoincrement(false),
    bucket: p.smallint(),
    cqrsId: p.text().name('cqrs_id'),
    signalType: p.text().name('signal'),
    key: p.text(),
    queue: p.text().nullable(),
    body: p.text(),
    createdAt: p.datetime().name('created_at').columnType('timestamptz(6)'),
    /** `refused` or `behind`. */
    state: p.text(),
    /** What the broker says; null behind another. */
    reason: p.text().nullable(),
    /** Whether the reason ends by itself. */
    passing: p.boolean(),
    attempts: p.integer(),
    /** Null: not by itself. */
    retryAt: p.datetime().name('retry_at').columnType('timestamptz(6)').nullable(),
    /** Until when it waits for a queue; null: it has one. */
    giveUpAt: p.datetime().name('give_up_at').columnType('timestamptz(6)').nullable(),
    heldAt: p.datetime().name('held_at').columnType('timestamptz(6)'),
  },
  indexes: [
    { properties: ['cqrsId', 'key', 'id'] },
    { properties: ['passing', 'retryAt'] },
    { properties: ['state', 'id'] },
  ],
});

/** Why a message is held. */
export interface Hold {
  readonly id: string;
  readonly reason: string;
  readonly passing: boolean;
  /** Null: an operator decides. */
  readonly retryInMs: number | null;
  /** How long it may wait for a queue that is gone; null: it is not that. */
  readonly giveUpInMs: number | null;
}

/** A message that is tried again. */
export interface HeldRow extends OutboxRow {
  readonly attempts: number;
  /** The time to wait for its queue is over. */
  readonly givenUp: boolean;
}

/** Moves messages out of the outbox: refused ones, and those behind them. */
export async function hold(
  transaction: Executor,
  tables: Tables,
  { refused, behind }: { refused: readonly Hold[]; behind: readonly string[] },
): Promise<void> {
  await transaction.executeQuery(
    CompiledQuery.raw(
      `with why as (
         select * from unnest($1::bigint[], $2::text[], $3::boolean[], $4::float8[], $5::float8[])
           as w(id, reason, passing, retry, give_up)
         union all select id, null, false, null, null from unnest($6::bigint[]) as b(id)
       ), gone as (
         delete from ${tables.outbox} where id = any($1::bigint[] || $6::bigint[])
         returning id, bucket, cqrs_id, signal, key, queue, body, created_at
       )
       insert into ${tables.held} (id, bucket, cqrs_id, signal, key, queue, body, created_at,
              state, reason, passing, attempts, retry_at, give_up_at, held_at)
       select id, bucket, cqrs_id, signal, key, queue, body, created_at,
              case when reason is null then 'behind' else 'refused' end, reason, passing,
              case when reason is null then 0 else 1 end,
              clock_timestamp() + make_interval(secs => retry / 1000),
              clock_timestamp() + make_interval(secs => give_up / 1000), clock_timestamp()
         from gone join why using (id)`,
      [...columnsOf(refused), behind],
    ),
  );
}

/** Notes that messages which are held were refused once more. */
export async function holdAgain(transaction: Executor, table: string, refused: readonly Hold[]): Promise<void> {
  await transaction.executeQuery(
    CompiledQuery.raw(
      `update ${table} as h set state = 'refused', reason = w.reason, passing = w.passing, attempts = attempts + 1,
              retry_at = clock_timestamp() + make_interval(secs => w.retry / 1000),
              give_up_at = coalesce(h.give_up_at, clock_timestamp() + make_interval(secs => w.give_up / 1000))
         from unnest($1::bigint[], $2::text[], $3::boolean[], $4::float8[], $5::float8[])
           as w(id, reason, passing, retry, give_up)
        where h.id = w.id`,
      columnsOf(refused),
    ),
  );
}

function columnsOf(refused: readonly Hold[]): unknown[] {
  return [
    refused.map(({ id }) => id),
    refused.map(({ reason }) => reason),
    refused.map(({ passing }) => passing),
    refused.map(({ retryInMs }) => retryInMs),
    refused.map(({ giveUpInMs }) => giveUpInMs),
  ];
}

export async function isAnyHeld(transaction: Executor, table: string): Promise<boolean> {
  const { rows } = await transaction.executeQuery<{ any: boolean }>(
    CompiledQuery.raw(`select exists(select from ${table}) as any`) as CompiledQuery<{ any: boolean }>,
  );
  return rows[0]!.any;
}

/** How many of the given messages are held. */
export async function countHeld(executor: Executor, table: string, ids: readonly string[]): Promise<number> {
  const { rows } = await executor.executeQuery<{ count: number }>(
    CompiledQuery.raw(`select count(*)::float8 as count from ${table} where id = any($1::bigint[])`, [
      ids,
    ]) as CompiledQuery<{ count: number }>,
  );
  return rows[0]!.count;
}

/** Which of these messages have others of their key here. */
export async function findBehind(
  transaction: Executor,
  table: string,
  rows: readonly OutboxRow[],
): Promise<ReadonlySet<string>> {
  const { rows: found } = await transaction.executeQuery<{ id: string }>(
    CompiledQuery.raw(
      `select id::text as id from unnest($1::bigint[], $2::text[], $3::text[]) as r(id, cqrs_id, key)
        where exists (select from ${table} as h where h.cqrs_id = r.cqrs_id and h.key = r.key)`,
      [rows.map(({ id }) => id), rows.map(({ cqrsId }) => cqrsId), rows.map(({ key }) => key)],
    ) as CompiledQuery<{ id: string }>,
  );
  return new Set(found.map(({ id }) => id));
}

/** What is due, of so many keys, with what is next behind it: at most `limit` messages, in order for each key. */
export async function readDue(
  transaction: Executor,
  table: string,
  { buckets, passing, limit }: { buckets: readonly number[]; passing: boolean; limit: number },
): Promise<HeldRow[]> {
  const { rows } = await transaction.executeQuery<HeldRow>(
    CompiledQuery.raw(
      `select f.id::text as id, f.cqrs_id as "cqrsId", f.signal as "signalType", f.key, f.queue, f.body, f.attempts,
              coalesce(f.give_up_at <= clock_timestamp(), false) as "givenUp",
              (extract(epoch from f.created_at) * 1000)::float8 as "committedAtMs"
         from (select cqrs_id, key from ${table}
                where passing = $2 and retry_at <= clock_timestamp() and bucket = any($1::smallint[])
                order by retry_at limit $3) as due
        cross join lateral (select * from ${table} as h where h.cqrs_id = due.cqrs_id and h.key = due.key
                             order by id limit $3) as f
        order by f.id limit $3`,
      [buckets, passing, limit],
    ) as CompiledQuery<HeldRow>,
  );
  return rows;
}

/** Lets the next message of each of these keys be attempted, where nothing is before it any more. */
export async function promote(
  transaction: Executor,
  table: string,
  keys: readonly { readonly cqrsId: string; readonly key: string }[],
): Promise<void> {
  await transaction.executeQuery(
    CompiledQuery.raw(
      `update ${table} as h set retry_at = clock_timestamp(), passing = true
         from unnest($1::text[], $2::text[]) as k(cqrs_id, key)
        cross join lateral (select f.id from ${table} as f where f.cqrs_id = k.cqrs_id and f.key = k.key
                             order by f.id limit 1) as first
        where h.id = first.id and h.state = 'behind'`,
      [keys.map(({ cqrsId }) => cqrsId), keys.map(({ key }) => key)],
    ),
  );
}

/** How many messages are held, and why the oldest of them is. */
export interface HeldState {
  /** Refused ones and those behind them; counted up to 100,000. */
  readonly held: number;
  readonly refusal: Refusal | null;
}

export interface Refusal {
  readonly cqrsId: string;
  readonly queue: string | null;
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
}

/** Everything that has not left, whatever it waits for. */
export type OutboxState = WaitingState & HeldState;

export async function readOutboxState(executor: Executor, tables: Tables): Promise<OutboxState> {
  return { ...(await readState(executor, tables.outbox)), ...(await readHeldState(executor, tables.held)) };
}

const MOST_COUNTED = 100_000;

async function readHeldState(executor: Executor, table: string): Promise<HeldState> {
  const { rows } = await executor.executeQuery<FoundState>(
    CompiledQuery.raw(
      `select (select count(*) from (select from ${table} limit ${MOST_COUNTED}) as counted)::float8 as held,
              cqrs_id as "cqrsId", queue, reason, to_char(held_at at time zone 'UTC', ${ISO}) as since
         from (values (1)) as one
         left join lateral (select * from ${table} where state = 'refused' order by id limit 1) as oldest on true`,
    ) as CompiledQuery<FoundState>,
  );
  const { held, cqrsId, queue, reason, since } = rows[0]!;
  return { held, refusal: cqrsId === null ? null : { cqrsId, queue, reason: reason!, since: since! } };
}

interface FoundState {
  readonly held: number;
  readonly cqrsId: string | null;
  readonly queue: string | null;
  readonly reason: string | null;
  readonly since: string | null;
}

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** A refused message as an operator is shown it: no row data. */
export interface RefusedMessage extends Refusal {
  readonly outboxId: string;
  readonly signalType: string;
  /** The key as a JSON array. */
  readonly key: string;
  readonly bytes: number;
  readonly attempts: number;
  /** ISO 8601; null: not by itself. */
  readonly retryAt: string | null;
  /** How many of its key wait behind it; counted up to 1,000. */
  readonly behind: number;
}

/** Which refused messages are meant: all, those of an entity, or these. */
export interface RefusedSelection {
  readonly cqrsId?: string | undefined;
  readonly outboxIds?: readonly string[] | undefined;
}

/** Refused messages, oldest first, behind the one with the id `after`. */
export async function listRefused(
  executor: Executor,
  table: string,
  selection: RefusedSelection,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<RefusedMessage[]> {
  const { rows } = await executor.executeQuery<RefusedMessage>(
    CompiledQuery.raw(
      `select id::text as "outboxId", cqrs_id as "cqrsId", signal as "signalType", key, queue, reason, attempts,
              octet_length(body) as bytes, to_char(held_at at time zone 'UTC', ${ISO}) as since,
              to_char(retry_at at time zone 'UTC', ${ISO}) as "retryAt",
              (select count(*)::float8 from (select from ${table} as f
                where f.cqrs_id = h.cqrs_id and f.key = h.key and f.id > h.id limit 1000) as counted) as behind
         from ${table} as h where state = 'refused' and ${CHOSEN} and ($3::bigint is null or id > $3)
        order by id limit $4`,
      [...chosenBy(selection), after ?? null, limit],
    ) as CompiledQuery<RefusedMessage>,
  );
  return rows;
}

const CHOSEN = '($1::text is null or cqrs_id = $1) and ($2::bigint[] is null or id = any($2))';

function chosenBy({ cqrsId, outboxIds }: RefusedSelection): unknown[] {
  return [cqrsId ?? null, outboxIds ?? null];
}

/** As many are changed by one statement. */
export const CHANGED_AT_ONCE = 1_000;

/**
 * Lets some of the chosen messages be attempted now, or drops them so that those behind them are.
 * @param after begins behind this id
 * @returns the ids, in order; fewer than `CHANGED_AT_ONCE`: these were the last
 */
export async function changeRefused(
  transaction: Executor,
  table: string,
  { action, selection, after }: { action: 'retry' | 'drop'; selection: RefusedSelection; after: string | undefined },
): Promise<string[]> {
  const { rows: found } = await transaction.executeQuery<{ id: string; bucket: number }>(
    CompiledQuery.raw(
      `select id::text as id, bucket from ${table} where state = 'refused' and ${CHOSEN} and ($3::bigint is null or id > $3)
        order by id limit ${CHANGED_AT_ONCE}`,
      [...chosenBy(selection), after ?? null],
    ) as CompiledQuery<{ id: string; bucket: number }>,
  );
  // As a relay does: else one of them could be on its way just now. In one order, or two of us would wait for each other.
  for (const bucket of [...new Set(found.map((row) => row.bucket))].toSorted((a, b) => a - b)) {
    await transaction.executeQuery(CompiledQuery.raw(`select pg_advisory_xact_lock(${LOCK_CLASS}, ${bucket})`));
  }
  const ids = found.map(({ id }) => id);
  if (action === 'retry') {
    await transaction.executeQuery(
      CompiledQuery.raw(`update ${table} set retry_at = clock_timestamp() where id = any($1::bigint[])`, [ids]),
    );
    return ids;
  }
  const { rows: dropped } = await transaction.executeQuery<{ cqrsId: string; key: string }>(
    CompiledQuery.raw(`delete from ${table} where id = any($1::bigint[]) returning cqrs_id as "cqrsId", key`, [
      ids,
    ]) as CompiledQuery<{ cqrsId: string; key: string }>,
  );
  await promote(transaction, table, dropped);
  return ids;
}

/** Lets some of those that wait for a queue be attempted now. @returns how many; 0: all are due */
export async function hastenWaits(executor: Executor, table: string): Promise<number> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `update ${table} set retry_at = clock_timestamp() where id = any(array(
         select id from ${table} where give_up_at is not null and retry_at > clock_timestamp() limit ${CHANGED_AT_ONCE}))
       returning id`,
    ),
  );
  return rows.length;
}
