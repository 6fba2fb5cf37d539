import type { SqlEntityManager } from '@mikro-orm/sql';
import { CompiledQuery, type Kysely } from 'kysely';
import { InputError } from '../../kernel/errors.js';
import { didYouMean } from '../../kernel/nearest-name.js';

/** Tables as PostgreSQL's catalogue has them: nothing is guessed, and every definition is in its own words. */

export interface CatalogueTable {
  readonly schema: string;
  readonly name: string;
  readonly comment: string | null;
  readonly columns: readonly CatalogueColumn[];
  /** The columns of the primary key, in its order. */
  readonly key: readonly string[];
  readonly indexes: readonly CatalogueIndex[];
  readonly references: readonly CatalogueReference[];
  readonly checks: readonly { readonly name: string; readonly expression: string }[];
  /** Exclusion constraints, by name. */
  readonly exclusions: readonly string[];
}

export interface CatalogueColumn {
  readonly name: string;
  /** With its length and precision, e.g. `numeric(12,2)`; of an array with one pair of brackets. */
  readonly type: string;
  /** Of an array how many it was declared with, else 0. */
  readonly dimensions: number;
  readonly nullable: boolean;
  readonly default: string | null;
  /** The expression of a column that is computed from others. */
  readonly generated: string | null;
  readonly identity: 'always' | 'by default' | null;
  /** Whether the default is the next number of a sequence that belongs to it. */
  readonly serial: boolean;
  /** Null where it is that of its type. */
  readonly collation: string | null;
  readonly comment: string | null;
}

export interface CatalogueIndex {
  readonly name: string;
  /** Its columns, where it has nothing but columns. */
  readonly columns: readonly string[] | null;
  readonly unique: boolean;
  /** Whether it belongs to a constraint of this name. */
  readonly constraint: boolean;
  /** Whether it is a B-tree over whole columns in ascending order, without any option. */
  readonly plain: boolean;
  readonly deferrable: 'deferred' | 'immediate' | null;
  /** The statement that makes it. */
  readonly definition: string;
}

export interface CatalogueReference {
  readonly name: string;
  readonly columns: readonly string[];
  readonly toSchema: string;
  readonly toTable: string;
  readonly toColumns: readonly string[];
  readonly deferrable: 'deferred' | 'immediate' | null;
  readonly onDelete: string;
  readonly onUpdate: string;
}

export interface ReadTables {
  /** In the order of their names. */
  readonly asked: readonly CatalogueTable[];
  /** And those that they refer to. */
  readonly tables: readonly CatalogueTable[];
}

/**
 * Reads tables by their names, and those that they refer to, and so on.
 * @param names as SQL spells them or as they are, `schema.table` included
 * @throws InputError for one that is not there
 */
export async function readTables(em: SqlEntityManager, names: readonly string[]): Promise<ReadTables> {
  const connection = em.getConnection('write');
  await connection.ensureConnection();
  const client = connection.getClient() as Kysely<never>;
  const ids = await Promise.all(names.map((name) => idOf(client, name)));
  const tables = new Map<string, CatalogueTable>();
  for (let wanted = ids; wanted.length > 0;) {
    const { rows } = await client.executeQuery<{ id: string; table: CatalogueTable }>(
      CompiledQuery.raw(TABLES, [wanted]) as never,
    );
    for (const { id, table } of rows) tables.set(id, table);
    const found = await client.executeQuery<{ id: string }>(CompiledQuery.raw(REFERRED, [wanted]) as never);
    wanted = found.rows.map(({ id }) => id).filter((id) => !tables.has(id));
  }
  return { asked: ids.map((id) => tables.get(id)!), tables: [...tables.values()] };
}

async function idOf(client: Kysely<never>, name: string): Promise<string> {
  const { rows } = await client.executeQuery<{ id: string | null; name: string }>(
    CompiledQuery.raw(NAMED, [name]) as never,
  );
  const found = rows.find(({ id }) => id !== null);
  if (found) return found.id!;
  const known = rows.map((row) => row.name);
  throw new InputError(`There is no table '${name}' in the database.${didYouMean(name, known)}`);
}

/** The table of the name, or the names of all. A name may be quoted, or be what it is quoted for. */
const NAMED = `with tables as (
    select c.oid, n.nspname::text, c.relname::text, pg_table_is_visible(c.oid) as visible
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'),
  named as (
    select oid::bigint::text as id, relname as name from tables
    where (visible and $1::text in (relname, quote_ident(relname)))
      or $1::text in (nspname || '.' || relname, quote_ident(nspname) || '.' || quote_ident(relname))
    limit 1)
  select id, name from named
  union all
  select null, relname from tables where not exists (select from named)`;

