import { CompiledQuery } from 'kysely';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import type { MasterTable } from '../definition/master-table.js';

/** A relation through which rows of a master can be written. */
export interface RelatedTable {
  readonly master: MasterTable;
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /**
   * `itself`: the master's table; `part`: a partition of it, or a table that inherits from it; `whole`: what it is a
   * partition of or inherits from; `view`: an updatable view of one of these.
   */
  readonly kind: 'itself' | 'part' | 'whole' | 'view';
  /** `itself`: it is partitioned by its own declaration. */
  readonly partitioned: boolean;
}

/** All of them, as the catalogue knows them. `masters`: by their names in SQL, quoted and with their schemas. */
export async function readRelatedTables(
  client: Executor,
  masters: ReadonlyMap<string, MasterTable>,
): Promise<readonly RelatedTable[]> {
  const { rows } = await client.executeQuery<Omit<RelatedTable, 'master'> & { readonly master: string }>(
    CompiledQuery.raw(RELATED, [[...masters.keys()]]) as CompiledQuery<never>,
  );
  return rows.map((row) => ({ ...row, master: masters.get(row.master)! }));
}

const RELATED = `
with recursive masters as (
  select name, to_regclass(name)::oid as oid from unnest($1::text[]) as name where to_regclass(name) is not null
), wholes as (
  select name, oid from masters
  union
  select wholes.name, i.inhparent from wholes join pg_inherits i on i.inhrelid = wholes.oid
), edges as (
  select inhparent as source, inhrelid as target, false as view from pg_inherits
  union
  select d.refobjid, r.ev_class, true
    from pg_depend d
    join pg_rewrite r on r.oid = d.objid and r.rulename = '_RETURN'
    join pg_class v on v.oid = r.ev_class and v.relkind = 'v'
   where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
     and pg_relation_is_updatable(v.oid, true) & 28 <> 0
), parts as (
  select name, oid, false as view from masters
  union
  select parts.name, edges.target, parts.view or edges.view from parts join edges on edges.source = parts.oid
)
select related.name as master, c.oid::text as oid, n.nspname as schema, c.relname as name,
       case when c.oid = to_regclass(related.name) then 'itself' else related.kind end as kind,
       c.relkind = 'p' as partitioned
  from (select name, oid, 'whole' as kind from wholes where oid <> to_regclass(name)
        union all
        select name, oid, case when view then 'view' else 'part' end from parts) as related
  join pg_class c on c.oid = related.oid
  join pg_namespace n on n.oid = c.relnamespace
 order by related.name, c.oid`;
