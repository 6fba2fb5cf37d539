import { CompiledQuery } from 'kysely';
import type { Finding } from '../../../kernel/errors.js';
import { quoted } from '../../../postgres/identifiers.js';
import { ADD_WHAT_IS_MISSING } from '../../../postgres/schema-version.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import { isCaptureTrigger, type TriggerDefinition } from './capture-triggers.js';
import type { MasterTable } from '../definition/master-table.js';

/**
 * What a start does not look at, since two releases may be at work: functions that are not those of this release, triggers
 * that nobody needs any more, parts of a table in which somebody has disabled them. That they are there and fire on the
 * table itself is asked at start, by `check-triggers.ts`.
 */
export interface ExaminedMaster {
  readonly entity: string;
  /** Its table, quoted, with its schema. */
  readonly sqlName: string;
  /** Its name among what is noted. */
  readonly source: string;
  /** None: its writes are captured at the driver. */
  readonly triggers: readonly TriggerDefinition[];
}

/** A master's table as it is declared. */
export function examinedMaster({ root, name: source }: MasterTable, sqlName: string): ExaminedMaster {
  const triggers = (root.triggers as TriggerDefinition[]).filter(({ name }) => isCaptureTrigger(name));
  return { entity: root.className, sqlName, source, triggers };
}

interface FoundFunction {
  readonly table: string;
  readonly function: string;
  /** Null: it is not there. */
  readonly owner: string | null;
  readonly same: boolean;
  /** Whether its owner may write what it notes. */
  readonly writes: boolean;
}

interface SetAside {
  readonly source: string;
  readonly rows: number;
  /** Of one of them. */
  readonly reason: string;
}

interface FoundTrigger {
  readonly table: string;
  readonly part: string;
  readonly isPart: boolean;
  readonly name: string;
  readonly fires: boolean;
}

/** @param captured the table `cqrs_captured` as SQL names it */
export async function examineTriggers(
  client: Executor,
  captured: string,
  masters: readonly ExaminedMaster[],
): Promise<Finding[]> {
  if (masters.length === 0) return [];
  const functions = await findFunctions(client, captured, masters);
  const triggers = await findTriggers(client, masters);
  const setAside = await findSetAside(client, captured);
  return masters.flatMap((master): Finding[] => [
    ...setAside.filter(({ source }) => source === master.source).map((one) => setAsideFinding(master, one)),
    ...functionFindings(
      master,
      functions.filter(({ table }) => table === master.sqlName),
    ),
    ...triggerFindings(
      master,
      triggers.filter(({ table }) => table === master.sqlName),
    ),
  ]);
}

function functionFindings({ entity, triggers }: ExaminedMaster, found: readonly FoundFunction[]): Finding[] {
  const names = (ones: readonly FoundFunction[]): string => ones.map((one) => one.function).join(', ');
  const missing = found.filter(({ owner }) => owner === null);
  const others = found.filter(({ owner, same }) => owner !== null && !same);
  const unable = found.filter(({ owner, writes }) => owner !== null && !writes);
  const findings: Finding[] = [];
  if (triggers.length > 0 && missing.length > 0) {
    const what = `functions of its triggers are not there: ${names(missing)}.`;
    findings.push({ severity: 'problem', where: entity, what, cure: ADD_WHAT_IS_MISSING });
  }
  if (others.length > 0) {
    const what = `functions of its triggers are not those that this release makes: ${names(others)}.`;
    const cure = `If no other release is at work: ${ADD_WHAT_IS_MISSING}`;
    findings.push({ severity: 'advice', where: entity, what, cure });
  }
  for (const owner of new Set(unable.map((one) => one.owner!))) {
    const what = `the functions of its triggers belong to ${quoted(owner)}, who may not write what they note: every write of the table fails.`;
    const cure = `grant select, insert, update on cqrs_captured to ${quoted(owner)}; grant usage on its sequence, too.`;
    findings.push({ severity: 'problem', where: entity, what, cure });
  }
  return findings;
}

