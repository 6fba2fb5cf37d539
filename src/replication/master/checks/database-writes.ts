import { CompiledQuery } from 'kysely';
import type { CqrsEvents } from '../../../kernel/events.js';
import { readSqlBody, type SqlWrite } from '../../../postgres/sql-statements.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import type { MasterTable } from '../definition/master-table.js';
import type { RelatedTable } from './related-tables.js';

type Warning = CqrsEvents['cqrs.master.uncaptured'];

interface Catalogue {
  readonly client: Executor;
  readonly related: readonly RelatedTable[];
  /** The masters that a statement means by what it writes. */
  readonly tablesOf: (write: SqlWrite) => readonly MasterTable[];
}

/**
 * Finds what lets the database itself write masters, so that no statement of MikroORM's tells of it: foreign keys,
 * triggers, rules, partitions. The catalogue is asked, since metadata knows neither the defaults of the schema generator nor
 * what SQL has added.
 */
export async function databaseWrites(catalogue: Catalogue): Promise<Warning[]> {
  return [
    ...partitions(catalogue.related),
    ...(await foreignKeys(catalogue)),
    ...(await triggers(catalogue)),
    ...(await rules(catalogue)),
  ];
}

function partitions(related: readonly RelatedTable[]): Warning[] {
  const warn = (master: MasterTable, reason: string): Warning => ({
    entity: master.root.className,
    reason,
    cure: 'Remove rows by nativeDelete() before their table goes, and run cqrs reconcile after such a change.',
  });
  return related.flatMap(({ master, kind, partitioned, name }) => {
    const parts = related.some((one) => one.master === master && one.kind === 'part');
    if (kind === 'whole') return [warn(master, `its table belongs to "${name}": what is written there tells nobody`)];
    if (kind !== 'itself' || !(partitioned || parts)) return [];
    return [
      warn(
        master,
        partitioned
          ? 'its table is partitioned: rows come and go with ATTACH, DETACH and DROP of a partition, and tell nobody'
          : 'other tables inherit from its table: rows come and go with them, and tell nobody',
      ),
    ];
  });
}

const ACTIONS: Readonly<Record<string, string>> = { c: 'CASCADE', n: 'SET NULL', d: 'SET DEFAULT' };

async function foreignKeys({ client, related }: Catalogue): Promise<Warning[]> {
  const parts = related.filter(({ kind }) => kind === 'itself' || kind === 'part');
  const rows = await ask<{ oid: string; name: string; parent: string; deletes: string; updates: string }>(
    client,
    `select conrelid::text as oid, conname as name, confrelid::regclass::text as parent,
            confdeltype as deletes, confupdtype as updates
       from pg_constraint
      where contype = 'f' and conparentid = 0 and conrelid = any($1::oid[])
        and (confdeltype in ('c', 'n', 'd') or confupdtype in ('c', 'n', 'd'))
      order by conrelid, conname`,
    parts.map(({ oid }) => oid),
  );
  return rows.flatMap(({ oid, name, parent, deletes, updates }) => {
    const actions = [
      ...(ACTIONS[deletes] ? [`ON DELETE ${ACTIONS[deletes]}`] : []),
      ...(ACTIONS[updates] ? [`ON UPDATE ${ACTIONS[updates]}`] : []),
    ];
    const cures = [
      ...(deletes === 'c'
        ? [`Declare deleteRule: 'restrict' and let MikroORM delete (cascade: [Cascade.REMOVE], orphanRemoval).`]
        : []),
      ...(deletes === 'n' || deletes === 'd'
        ? [`Declare deleteRule: 'restrict' and change the relation in the service before its target is deleted.`]
        : []),
      ...(ACTIONS[updates]
        ? [`Declare updateRule: 'no action', and give a row a new key by creating another and deleting the former.`]
        : []),
    ];
    return masters(parts, oid).map((master) => ({
      entity: master.root.className,
      reason: `its foreign key "${name}" to ${parent} has ${actions.join(' and ')}: the database then writes its rows by itself`,
      cure: cures.join(' '),
    }));
  });
}

/** Triggers whose functions write masters. Those that only change the row at hand are captured with it. */
async function triggers({ client, tablesOf }: Catalogue): Promise<Warning[]> {
  const found = await ask<{ name: string; relation: string; function: string }>(
    client,
    `select tgname as name, tgrelid::regclass::text as relation, tgfoid::text as function
       from pg_trigger as t
      where not tgisinternal and tgenabled in ('O', 'A')
        and coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0'
      order by tgrelid, tgname`,
  );
  const functions = await readFunctions(
    client,
    found.map((one) => one.function),
  );
  return found.flatMap((trigger) =>
    written(functions, trigger.function, tablesOf).map((master) => ({
      entity: master.root.className,
      reason: `the trigger "${trigger.name}" of ${trigger.relation} writes its table`,
      cure: 'Let the service write what the trigger writes, and drop the trigger; or run cqrs reconcile from time to time.',
    })),
  );
}

