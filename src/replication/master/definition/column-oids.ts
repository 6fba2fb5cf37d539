import { CompiledQuery } from 'kysely';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import { databaseType } from './driver-values.js';
import type { MasterTable } from './master-table.js';

interface FoundType {
  readonly field: string;
  readonly oid: number;
  readonly typmod: number;
  readonly composed: boolean;
}

/**
 * Asks the database for the types of a master's columns: a declaration names a domain, where the driver is told the type
 * below it, and a table may differ from its declaration.
 */
export async function learnDriverTypes(client: Executor, table: MasterTable, sqlName: string): Promise<void> {
  const { rows } = await client.executeQuery<FoundType>(
    CompiledQuery.raw(
      `select a.attname::text as field, b.oid, b.typmod, b.oid >= $2 and coalesce(e.typtype, b.kind) in ('c', 'd', 'm', 'r') as composed
         from pg_attribute a cross join lateral (
           with recursive below(oid, kind, base, typmod) as (
             select t.oid, t.typtype, t.typbasetype, case t.typtype when 'd' then t.typtypmod else a.atttypmod end
               from pg_type t where t.oid = a.atttypid
             union all
             select t.oid, t.typtype, t.typbasetype, case t.typtype when 'd' then t.typtypmod else below.typmod end
               from below join pg_type t on t.oid = below.base where below.kind = 'd')
           select oid, kind, typmod from below where kind <> 'd') b
         left join pg_type e on e.typarray = b.oid
        where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped`,
      [sqlName, FIRST_OF_USERS],
    ) as CompiledQuery<FoundType>,
  );
  const found = new Map(rows.map(({ field, oid, typmod, composed }) => [field, databaseType(oid, typmod, composed)]));
  table.learn(table.readColumns.map(({ field }, position) => found.get(field) ?? table.driverTypes[position]!));
}

/** PostgreSQL's own types have lower numbers. */
const FIRST_OF_USERS = 16_384;
