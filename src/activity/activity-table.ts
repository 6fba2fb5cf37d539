import { defineEntity, p } from '@mikro-orm/core';
import { CompiledQuery } from 'kysely';
import type { Problem } from '../kernel/errors.js';
import { ADD_WHAT_IS_MISSING } from '../postgres/schema-version.js';

/**
 * The table in which the processes of a service leave word of themselves, and every query that writes it.
 *
 * One table with JSON in it, not a table for each kind: what is worth knowing grows with every release, and no user
 * should need a migration for a counter. Nobody changes another process's rows, so nobody waits for one:
 *
 * | kind    | name                | at                | data            |
 * |---------|---------------------|-------------------|-----------------|
 * | process | id of the process   | last seen         | `ProcessRecord` |
 * | minute  | minute and process  | the minute        | `MinuteRecord`  |
 * | event   | process and number  | when it happened  | `NoteRecord`    |
 * | death   | hour, queue, process | the hour         | how many messages became dead letters |
 * | warning | what was warned of  | when it was       | nothing         |
 * | binding | queue and CQRS_ID   | when it was first bound | which queue; kept for good |
 * | fields  | CQRS_ID of a master | when they last changed | the fields that it sends; kept for good |
 */

/** Added to the entities of every service with masters or replicas, so that the schema generator and migrations know it. */
export const ActivityRow = defineEntity({
  name: 'CqrsActivity',
  tableName: 'cqrs_activity',
  properties: {
    kind: p.text().primary(),
    name: p.text().primary(),
    at: p.datetime().columnType('timestamptz(6)').defaultRaw('clock_timestamp()'),
    data: p.json(),
  },
  indexes: [{ properties: ['kind', 'at'] }],
});

/** Whatever runs a compiled query: MikroORM's Kysely client. */
export interface Executor {
  executeQuery<R>(query: CompiledQuery<R>): Promise<{ rows: R[] }>;
}

export type RecordKind = 'process' | 'minute' | 'event' | 'death';

export interface Row {
  readonly kind: RecordKind;
  readonly name: string;
  /** ISO 8601; null = now, by the database's clock. */
  readonly at: string | null;
  readonly data: object;
}

/** Writes all rows, over former ones, with one statement and in no transaction but its own. */
export async function record(executor: Executor, table: string, rows: readonly Row[]): Promise<void> {
  await executor.executeQuery(
    CompiledQuery.raw(
      `insert into ${table} as a (kind, name, at, data)
       select kind, name, coalesce(at::timestamptz, clock_timestamp()), data::jsonb
         from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as u(kind, name, at, data)
       on conflict (kind, name) do update set at = excluded.at, data = excluded.data`,
      [
        rows.map(({ kind }) => kind),
        rows.map(({ name }) => name),
        rows.map(({ at }) => at),
        rows.map(({ data }) => storable(data)),
      ],
    ),
  );
}

export interface Retention {
  readonly minutesSeconds: number;
  /** How long a process that is gone is remembered. */
  readonly processesSeconds: number;
  readonly mostEvents: number;
  /** As long as a dead letter lives. */
  readonly deathsSeconds: number;
}

/** Forgets what is older, and all events but the newest. */
export async function purge(executor: Executor, table: string, retention: Retention): Promise<void> {
  await executor.executeQuery(
    CompiledQuery.raw(
      `delete from ${table} where (kind in ('minute', 'event') and at < clock_timestamp() - make_interval(secs => $1))
           or (kind = 'process' and at < clock_timestamp() - make_interval(secs => $2))
           or (kind = 'death' and at < clock_timestamp() - make_interval(secs => $4))
           or (kind = 'event' and name in
                 (select name from ${table} where kind = 'event' order by at desc, name desc offset $3))`,
      [retention.minutesSeconds, retention.processesSeconds, retention.mostEvents, retention.deathsSeconds],
    ),
  );
}

/**
 * Remembers which ids a queue is bound to, which no broker can be asked. @returns those that are new to a queue of which
 * something is remembered already; whoever asks first is told.
 */
export async function rememberBindings(
  executor: Executor,
  table: string,
  queue: string,
  cqrsIds: readonly string[],
): Promise<string[]> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `with known as (select from ${table} where kind = 'binding' and data->>'queue' = $1 limit 1),
        added as (insert into ${table} (kind, name, at, data)
          select 'binding', json_build_array($1::text, id)::text, clock_timestamp(), jsonb_build_object('queue', $1::text, 'cqrsId', id)
            from unnest($2::text[]) as u(id) on conflict (kind, name) do nothing returning data->>'cqrsId' as id)
       select id from added where exists (select from known)`,
      [queue, [...cqrsIds]],
    ) as CompiledQuery<{ id: string }>,
  );
  return rows.map(({ id }) => id);
}

/** The fields that a master sends, by their names on the wire. */
export interface SentFields {
  readonly cqrsId: string;
  readonly fields: readonly string[];
}

/** How the fields that a master sends differ from those that were remembered of it. */
export interface ChangedFields {
  readonly cqrsId: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/**
 * Remembers which fields masters send. @returns those whose fields are others than remembered; of one that nothing is
 * remembered of nothing is said.
 */
export async function rememberFields(
  executor: Executor,
  table: string,
  masters: readonly SentFields[],
): Promise<ChangedFields[]> {
  const { rows } = await executor.executeQuery(
    CompiledQuery.raw(
      `with given as (select * from unnest($1::text[], $2::text[]) as g(name, data)),
        stored as (insert into ${table} as a (kind, name, at, data)
          select 'fields', name, clock_timestamp(), data::jsonb from given
              on conflict (kind, name) do update set at = excluded.at, data = excluded.data where a.data <> excluded.data)
       select name as "cqrsId", a.data->'fields' as fields from given join ${table} as a using (name)
        where a.kind = 'fields' and a.data <> given.data::jsonb`,
      [masters.map(({ cqrsId }) => cqrsId), masters.map(({ fields }) => JSON.stringify({ fields: fields.toSorted() }))],
    ) as CompiledQuery<SentFields>,
  );
  return rows.map(({ cqrsId, fields: before }) => {
    const { fields } = masters.find((master) => master.cqrsId === cqrsId)!;
    return {
      cqrsId,
      added: fields.filter((field) => !before.includes(field)),
      removed: before.filter((field) => !fields.includes(field)),
    };
  });
}

/** What is missing in the database; asked at start. */
export async function checkActivityTable(executor: Executor, table: string): Promise<Problem[]> {
  const { rows } = await executor.executeQuery<{ field: string | null }>(
    CompiledQuery.raw(
      `select a.attname::text as field from pg_attribute a
        where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped`,
      [table],
    ) as CompiledQuery<{ field: string | null }>,
  );
  const cure = `${ADD_WHAT_IS_MISSING} Or set activity.enabled to false.`;
  if (rows.length === 0) return [{ where: 'activity', what: `its table ${table} is not in the database.`, cure }];
  const missing = ['kind', 'name', 'at', 'data'].filter((field) => !rows.some((row) => row.field === field));
  if (missing.length === 0) return [];
  return [{ where: 'activity', what: `its table ${table} lacks ${missing.join(', ')}.`, cure }];
}

// PostgreSQL's jsonb takes neither NUL nor half of a surrogate pair, and ids of messages may hold anything.
function storable(data: object): string {
  return JSON.stringify(data).replaceAll(/(?<=(?<!\\)(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g, '\\ufffd');
}
