import { copyIn } from '../../../postgres/copy-in.js';
import { quoted } from '../../../postgres/identifiers.js';
import { discriminatorOf, type ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { type Statement, VERSION_CASTS, VERSION_FIELDS } from './replica-table.js';
import type { RowKey } from '../definition/row-keys.js';
import { textColumns, transpose, unnest } from './text-columns.js';

/** Which of these keys have a row or a tombstone, by their texts: `key`. */
export function knownKeys(definition: ReplicaDefinition, keys: readonly RowKey[], tombstones: string): Statement {
  const { cqrsId, keyColumns, table } = definition;
  const width = keyColumns.length;
  const parts = keys.map((key) => key.parts);
  const texts = textColumns([...transpose(parts, width), keys.map((key) => key.text)]);
  const sameKey = keyColumns.map((column, index) => `r.${quoted(column.field)} = u.c${index}::${column.cast}`);
  return {
    // OFFSET makes PostgreSQL look each key up: of a table that has just been filled it knows too little to choose that.
    text: `select u.c${width} as key from ${unnest(width + 1, texts.sql)}
        cross join lateral (select from ${table!.name} r where ${sameKey.join(' and ')} offset 0) as t
      union all
      select d.key from ${tombstones} d where d.cqrs_id = $${width + 2} and d.key = any(${texts.sql(width)})`,
    parameters: [...texts.parameters, cqrsId],
  };
}

/** Whether anything of an entity is remembered as deleted (`is`). */
export function anyTombstone({ cqrsId }: ReplicaDefinition, tombstones: string): Statement {
  return {
    text: `select (exists (select from ${tombstones} where cqrs_id = $1))::text as is`,
    parameters: [cqrsId],
  };
}

/**
 * Whether COPY stores the same as an upsert does (`is`): the types are those of the declaration and read a text as a cast
 * from `text` does, the table has nothing that COPY passes by (rules) or refuses (row security), and an index refuses a key
 * that is there.
 */
export function fitsCopy({ columns, keyColumns, table }: ReplicaDefinition): Statement {
  const fields = [...columns.map((column) => column.field), ...VERSION_FIELDS];
  const casts = [...columns.map((column) => column.cast), ...VERSION_CASTS];
  return {
    text: `select (count(*) = cardinality($2::text[]))::text as is
      from unnest($2::text[], $3::text[]) as u(field, type)
        join pg_class c on c.oid = to_regclass($1::text)
        join pg_attribute a on a.attrelid = c.oid and a.attname = u.field
        join pg_type t on t.oid = a.atttypid
      where t.oid = to_regtype(u.type) and a.attidentity <> 'a' and a.attgenerated = ''
        and c.relkind in ('r', 'p') and not c.relhasrules and not row_security_active(c.oid)
        and exists (
          select from pg_index i
          where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null
            and (select bool_and(coalesce(k.attname = any($4::text[]), false))
              from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) as n(attnum)
                left join pg_attribute k on k.attrelid = c.oid and k.attnum = n.attnum))
        and not exists (
          select from pg_cast f where f.castsource = 'text'::regtype and f.casttarget in (t.oid, t.typbasetype)
            and f.oid >= ${FIRST_OWN_OID})`,
    parameters: [table!.name, fields, casts, keyColumns.map((column) => column.field)],
  };
}

/** Whatever has a lower one has come with PostgreSQL. */
const FIRST_OWN_OID = 16_384;

/**
 * Inserts rows whose keys have none; answers with their number (`count`). Fails when one of them has a row after all.
 * @param lines what `copyLine` made of them.
 */
export function copyRows(
  { meta, table }: ReplicaDefinition,
  columns: readonly ReplicaColumn[],
  lines: readonly string[],
): Statement {
  const kind = discriminatorOf(meta);
  const fields = [...columns.map((column) => column.field), ...VERSION_FIELDS, ...(kind ? [kind.field] : [])];
  return {
    text: copyIn(`copy ${table!.name} (${fields.map(quoted).join(', ')}) from stdin`),
    parameters: [lines.join('')],
  };
}