const COMMANDS: Readonly<Record<string, string>> = { '2': 'UPDATE', '3': 'INSERT', '4': 'DELETE' };

/** Rules of masters' tables, and rules of other tables and views that write masters. */
async function rules({ client, related, tablesOf }: Catalogue): Promise<Warning[]> {
  const found = await ask<{ name: string; oid: string; relation: string; command: string; text: string }>(
    client,
    `select rulename as name, ev_class::text as oid, ev_class::regclass::text as relation, ev_type as command,
            pg_get_ruledef(r.oid) as text
       from pg_rewrite as r
       join pg_class as c on c.oid = r.ev_class
      where rulename <> '_RETURN' and ev_enabled in ('O', 'A')
        and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      order by ev_class, rulename`,
  );
  const cure = 'Drop the rule, and let the service write what it writes.';
  return found.flatMap(({ name, oid, relation, command, text }) => {
    const own = masters(
      related.filter(({ kind }) => kind !== 'view'),
      oid,
    );
    const others = [...new Set(readSqlBody(text).writes.flatMap(tablesOf))].filter((master) => !own.includes(master));
    return [
      ...own.map((master) => ({
        entity: master.root.className,
        reason: `the rule "${name}" of ${relation} rewrites ${COMMANDS[command]}: what it does instead or besides tells nobody`,
        cure,
      })),
      ...others.map((master) => ({
        entity: master.root.className,
        reason: `the rule "${name}" of ${relation} writes its table`,
        cure,
      })),
    ];
  });
}

/** What a function writes and calls; functions of one name are one, since a call does not tell them apart. */
interface FoundFunction {
  readonly oid: string;
  readonly name: string;
  readonly writes: readonly SqlWrite[];
  readonly calls: readonly string[];
}

/** These functions, those that they call, and so on; not those of extensions and of PostgreSQL. */
async function readFunctions(client: Executor, oids: readonly string[]): Promise<readonly FoundFunction[]> {
  const known = new Map<string, FoundFunction>();
  const asked = new Set<string>();
  let wanted: { oids: readonly string[]; names: readonly string[] } = { oids, names: [] };
  while (wanted.oids.length + wanted.names.length > 0) {
    const rows = await ask<{ oid: string; name: string; text: string }>(
      client,
      `select p.oid::text as oid, p.proname as name, pg_get_functiondef(p.oid) as text
         from pg_proc as p
         join pg_language as l on l.oid = p.prolang
        where (p.oid = any($1::oid[]) or p.proname = any($2::text[])) and p.prokind in ('f', 'p')
          and l.lanname in ('sql', 'plpgsql')
          and p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
          and not exists (select from pg_depend as d
                           where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`,
      wanted.oids,
      wanted.names,
    );
    for (const name of wanted.names) asked.add(name);
    const fresh = rows.filter(({ oid }) => !known.has(oid));
    for (const { oid, name, text } of fresh) known.set(oid, { oid, name, ...readSqlBody(text) });
    const calls = fresh.flatMap(({ oid }) => known.get(oid)!.calls).filter((name) => !asked.has(name));
    wanted = { oids: [], names: [...new Set(calls)] };
  }
  return [...known.values()];
}

/** The masters that a function writes, by itself or by what it calls. */
function written(
  functions: readonly FoundFunction[],
  oid: string,
  tablesOf: Catalogue['tablesOf'],
): readonly MasterTable[] {
  const reached = new Set(functions.filter((one) => one.oid === oid));
  // Those that are added meanwhile are visited, too.
  for (const { calls } of reached) {
    for (const other of functions) if (calls.includes(other.name)) reached.add(other);
  }
  return [...new Set([...reached].flatMap(({ writes }) => writes.flatMap(tablesOf)))];
}

function masters(related: readonly RelatedTable[], oid: string): readonly MasterTable[] {
  return [...new Set(related.filter((one) => one.oid === oid).map(({ master }) => master))];
}

async function ask<R>(client: Executor, sql: string, ...parameters: readonly (readonly string[])[]): Promise<R[]> {
  const { rows } = await client.executeQuery<R>(CompiledQuery.raw(sql, [...parameters]) as CompiledQuery<R>);
  return rows;
}
