import { crc32 } from 'node:zlib';
import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import type { SignalType } from '../../wire/payload.js';
import { STEADY_PLANS, prepared } from '../../postgres/prepared-statements.js';
import { withCommit, withNext } from '../../postgres/round-trips.js';
import { versionComment } from '../../postgres/schema-version.js';

/**
 * The table of messages that are committed and not yet with the broker, and every query on it.
 *
 * Rows are found by being there, never by "id greater than the last one seen": ids do not commit in order. For one key
 * they do, because its row is locked from the first write until the commit; so `order by id` is the order per key.
 */

/** A message as a transaction leaves it: everything but `expires`, which is stamped when it is published. */
export interface OutboxEntry {
  readonly cqrsId: string;
  readonly signalType: SignalType;
  /** The row's key as text; with the id it decides which messages must keep their order. */
  readonly key: string;
  /** The one queue a SYNC is meant for; null = every replica. */
  readonly queue: string | null;
  /** A JSON object. */
  readonly body: string;
  /** When the change was made, as PostgreSQL prints it; default: now. */
  readonly createdAt?: string | undefined;
}

export interface OutboxRow extends OutboxEntry {
  readonly id: string;
  readonly committedAtMs: number;
  /** Whether any message is held (`held-messages.ts`): then its key may be. */
  readonly anyHeld?: boolean;
}

/** How many messages wait, for how long the oldest has, and how many could not be routed. */
export interface WaitingState {
  readonly depth: number;
  /** False when there are so many that PostgreSQL's estimate of the table stands for `depth`. */
  readonly exact: boolean;
  readonly oldestAgeMs: number | null;
  readonly failed: number;
}

/** As SQL names them. */
export interface Tables {
  readonly outbox: string;
  readonly held: string;
  readonly routes: string;
}

/** Whatever runs a compiled query: a transaction of MikroORM's, or its Kysely client. */
export interface Executor {
  executeQuery<R>(query: CompiledQuery<R>): Promise<{ rows: R[] }>;
}

/** Keys are spread over this many buckets; a relay owns whole buckets, so two relays never share a key. */
export const BUCKETS = 64;
const ALL_BUCKETS = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
/** First half of the advisory lock's key: "cqrs" in ASCII, so that it is recognised in pg_locks. */
export const LOCK_CLASS = 0x63717273;

const outboxProperties = {
  id: p.bigint('string').primary().autoincrement(),
  bucket: p.smallint(),
  cqrsId: p.text().name('cqrs_id'),
  signalType: p.text().name('signal'),
  key: p.text(),
  queue: p.text().nullable(),
  body: p.text(),
  failure: p.text().nullable(),
  createdAt: p.datetime().name('created_at').columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
};

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const OUTBOX_VERSION = 1;

/** Added to the entities of every service with masters, so that the schema generator and migrations know the table. */
export const OutboxMessage = defineEntity({
  name: 'CqrsOutboxMessage',
  tableName: 'cqrs_outbox',
  comment: versionComment(OUTBOX_VERSION),
  properties: outboxProperties,
  indexes: [{ properties: ['bucket', 'id'] }],
});

/** Appends messages in the caller's transaction with one bound statement: they commit with it or not at all. */
export async function append(transaction: Executor, table: string, entries: readonly OutboxEntry[]): Promise<void> {
  await transaction.executeQuery(insertStatement(table, entries));
}

/** The same for those who follow what becomes of their messages. @returns the ids, in no particular order */
export async function appendForIds(
  transaction: Executor,
  table: string,
  entries: readonly OutboxEntry[],
): Promise<string[]> {
  const { rows } = await transaction.executeQuery(insertStatement(table, entries, 'returning id::text as id'));
  return rows.map((row) => row.id);
}

