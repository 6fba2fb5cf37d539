import type { SqlSession } from '../rows/sql-session.js';

/** What PostgreSQL's catalogue says of a table, as far as it decides whether rows of a replica can be stored there. */
export interface FoundTable {
  /** `r`: a table, `p`: one that is partitioned, `v`: a view, … */
  readonly kind: string;
  readonly comment: string | null;
  readonly columns: readonly FoundColumn[];
  /** Unique indexes and exclusion constraints. */
  readonly uniques: readonly FoundUnique[];
  /** Triggers that run before a row is written. */
  readonly triggers: readonly { readonly name: string; readonly events: readonly WriteKind[] }[];
  readonly rules: readonly { readonly name: string; readonly event: WriteKind; readonly instead: boolean }[];
  /** Whether policies may hide rows from this role, or keep them back. */
  readonly policed: boolean;
  readonly mayDelete: boolean;
}

export type WriteKind = 'INSERT' | 'UPDATE' | 'DELETE';

export interface FoundColumn {
  readonly name: string;
  /** With its length; of a domain, what is under it. */
  readonly type: string;
  readonly domain: boolean;
  /** May not be null. */
  readonly mandatory: boolean;
  /** Whether the database has a value for it where none is given. */
  readonly filled: boolean;
  /** The database computes it. */
  readonly generated: boolean;
  /** `GENERATED ALWAYS AS IDENTITY`. */
  readonly numbered: boolean;
  readonly mayInsert: boolean;
  readonly mayUpdate: boolean;
  readonly maySelect: boolean;
  /** Whether what texts are read as can be stored in it; null: it was not asked, or there is no such type. */
  readonly takes: boolean | null;
}

export interface FoundUnique {
  readonly name: string;
  /** In its order; null: an expression. */
  readonly columns: readonly (string | null)[];
  /** A unique index, and no exclusion constraint. */
  readonly index: boolean;
  /** Checked after each row, and not with the COMMIT. */
  readonly immediate: boolean;
  /** Of every row, and usable. */
  readonly whole: boolean;
}

/** A table by its name in SQL, and what its columns' texts are read as, by the name of the column. */
export interface WantedTable {
  readonly name: string;
  readonly casts?: Readonly<Record<string, string>>;
}

/** Those that exist, by their names; `null`: its schema may not be used. One query for all. */
export async function readTables(
  session: SqlSession,
  wanted: readonly WantedTable[],
): Promise<Map<string, FoundTable | null>> {
  const rows = await session.run({
    text: CATALOGUE,
    parameters: [wanted.map(({ name }) => name), wanted.map(({ casts = {} }) => JSON.stringify(casts))],
  });
  return new Map(rows.map(({ name, facts }) => [name!, facts === null ? null : (JSON.parse(facts!) as FoundTable)]));
}

const WRITES = (bits: string): string =>
  `(select coalesce(json_agg(event), '[]') from (values (4, 'INSERT'), (16, 'UPDATE'), (8, 'DELETE')) as e(bit, event)
    where ${bits} & bit > 0)`;

const COLUMNS = `
  select json_agg(json_build_object('name', a.attname, 'type', format_type(b.oid, b.typmod), 'domain', b.depth > 0,
    'mandatory', a.attnotnull or b.mandatory, 'filled', a.atthasdef or a.attidentity <> '' or b.filled,
    'generated', a.attgenerated <> '', 'numbered', a.attidentity = 'a',
    'mayInsert', has_column_privilege(c.oid, a.attnum, 'INSERT'),
    'mayUpdate', has_column_privilege(c.oid, a.attnum, 'UPDATE'),
    'maySelect', has_column_privilege(c.oid, a.attnum, 'SELECT'),
    'takes', case when read.oid is null then null else read.oid in (a.atttypid, b.oid) or t.typcategory = 'S' or exists (
      select from pg_cast f where f.castsource = read.oid and f.casttarget = b.oid and f.castcontext in ('a', 'i')) end)
    order by a.attnum)
  from pg_attribute a
    cross join lateral (
      with recursive under as (
        select a.atttypid as oid, a.atttypmod as typmod, 0 as depth, false as mandatory, false as filled
        union all
        select d.typbasetype, d.typtypmod, depth + 1, mandatory or d.typnotnull, filled or d.typdefault is not null
        from under join pg_type d on d.oid = under.oid and d.typtype = 'd')
      select * from under order by depth desc limit 1) as b
    join pg_type t on t.oid = b.oid
    left join lateral (
      with recursive under as (
        select to_regtype(w.casts ->> a.attname)::oid as oid, 0 as depth
        union all
        select d.typbasetype, depth + 1 from under join pg_type d on d.oid = under.oid and d.typtype = 'd')
      select oid from under order by depth desc limit 1) as read on true
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped`;

const UNIQUES = `
  select coalesce(json_agg(json_build_object('name', r.relname, 'index', i.indisunique, 'immediate', i.indimmediate,
    'whole', i.indisvalid and i.indpred is null,
    'columns', (select json_agg(k.attname order by n.place)
      from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) with ordinality as n(attnum, place)
        left join pg_attribute k on k.attrelid = c.oid and k.attnum = n.attnum and n.attnum > 0)) order by r.relname), '[]')
  from pg_index i join pg_class r on r.oid = i.indexrelid
  where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)`;

/** A row-level trigger (1) before (2) the write. */
const TRIGGERS = `
  select coalesce(json_agg(json_build_object('name', tgname, 'events', ${WRITES('tgtype')}) order by tgname), '[]')
  from pg_trigger where tgrelid = c.oid and not tgisinternal and tgenabled in ('O', 'A') and tgtype & 3 = 3`;

const RULES = `
  select coalesce(json_agg(json_build_object('name', rulename, 'instead', is_instead,
    'event', case ev_type when '2' then 'UPDATE' when '3' then 'INSERT' else 'DELETE' end) order by rulename), '[]')
  from pg_rewrite where ev_class = c.oid and ev_type in ('2', '3', '4') and ev_enabled in ('O', 'A')`;

/** A policy of this role for everything that is always true, and none that restricts it. */
const OPEN = `
  exists (
    select from pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd = '*'
      and pg_get_expr(p.polqual, p.polrelid) = 'true'
      and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
      and exists (select from unnest(p.polroles) as r(oid) where case when r.oid = 0 then true else pg_has_role(r.oid, 'USAGE') end))
  and not exists (select from pg_policy p where p.polrelid = c.oid and not p.polpermissive)`;

/** A name that may not be looked up is an error. */
const CATALOGUE = `
select w.name, case when not closed then json_build_object(
    'kind', c.relkind, 'comment', obj_description(c.oid, 'pg_class'), 'columns', (${COLUMNS}), 'uniques', (${UNIQUES}),
    'triggers', (${TRIGGERS}), 'rules', (${RULES}), 'policed', row_security_active(c.oid) and not (${OPEN}),
    'mayDelete', has_table_privilege(c.oid, 'DELETE'))::text end as facts
from (
  select u.name, u.casts::jsonb as casts, closed, case when not closed then to_regclass(u.name)::oid end as oid
  from unnest($1::text[], $2::text[]) as u(name, casts)
    cross join lateral (select exists (
      select from pg_namespace n where cardinality(parse_ident(u.name)) = 2 and n.nspname = (parse_ident(u.name))[1]
        and not has_schema_privilege(n.oid, 'USAGE')) as closed) as s
  offset 0) as w
  left join pg_class c on c.oid = w.oid
where closed or c.oid is not null`;