const REFERRED = `select distinct confrelid::bigint::text as id from pg_constraint
  where conrelid = any ($1::bigint[]::oid[]) and contype = 'f' and confrelid <> 0`;

const NAMES = (table: string, numbers: string): string => `(select json_agg(a.attname order by k.n)
  from unnest(${numbers}) with ordinality as k(attnum, n)
  join pg_attribute a on a.attrelid = ${table} and a.attnum = k.attnum)`;
const DEFERRABLE = `case when o.condeferred then 'deferred' when o.condeferrable then 'immediate' end`;
const RULE = (column: string): string =>
  `case ${column} when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default'
     when 'r' then 'restrict' else 'no action' end`;

const TABLES = `select c.oid::bigint::text as id, json_build_object(
  'schema', n.nspname, 'name', c.relname, 'comment', obj_description(c.oid, 'pg_class'),
  'columns', (
    select json_agg(json_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull,
      'dimensions', case when t.typcategory = 'A' then greatest(a.attndims, 1) else 0 end,
      'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
      'generated', case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end,
      'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
      'serial', a.attidentity = '' and pg_get_serial_sequence(c.oid::regclass::text, a.attname) is not null,
      'collation', case when a.attcollation <> t.typcollation then l.collname end,
      'comment', col_description(c.oid, a.attnum)) order by a.attnum)
    from pg_attribute a join pg_type t on t.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      left join pg_collation l on l.oid = a.attcollation
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'key', coalesce((select ${NAMES('c.oid', 'o.conkey')} from pg_constraint o where o.conrelid = c.oid and o.contype = 'p'), '[]'),
  'indexes', coalesce((
    select json_agg(json_build_object(
      'name', x.relname, 'unique', i.indisunique, 'constraint', o.oid is not null,
      'columns', case when i.indexprs is null then ${NAMES('c.oid', '(i.indkey::int2[])[0:i.indnkeyatts - 1]')} end,
      'plain', m.amname = 'btree' and i.indexprs is null and i.indpred is null and i.indnatts = i.indnkeyatts
        and x.reloptions is null and not pg_get_indexdef(i.indexrelid) ~ 'NULLS NOT DISTINCT'
        and not exists (select from unnest(i.indoption::int2[]) as o(bits) where bits <> 0)
        and not exists (
          select from unnest(i.indclass::oid[]) as class join pg_opclass p on p.oid = class where not p.opcdefault)
        and not exists (
          select from unnest(i.indkey::int2[], i.indcollation::oid[]) as k(attnum, sorted)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum where k.sorted <> a.attcollation),
      'deferrable', ${DEFERRABLE},
      'definition', case when o.oid is null then pg_get_indexdef(i.indexrelid)
        else format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, o.conname, pg_get_constraintdef(o.oid)) end)
      order by x.relname)
    from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
      left join pg_constraint o on o.conindid = i.indexrelid and o.contype = 'u'
    where i.indrelid = c.oid and not i.indisprimary and not i.indisexclusion), '[]'),
  'references', coalesce((
    select json_agg(json_build_object(
      'name', o.conname, 'columns', ${NAMES('c.oid', 'o.conkey')}, 'toColumns', ${NAMES('o.confrelid', 'o.confkey')},
      'toSchema', rn.nspname, 'toTable', r.relname, 'deferrable', ${DEFERRABLE},
      'onDelete', ${RULE('o.confdeltype')}, 'onUpdate', ${RULE('o.confupdtype')}) order by o.conname)
    from pg_constraint o join pg_class r on r.oid = o.confrelid join pg_namespace rn on rn.oid = r.relnamespace
    where o.conrelid = c.oid and o.contype = 'f' and o.conparentid = 0), '[]'),
  'checks', coalesce((
    select json_agg(json_build_object('name', o.conname, 'expression', pg_get_expr(o.conbin, o.conrelid)) order by o.conname)
    from pg_constraint o where o.conrelid = c.oid and o.contype = 'c'), '[]'),
  'exclusions', coalesce((
    select json_agg(o.conname order by o.conname) from pg_constraint o where o.conrelid = c.oid and o.contype = 'x'),
    '[]')) as "table"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = any ($1::bigint[]::oid[]) order by n.nspname, c.relname`;
