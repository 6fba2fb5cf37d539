import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { versionComment } from '../../../postgres/schema-version.js';
import { BUCKETS, type Executor, LOCK_CLASS, type WaitingState } from '../../../messaging/outbox/outbox.js';

/**
 * The table of changes that triggers have captured and of which no message is made yet, and every query on it but theirs
 * (`capture-triggers.ts`). One entry a row and transaction: who writes a row again in the transaction changes its entry.
 *
 *   trigger ──in the transaction of the write──▶ noted ──message made──▶ gone, the message is in the outbox
 *                                                  └──cannot be made──▶ set aside; later changes of its key wait
 *
 * Of one key, the order of ids is that of the transactions: the row is locked before its entry takes its id.
 */

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const CAPTURED_VERSION = 1;

/** Added to the entities of services with `capture: 'trigger'`, so that the schema generator and migrations know the table. */
export const CapturedChange = defineEntity({
  name: 'CqrsCapturedChange',
  tableName: 'cqrs_captured',
  comment: versionComment(CAPTURED_VERSION),
  properties: {
    id: p.bigint('string').primary().autoincrement(),
    /** The table of a master. */
    source: p.text(),
    key: p.text(),
    xid: p.text().columnType('xid8'),
    /** Whether the row was there before the transaction. */
    existed: p.boolean(),
    /** S: there. D: deleted. -: created and deleted again. */
    op: p.text(),
    /** The row before the transaction, where somebody needs it. */
    before: p.text().nullable(),
    /** The row as it is now, or was when it was deleted. */
    image: p.text(),
    /** Which columns an image has. */
    shape: p.text(),
    /** What the transaction says of itself, as JSON. */
    context: p.text().nullable(),
    /** Of a row that was deleted; a row that replaces it in the same transaction becomes later. */
    revision: p.bigint('string').nullable(),
    incarnation: p.bigint('string').nullable(),
    updated: p.datetime().columnType('timestamptz(6)').nullable(),
    /** Why no message could be made. */
    failure: p.text().nullable(),
    attempts: p.integer().defaultRaw('0'),
    retryAt: p.datetime().name('retry_at').columnType('timestamptz(6)').nullable(),
    createdAt: p.datetime().name('created_at').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
  },
  uniques: [{ properties: ['key', 'source', 'xid'] }],
  indexes: [{ name: 'cqrs_captured_failed_index', properties: ['source', 'key', 'id'], where: 'failure is not null' }],
});

/** A change as a trigger has noted it. */
export interface NotedChange {
  readonly id: string;
  readonly source: string;
  readonly existed: boolean;
  readonly op: 'S' | 'D' | '-';
  readonly before: string | null;
  readonly image: string;
  readonly shape: string;
  readonly context: string | null;
  /** As PostgreSQL prints it. */
  readonly createdAt: string;
  readonly attempts: number;
}

/** Beside the buckets of the outbox, and the lock of incarnations. */
const MAKING = BUCKETS + 1;

/**
 * Begins to make messages: one process at a time, or they could change their order.
 * @returns false: another one is at it.
 */
export async function claimMaking(transaction: Executor, leaseMs: number): Promise<boolean> {
  const { rows } = await transaction.executeQuery<{ free: boolean }>(
    CompiledQuery.raw(
      `select pg_try_advisory_xact_lock(${LOCK_CLASS}, ${MAKING}) as free,
              set_config('idle_in_transaction_session_timeout', '${Math.round(leaseMs)}', true)`,
    ) as CompiledQuery<{ free: boolean }>,
  );
  return rows[0]!.free;
}

/** The oldest changes of these tables whose turn it is. */
export async function readNoted(
  transaction: Executor,
  table: string,
  { sources, limit }: { sources: readonly string[]; limit: number },
): Promise<NotedChange[]> {
  const { rows } = await transaction.executeQuery<NotedChange>(
    CompiledQuery.raw(
      `select id::text as id, source, existed, op, before, image, shape, context, created_at::text as "createdAt", attempts
         from ${table} as c
        where source = any($1) and (failure is null or retry_at <= clock_timestamp())
          and not exists (select from ${table} as f
                           where f.failure is not null and f.source = c.source and f.key = c.key and f.id < c.id)
        order by c.id limit $2`,
      [sources, limit],
    ) as CompiledQuery<NotedChange>,
  );
  return rows;
}

/** Removes changes whose messages are made. */
export async function removeNoted(transaction: Executor, table: string, ids: readonly string[]): Promise<void> {
  await transaction.executeQuery(CompiledQuery.raw(`delete from ${table} where id = any($1::bigint[])`, [ids]));
}

/** Lets a change wait, with the reason, and later ones of its key behind it. */
export async function setAside(
  executor: Executor,
  table: string,
  { id, reason, retryInMs }: { id: string; reason: string; retryInMs: number },
): Promise<void> {
  await executor.executeQuery(
    CompiledQuery.raw(
      `update ${table} set failure = $2, attempts = attempts + 1,
              retry_at = clock_timestamp() + make_interval(secs => $3::float8 / 1000) where id = $1::bigint`,
      [id, reason, retryInMs],
    ),
  );
}

/** What waits for its message. */
export interface NotedState {
  readonly depth: number;
  readonly exact: boolean;
  readonly oldestAgeMs: number | null;
}

const MOST_COUNTED = 100_000;

export async function readNotedState(executor: Executor, table: string): Promise<NotedState> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `select count(*)::float8 as depth, count(*) <= ${MOST_COUNTED} as exact,
              (extract(epoch from clock_timestamp() - min(created_at)) * 1000)::float8 as age
         from (select created_at from ${table} order by id limit ${MOST_COUNTED + 1}) as oldest`,
    ) as CompiledQuery<{ depth: number; exact: boolean; age: number | null }>,
  );
  const { depth, exact, age } = rows[0]!;
  return { depth, exact, oldestAgeMs: age === null ? null : Math.max(0, age) };
}

/** Both kinds of waiting as one. */
export function withNoted<S extends WaitingState>(outbox: S, { depth, exact, oldestAgeMs }: NotedState): S {
  const ages = [outbox.oldestAgeMs, oldestAgeMs].filter((age) => age !== null);
  return {
    ...outbox,
    depth: outbox.depth + depth,
    exact: outbox.exact && exact,
    oldestAgeMs: ages.length > 0 ? Math.max(...ages) : null,
  };
}