function triggerFindings({ entity, sqlName, triggers }: ExaminedMaster, found: readonly FoundTrigger[]): Finding[] {
  const wanted = new Set(triggers.map(({ name }) => name));
  const findings: Finding[] = [];
  const left = found.filter(({ isPart, name }) => !isPart && !wanted.has(name) && name !== TRUNCATE);
  if (left.length > 0) {
    const why = triggers.length > 0 ? 'are noted twice' : "are announced twice, since this release captures 'driver'";
    findings.push({
      severity: 'advice',
      where: entity,
      what: `its table has triggers of another release (${left.map(({ name }) => name).join(', ')}): writes ${why}.`,
      cure: `When that release is not at work any more: ${left.map(({ name }) => `drop trigger ${quoted(name)} on ${sqlName};`).join(' ')}`,
    });
  }
  const off = found.filter(({ isPart, fires }) => isPart && !fires && triggers.length > 0);
  for (const part of new Set(off.map((one) => one.part))) {
    const what = `triggers are disabled in ${part}, a part of its table: rows are written there with the revision that they had.`;
    const cure = `alter table ${part} enable trigger all; then run cqrs reconcile.`;
    findings.push({ severity: 'problem', where: entity, what, cure });
  }
  return findings;
}

function setAsideFinding({ entity }: ExaminedMaster, { rows, reason }: SetAside): Finding {
  return {
    severity: 'problem',
    where: entity,
    what: `no message can be made of changes of ${rows} rows, and later ones of these wait behind them: ${reason}.`,
    cure: 'Correct what the reason names. They are tried again by themselves, within five minutes.',
  };
}

const TRUNCATE = 'cqrs_before_truncate';

/** The functions that an expression makes, and their bodies. */
const FUNCTIONS = /create or replace function (.+?)\(\) returns trigger .*? as \$cqrs\$(.*?)\$cqrs\$/g;

/** Which functions of triggers are not as they are declared. */
export async function differingFunctions(
  client: Executor,
  captured: string,
  master: ExaminedMaster,
): Promise<readonly string[]> {
  const found = await findFunctions(client, captured, [master]);
  return found.filter(({ same }) => !same).map((one) => one.function);
}

async function findFunctions(
  client: Executor,
  captured: string,
  masters: readonly ExaminedMaster[],
): Promise<readonly FoundFunction[]> {
  const expected = masters.flatMap(({ sqlName, triggers }) =>
    triggers.flatMap(({ expression }) =>
      [...expression.matchAll(FUNCTIONS)].map(([, name, body]) => [sqlName, name!, body!] as const),
    ),
  );
  if (expected.length === 0) return [];
  const { rows } = await client.executeQuery<FoundFunction>(
    CompiledQuery.raw(
      `select e."table", e.name as function, r.rolname::text as owner, coalesce(p.prosrc = e.body, false) as same,
              not coalesce(p.prosecdef, false) or to_regclass($4) is null
                or has_table_privilege(p.proowner, to_regclass($4), 'insert')
               and has_table_privilege(p.proowner, to_regclass($4), 'select')
               and has_table_privilege(p.proowner, to_regclass($4), 'update') as writes
         from unnest($1::text[], $2::text[], $3::text[]) as e("table", name, body)
         left join pg_proc as p on p.oid = to_regprocedure(e.name || '()')
         left join pg_roles as r on r.oid = p.proowner`,
      [
        expected.map(([table]) => table),
        expected.map(([, name]) => name),
        expected.map(([, , body]) => body),
        captured,
      ],
    ) as CompiledQuery<FoundFunction>,
  );
  return rows;
}

async function findSetAside(client: Executor, captured: string): Promise<readonly SetAside[]> {
  const { rows: found } = await client.executeQuery<{ there: boolean }>(
    CompiledQuery.raw('select to_regclass($1) is not null as there', [captured]) as CompiledQuery<{ there: boolean }>,
  );
  if (!found[0]!.there) return [];
  const { rows } = await client.executeQuery<SetAside>(
    CompiledQuery.raw(
      `select source, count(*)::float8 as rows, min(failure) as reason from ${captured}
        where failure is not null group by source`,
    ) as CompiledQuery<SetAside>,
  );
  return rows;
}

async function findTriggers(client: Executor, masters: readonly ExaminedMaster[]): Promise<readonly FoundTrigger[]> {
  const { rows } = await client.executeQuery<FoundTrigger>(
    CompiledQuery.raw(
      `select m.name as "table", t.tgrelid::regclass::text as part, t.tgrelid <> to_regclass(m.name) as "isPart",
              t.tgname::text as name, t.tgenabled in ('O', 'A') as fires
         from unnest($1::text[]) as m(name)
         join pg_trigger as t on not t.tgisinternal and (t.tgrelid = to_regclass(m.name)
              or t.tgparentid <> 0 and t.tgrelid in (select relid from pg_partition_tree(to_regclass(m.name))))
        order by 1, 2, 4`,
      [masters.map(({ sqlName }) => sqlName)],
    ) as CompiledQuery<FoundTrigger>,
  );
  return rows.filter(({ name }) => isCaptureTrigger(name));
}
