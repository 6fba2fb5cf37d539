import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import { revisionIn, type SignalType } from '../../wire/payload.js';
import { withCommit } from '../../postgres/round-trips.js';
import { versionComment } from '../../postgres/schema-version.js';
import type { Executor, OutboxRow } from './outbox.js';

/**
 * What has been sent of each row, and when: kept only where `relay.sentRetentionSeconds` says for how long, since it
 * writes every message a second time. No row data: a key, a revision, and times.
 */

/** The form of the table; what raises it is in `postgres/schema-version.ts`. */
export const SENT_VERSION = 1;

/** Added to the entities of services that keep it, so that the schema generator and migrations know the table. */
export const SentMessage = defineEntity({
  name: 'CqrsSentMessage',
  tableName: 'cqrs_sent',
  comment: versionComment(SENT_VERSION),
  properties: {
    id: p.bigint('string').primary().autoincrement(),
    cqrsId: p.text().name('cqrs_id'),
    key: p.text(),
    signalType: p.text().name('signal'),
    queue: p.text().nullable(),
    revision: p.bigint('string').nullable(),
    unroutable: p.boolean(),
    committedAt: p.datetime().name('committed_at').columnType('timestamptz(6)'),
    confirmedAt: p.datetime().name('confirmed_at').columnType('timestamptz(6)'),
  },
  indexes: [{ properties: ['cqrsId', 'key', 'id'] }],
});

/** One message of a row that the broker has; times in UTC, as PostgreSQL prints them. */
export interface SentMessageRow {
  readonly signalType: SignalType;
  readonly queue: string | null;
  readonly revision: number | null;
  /** The broker had no queue for it. */
  readonly unroutable: boolean;
  readonly committedAt: string;
  readonly confirmedAt: string;
}

export interface Confirmed {
  readonly rows: readonly OutboxRow[];
  /** The ids of those that no queue took. */
  readonly unroutable: ReadonlySet<string>;
}

/** As many old ones are looked at beside twice those that are added: the table does not grow beyond its time. */
const FEW = 100;

/**
 * Removes messages from the outbox that the broker has confirmed, remembers them, and forgets what is older than the
 * retention: one statement, so that it costs no round trip.
 */
export async function settleAndKeep(
  transaction: Executor,
  tables: { readonly outbox: string; readonly sent: string },
  { rows, unroutable }: Confirmed,
  retentionSeconds: number,
): Promise<void> {
  const ids = rows.map(({ id }) => id).join();
  const revisions = rows.map(({ body }) => revisionIn(body) ?? 'null').join();
  const lost = rows.map(({ id }) => unroutable.has(id)).join();
  // Without parameters, so that it may share a round trip with the COMMIT. Whatever is put into the text is a number.
  const sql = `with gone as (
      delete from ${tables.outbox} where id = any('{${ids}}'::bigint[])
      returning id, cqrs_id, key, signal, queue, created_at
    ), old as (
      delete from ${tables.sent} where ctid = any(array(
        select ctid from ${tables.sent}
         where id in (select id from ${tables.sent} order by id limit ${2 * rows.length + FEW})
           and confirmed_at < clock_timestamp() - interval '${retentionSeconds} seconds'
           for update skip locked))
    )
    insert into ${tables.sent} (cqrs_id, key, signal, queue, revision, unroutable, committed_at, confirmed_at)
    select cqrs_id, key, signal, queue, revision, unroutable, created_at, clock_timestamp()
      from gone join unnest('{${ids}}'::bigint[], '{${revisions}}'::bigint[], '{${lost}}'::boolean[])
        as r(id, revision, unroutable) using (id) order by id`;
  await transaction.executeQuery(CompiledQuery.raw(withCommit(sql)));
}

/** What was sent of one row, newest first. */
export async function readSent(
  executor: Executor,
  table: string,
  { cqrsId, key, retentionSeconds, limit }: { cqrsId: string; key: string; retentionSeconds: number; limit: number },
): Promise<SentMessageRow[]> {
  const { rows } = await executor.executeQuery<SentMessageRow>(
    CompiledQuery.raw(
      `select signal as "signalType", queue, revision::float8 as revision, unroutable,
              (committed_at at time zone 'UTC')::text || 'Z' as "committedAt",
              (confirmed_at at time zone 'UTC')::text || 'Z' as "confirmedAt"
         from ${table}
        where cqrs_id = $1 and key = $2 and confirmed_at >= clock_timestamp() - make_interval(secs => $3)
        order by id desc limit $4`,
      [cqrsId, key, retentionSeconds, limit],
    ) as CompiledQuery<SentMessageRow>,
  );
  return rows;
}