function insertStatement(
  table: string,
  entries: readonly OutboxEntry[],
  returning = '',
): CompiledQuery<{ id: string }> {
  const columns = [
    joined(entries.map((entry) => String(bucketOf(entry)))),
    joined(entries.map((entry) => entry.cqrsId)),
    joined(entries.map((entry) => entry.signalType)),
    joined(entries.map((entry) => entry.key)),
    joined(entries.map((entry) => entry.queue ?? '')),
    joined(entries.map((entry) => entry.body)),
  ];
  // Of messages that are made later than their changes.
  const dated = entries.some(({ createdAt }) => createdAt !== undefined);
  if (dated) columns.push(joined(entries.map(({ createdAt }) => createdAt ?? '')));
  const texts = columns.map((_, index) => `string_to_array($${index + 1}, E'\\x1e', '')`);
  return CompiledQuery.raw(
    `insert into ${table} (bucket, cqrs_id, signal, key, queue, body${dated ? ', created_at' : ''})
     select bucket::smallint, cqrs_id, signal, key, queue, body${dated ? ', coalesce(created::timestamptz, clock_timestamp())' : ''}
     from unnest(${texts.join(', ')}) as u(bucket, cqrs_id, signal, key, queue, body${dated ? ', created' : ''}) ${returning}`,
    columns,
  ) as CompiledQuery<{ id: string }>;
}

/** The record separator of ASCII, which JSON has only escaped. */
const SEPARATOR = '\x1e';

// One text, and not a PostgreSQL array: there every quote of every body would be escaped here and unescaped there.
function joined(texts: readonly string[]): string {
  const all = texts.join(SEPARATOR);
  let separators = 0;
  for (let at = all.indexOf(SEPARATOR); at >= 0; at = all.indexOf(SEPARATOR, at + 1)) separators++;
  if (separators !== texts.length - 1) throw new TypeError('A message holds the control character U+001E.');
  return all;
}

/** The longest statement that is worth its parsing; more travels as bound arrays. */
const MOST_INLINE = 64 * 1024;

/** The same as one text without parameters, which can share a message with the COMMIT; undefined for too many of them. */
export function appendText(table: string, entries: readonly OutboxEntry[]): string | undefined {
  let rows = '';
  for (const entry of entries) {
    const { cqrsId, signalType, key, queue, body } = entry;
    const texts = [cqrsId, signalType, key, queue, body].map((text) => (text === null ? 'null' : literal(text)));
    rows += `${rows ? ', ' : ''}(${bucketOf(entry)}, ${texts.join(', ')})`;
    if (rows.length > MOST_INLINE) return undefined;
  }
  return `insert into ${table} (bucket, cqrs_id, signal, key, queue, body) values ${rows}`;
}

// Right whatever `standard_conforming_strings` says.
function literal(text: string): string {
  const quoted = text.replaceAll("'", "''");
  return quoted.includes('\\') ? ` E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/**
 * Locks all key buckets that no other relay holds, until the transaction ends, however it ends (a relay that dies gives
 * them back with its connection), and reads the oldest messages in them.
 * @param claim.leaseMs how long the transaction may be silent before PostgreSQL ends it: the host of a relay may be gone
 *   without its connection being told, and TCP alone finds out after hours.
 * @param claim.alone whether there is probably no other relay: then both are asked for at once.
 */
export async function claim(
  transaction: Executor,
  tables: Tables,
  { leaseMs, limit, alone }: { leaseMs: number; limit: number; alone: boolean },
): Promise<{ readonly buckets: readonly number[]; readonly rows: OutboxRow[] }> {
  // A statement of its own: messages must be read with a snapshot taken after the locks. Without parameters, so that it
  // shares a round trip with the BEGIN before it in any case.
  const lock = prepared(`select bucket, lease
      from set_config('idle_in_transaction_session_timeout', '${Math.round(leaseMs)}', true) as lease,
        ${STEADY_PLANS}generate_series(0, ${BUCKETS - 1}) as bucket
      where pg_try_advisory_xact_lock(${LOCK_CLASS}, bucket)`);
  const { rows: locks } = await transaction.executeQuery<{ bucket: number }>(
    CompiledQuery.raw(alone ? withNext(lock) : lock) as CompiledQuery<{ bucket: number }>,
  );
  const ofAll = alone ? await readWaiting(transaction, tables, { buckets: ALL_BUCKETS, limit }) : [];
  const buckets = locks.map(({ bucket }) => bucket);
  if (alone && buckets.length === BUCKETS) return { buckets, rows: ofAll };
  return { buckets, rows: await readWaiting(transaction, tables, { buckets, limit }) };
}

/** The oldest messages in these buckets, which the caller has locked, but for those that it has in hand. */
export async function readWaiting(
  transaction: Executor,
  { outbox, held }: Tables,
  { buckets, inHand = [], limit }: { buckets: readonly number[]; inHand?: readonly string[]; limit: number },
): Promise<OutboxRow[]> {
  if (buckets.length === 0) return [];
  const all = buckets.length === BUCKETS;
  const sql = `select o.id::text as id, cqrs_id as "cqrsId", signal as "signalType", key, queue, body,
              (extract(epoch from created_at) * 1000)::float8 as "committedAtMs", exists(select from ${held}) as "anyHeld"
         from ${outbox} as o
        where failure is null and o.id <> all($2::bigint[])${all ? '' : ' and bucket = any($3::smallint[])'}
        order by o.id limit $1`;
  // A plan for some buckets depends on how many there are.
  const query = all
    ? CompiledQuery.raw(prepared(sql), [limit, inHand])
    : CompiledQuery.raw(sql, [limit, inHand, buckets]);
  return (await transaction.executeQuery<OutboxRow>(query as CompiledQuery<OutboxRow>)).rows;
}

/** Removes messages that the broker has confirmed. */
export async function settle(transaction: Executor, table: string, ids: readonly string[]): Promise<void> {
  // Without parameters, so that it may share a round trip with the COMMIT.
  const sql = `delete from ${table} where id = any('{${ids.join()}}'::bigint[])`;
  await transaction.executeQuery(CompiledQuery.raw(withCommit(sql)));
}

/** Keeps messages that can never be delivered, with the reason, out of the way of the others. */
export async function fail(
  transaction: Executor,
  table: string,
  ids: readonly string[],
  reason: string,
): Promise<void> {
  await transaction.executeQuery(
    CompiledQuery.raw(`update ${table} set failure = $2 where id = any($1::bigint[])`, [ids, reason]),
  );
}

/** Counts the failed ones among the given messages and forgets them: their sender has been told. */
export async function takeFailures(executor: Executor, table: string, ids: readonly string[]): Promise<number> {
  const { rows } = await executor.executeQuery<{ id: string }>(
    CompiledQuery.raw(
      `delete from ${table} where failure is not null and id = any($1::bigint[]) returning id::text as id`,
      [ids],
    ) as CompiledQuery<{ id: string }>,
  );
  return rows.length;
}

/** How many of the given messages still wait. */
export async function countWaiting(executor: Executor, table: string, ids: readonly string[]): Promise<number> {
  const { rows } = await executor.executeQuery<{ count: string }>(
    CompiledQuery.raw(`select count(*)::text as count from ${table} where failure is null and id = any($1::bigint[])`, [
      ids,
    ]) as CompiledQuery<{ count: string }>,
  );
  return Number(rows[0]!.count);
}

/** How many messages of live changes wait beside the given ones; counts no further than `most`. */
export async function countLive(
  executor: Executor,
  table: string,
  { beside, most }: { beside: readonly string[]; most: number },
): Promise<number> {
  const { rows } = await executor.executeQuery<{ count: number }>(
    CompiledQuery.raw(
      // By the index, which passes over what is dead: the table of a busy outbox is mostly that, until it is vacuumed.
      `select count(*)::float8 as count
         from (select from ${table} where failure is null and signal <> 'SYNC' and id <> all($1::bigint[])
                order by id limit $2) as live`,
      [beside, most],
    ) as CompiledQuery<{ count: number }>,
  );
  return rows[0]!.count;
}

/** As many are counted one by one: that takes some hundredths of a second. */
const MOST_COUNTED = 100_000;

/** Never reads more than so many rows, however large a backlog has become. */
export async function readState(executor: Executor, table: string): Promise<WaitingState> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `select count(*) filter (where failure is null)::float8 as depth,
              count(*) filter (where failure is not null)::float8 as failed,
              count(*) <= $1::int as exact,
              (select greatest(reltuples, 0)::float8 from pg_class where oid = to_regclass($2)) as estimate,
              (extract(epoch from clock_timestamp() - min(created_at) filter (where failure is null)) * 1000)::float8 as age
         from (select failure, created_at from ${table} order by id limit $1::int + 1) as oldest`,
      [MOST_COUNTED, table],
    ) as CompiledQuery<{ depth: number; failed: number; exact: boolean; estimate: number; age: number | null }>,
  );
  const { depth, failed, exact, estimate, age } = rows[0]!;
  return {
    depth: exact ? depth : Math.max(depth, Math.round(estimate)),
    exact,
    failed,
    oldestAgeMs: age === null ? null : Math.max(0, age),
  };
}

function bucketOf(entry: OutboxEntry): number {
  return crc32(`${entry.cqrsId}\u0000${entry.key}`) % BUCKETS;
}
