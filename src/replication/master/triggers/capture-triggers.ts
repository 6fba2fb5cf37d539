import { createHash } from 'node:crypto';
import { quoted } from '../../../postgres/identifiers.js';
import {
  INCARNATION,
  type MasterColumn,
  type MasterTable,
  nextUpdated,
  REVISION,
  UPDATED,
} from '../definition/master-table.js';
import { newIncarnationWhen, nextOwnColumns } from '../capture/own-columns.js';
import { CONTEXT, MOST_CONTEXT_BYTES } from './write-context.js';

/**
 * The triggers of a master with `capture: 'trigger'`, as SQL. Whoever writes its rows, they move our columns and note in
 * `cqrs_captured` what became of each row: one entry a row and transaction, with the last state.
 *
 *   BEFORE INSERT    each row, only where our columns are not the defaults, or a row was deleted in the transaction
 *   BEFORE UPDATE    each row: revision and timestamp move; another key is another incarnation
 *   AFTER INSERT, UPDATE, DELETE    each statement, with its transition tables: notes the rows
 *   BEFORE TRUNCATE  notes all rows as deleted
 *
 * A change of the columns changes the name of each trigger, by which the schema generator sees it. The functions keep
 * theirs: where an old trigger is left beside a new one, both do the same, and the second changes nothing.
 *
 * Each function is one line: the schema generator and migrations take lines apart.
 */

/** A trigger as MikroORM's metadata has it. */
export interface TriggerDefinition {
  readonly name: string;
  readonly timing: 'before' | 'after';
  readonly events: ('insert' | 'update' | 'delete')[];
  readonly forEach: 'row' | 'statement';
  /** Everything that makes it, its function included. */
  readonly expression: string;
}

/** What the triggers are made for. */
export interface TriggerTarget {
  readonly table: MasterTable;
  /** The schema of the master; functions are there, too. */
  readonly schema: string;
  /** `cqrs_captured`, quoted, with its schema. */
  readonly captured: string;
  /** A new incarnation, in SQL that no search path changes. */
  readonly nextIncarnation: string;
  /** The longest image of a row, in bytes. */
  readonly longest: number;
}

/** Settings of the session under which rows are noted. */
export const MUTED = 'cqrs.muted';
export const REBORN = 'cqrs.reborn';
const DELETED = 'cqrs.deleted';

const OLD = '"cqrs:old"';
const NEW = '"cqrs:new"';

export function captureTriggers(target: TriggerTarget): TriggerDefinition[] {
  const parts = [beforeInsert(target), ...beforeUpdate(target), ...after(target)];
  const hash = createHash('sha256')
    .update(parts.map((part) => part.sql('')).join('\n'))
    .digest('hex')
    .slice(0, 8);
  return parts.map(({ event, timing, forEach, suffix, sql }) => {
    // The last one of its kind: what other triggers of the application make of a row is seen.
    const name = `${timing === 'before' ? 'zz_' : ''}cqrs_${timing}_${event}_${suffix ? `${suffix}_` : ''}${hash}`;
    return { name, timing, events: [event], forEach, expression: sql(name) };
  });
}

const OURS = /^(?:zz_)?cqrs_(?:before|after)_(?:insert|update|delete|truncate)(?:_|$)/;

/** Whether a trigger was made here, for whichever columns. */
export function isCaptureTrigger(name: string): boolean {
  return OURS.test(name);
}

interface Part {
  readonly event: 'insert' | 'update' | 'delete';
  readonly timing: 'before' | 'after';
  readonly forEach: 'row' | 'statement';
  /** Fires behind the one without. */
  readonly suffix?: string;
  readonly sql: (name: string) => string;
}

function beforeInsert(target: TriggerTarget): Part {
  const own = (field: string): string => `new.${quoted(field)}`;
  // What the defaults of the columns give, but for the clock, passes.
  const given = [
    `${own(REVISION)} is distinct from 0`,
    `${own(UPDATED)} is null or ${own(UPDATED)} < now() or ${own(UPDATED)} > clock_timestamp()`,
    `${own(INCARNATION)} is null or ${own(INCARNATION)} < (extract(epoch from now()) * 1000000)::bigint`,
    `current_setting('${DELETED}', true) = '1'`,
  ].join(' or ');
  const body = [
    `${own(REVISION)} := 0;`,
    `${own(UPDATED)} := clock_timestamp();`,
    `${own(INCARNATION)} := ${target.nextIncarnation};`,
    replacing(target),
    'return new;',
  ];
  return {
    event: 'insert',
    timing: 'before',
    forEach: 'row',
    sql: (name) =>
      [
        functionOf(target, 'inserting', { definer: true, declare: REPLACED_VARIABLE, body }),
        `create or replace trigger ${quoted(name)} before insert on ${homeOf(target)} for each row when (${given}) execute function ${functionName(target, 'inserting')}()`,
      ].join(';\n'),
  };
}

function beforeUpdate(target: TriggerTarget): Part[] {
  const { table } = target;
  const next = nextOwnColumns({ qualifier: 'old' });
  const condition = table.keyColumns
    .map((column) => `${comparable(column, 'old')} is distinct from ${comparable(column, 'new')}`)
    .join(' or ');
  const body = [
    `new.${quoted(REVISION)} := ${next[REVISION]};`,
    `new.${quoted(UPDATED)} := ${next[UPDATED]};`,
    // A new incarnation that the library itself begins.
    `if current_setting('${REBORN}', true) = '1' then new.${quoted(INCARNATION)} := greatest(new.${quoted(INCARNATION)}, old.${quoted(INCARNATION)});`,
    `else new.${quoted(INCARNATION)} := ${newIncarnationWhen(condition, target, `old.${quoted(INCARNATION)}`)}; end if;`,
    'return new;',
  ];
  const trigger = (name: string, function_: string, when: string): string =>
    `create or replace trigger ${quoted(name)} before update on ${homeOf(target)} for each row${when} execute function ${functionName(target, function_)}()`;
  const common = { event: 'update', timing: 'before', forEach: 'row' } as const;
  const replaces = { definer: true, declare: REPLACED_VARIABLE, body: [replacing(target), 'return new;'] } as const;
  return [
    {
      ...common,
      sql: (name) => [functionOf(target, 'updating', { body }), trigger(name, 'updating', '')].join(';\n'),
    },
    {
      ...common,
      suffix: 'moved',
      sql: (name) =>
        [
          functionOf(target, 'moving', replaces),
          trigger(name, 'moving', ` when ((${condition}) and current_setting('${DELETED}', true) = '1')`),
        ].join(';\n'),
    },
  ];
}

const REPLACED_VARIABLE = '"cqrs:gone" record';

/** A row with the key of one that this transaction has deleted becomes later than it, in every respect. */
function replacing(target: TriggerTarget): string {
  const gone = '"cqrs:gone"';
  return [
    `select x.revision, x.incarnation, x.updated into ${gone} from ${target.captured} as x where x.key = ${keyText(target.table, 'new')} and x.source = ${literal(target.table.name)} and x.xid = pg_current_xact_id() and x.op <> 'S';`,
    `if ${gone}.revision is not null then`,
    `new.${quoted(REVISION)} := greatest(new.${quoted(REVISION)}, ${gone}.revision + 1);`,
    `new.${quoted(INCARNATION)} := greatest(new.${quoted(INCARNATION)}, ${gone}.incarnation + 1);`,
    `new.${quoted(UPDATED)} := greatest(new.${quoted(UPDATED)}, ${gone}.updated + interval '1 microsecond');`,
    'end if;',
  ].join(' ');
}

/** AFTER triggers: what became of the rows of a statement. */
function after(target: TriggerTarget): Part[] {
  const { table } = target;
  const same = table.keyColumns
    .map((column) => `${comparable(column, 'd')} = ${comparable(column, 'n')}`)
    .join(' and ');
  const saved = (existed: string, before: string, from: string): string =>
    noted(target, {
      columns: { existed, op: `'S'`, before, image: table.recordOf('n') },
      key: keyText(table, 'n'),
      from,
      conflict: `op = 'S'`,
    });
  // Later than the row by as little as can be, also where the clock was set back.
  const gone = (from: string): string =>
    `(select d.*, ${nextUpdated(`d.${quoted(UPDATED)}`)} as "cqrs:gone" from ${from} as d) as d`;
  const deleted = (from: string): string =>
    noted(target, {
      columns: {
        existed: 'true',
        op: `'D'`,
        before: table.recordOf('d'),
        image: table.recordOf('d', 'd."cqrs:gone"'),
        revision: `d.${quoted(REVISION)}`,
        incarnation: `d.${quoted(INCARNATION)}`,
        updated: 'd."cqrs:gone"',
      },
      key: keyText(table, 'd'),
      from,
      conflict: `op = case when x.existed then 'D' else '-' end, revision = excluded.revision, incarnation = excluded.incarnation, updated = excluded.updated`,
    });
  const remember = `if "cqrs:rows" > 0 then perform set_config('${DELETED}', '1', true); end if;`;
  const existedBefore = `d.${quoted(table.keyColumns[0]!.field)} is not null`;
  const before = `case when ${existedBefore} then ${table.recordOf('d')} end`;
  const bodies = {
    insert: [saved('false', 'null', `${NEW} as n`)],
    update: [
      ...respelled(target, same),
      deleted(`${gone(OLD)} where not exists (select from ${NEW} as n where ${same})`),
      remember,
      saved(existedBefore, before, `${NEW} as n left join ${OLD} as d on ${same}`),
    ],
    delete: [deleted(gone(OLD)), remember],
  };
  const referencing = {
    insert: `new table as ${NEW}`,
    update: `old table as ${OLD} new table as ${NEW}`,
    delete: `old table as ${OLD}`,
  };
  return (['insert', 'update', 'delete'] as const).map((event) => ({
    event,
    timing: 'after',
    forEach: 'statement',
    sql: (name) => {
      const statements = [
        functionOf(target, event, {
          definer: true,
          declare: VARIABLES,
          body: [UNLESS_MUTED, CHECKED_CONTEXT, ...bodies[event], 'return null;'],
        }),
        `create or replace trigger ${quoted(name)} after ${event} on ${homeOf(target)} referencing ${referencing[event]} for each statement execute function ${functionName(target, event)}()`,
      ];
      // The schema generator does not see triggers of TRUNCATE, and so cannot keep them: they go with those of DELETE.
      if (event === 'delete') statements.push(...truncating(target, deleted(gone(homeOf(target)))));
      return statements.join(';\n');
    },
  }));
}

const UNLESS_MUTED = `if current_setting('${MUTED}', true) = '1' then return null; end if;`;
const VARIABLES = `"cqrs:rows" bigint; "cqrs:moved" record; "cqrs:longest" bigint; "cqrs:context" text := nullif(current_setting('${CONTEXT}', true), '')`;
const CHECKED_CONTEXT = `if "cqrs:context" is not null then if octet_length("cqrs:context") > ${MOST_CONTEXT_BYTES} then raise exception using errcode = '54000', message = 'mikro-orm-cqrs: ${CONTEXT} has ' || octet_length("cqrs:context") || ' bytes, and at most ${MOST_CONTEXT_BYTES} are allowed', hint = 'Set less.'; end if; perform "cqrs:context"::json; end if;`;

function truncating(target: TriggerTarget, deleted: string): string[] {
  const table = literal(target.table.root.className);
  const body = [
    UNLESS_MUTED,
    CHECKED_CONTEXT,
    // Dropped with it.
    `if not exists (select from pg_trigger as t where t.tgrelid = tg_relid and t.tgname like 'cqrs\\_after\\_delete\\_%') then return null; end if;`,
    `if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then raise exception using errcode = '0A000', message = 'mikro-orm-cqrs: TRUNCATE of ' || ${table} || ' does not see all of its rows under this isolation level', hint = 'Truncate it under READ COMMITTED, or use DELETE.'; end if;`,
    deleted,
    'return null;',
  ];
  return [
    functionOf(target, 'truncate', { definer: true, declare: VARIABLES, body, settings: ['row_security = off'] }),
    `create or replace trigger cqrs_before_truncate before truncate on ${homeOf(target)} for each statement execute function ${functionName(target, 'truncate')}()`,
  ];
}

/**
 * A key that is spelt otherwise and equal to the database (1.0 → 1.00) is the same row: what was noted under the former
 * spelling goes on under the new one.
 */
function respelled({ table, captured }: TriggerTarget, same: string): string[] {
  if (table.keyColumns.every(({ exact }) => exact)) return [];
  const [former, now] = [keyText(table, 'd'), keyText(table, 'n')];
  // One by one, by the index: a join would read all that is noted and waits.
  return [
    `for "cqrs:moved" in select ${former} as former, ${now} as now from ${OLD} as d join ${NEW} as n on ${same} where ${former} <> ${now} loop`,
    `update ${captured} as x set key = "cqrs:moved".now where x.key = "cqrs:moved".former and x.source = ${literal(table.name)} and x.xid = pg_current_xact_id();`,
    'end loop;',
  ];
}

interface Note {
  readonly columns: Readonly<Record<string, string>>;
  readonly key: string;
  /** What is behind FROM: the rows are called n or d. */
  readonly from: string;
  /** What else is set where the transaction has noted the row before. */
  readonly conflict: string;
}

function noted({ table, captured, longest }: TriggerTarget, { columns, key, from, conflict }: Note): string {
  const { before, ...others } = columns;
  const kept = table.needsBefore || table.kindField !== undefined ? { before: before!, ...others } : others;
  const all: Record<string, string> = {
    source: literal(table.name),
    key,
    xid: 'pg_current_xact_id()',
    shape: literal(shapeOf(table)),
    context: '"cqrs:context"',
    ...kept,
  };
  return [
    `with noted as (insert into ${captured} as x (${Object.keys(all).join(', ')})`,
    `select ${Object.values(all).join(', ')} from ${from}`,
    `on conflict (key, source, xid) do update set image = excluded.image, shape = excluded.shape, context = excluded.context, ${conflict}`,
    'returning octet_length(x.image) as length)',
    'select count(*), max(length) into "cqrs:rows", "cqrs:longest" from noted;',
    `if "cqrs:longest" > ${longest} then raise exception using errcode = '54000', message = 'mikro-orm-cqrs: a row of ' || ${literal(table.root.className)} || ' has ' || "cqrs:longest" || ' bytes, and settings.maxPayloadBytes allows ${longest}', hint = 'Leave long columns out with CQRS_FIELDS, or raise maxPayloadBytes and update the schema.'; end if;`,
  ].join(' ');
}

/** Which columns an image has, in its order. */
export function shapeOf(table: MasterTable): string {
  return JSON.stringify(table.readColumns.map(({ field }) => field));
}

/**
 * Arrays are compared by the equality that indexes have. That of `citext` is found by its name alone where its schema is in
 * the search path; elsewhere two spellings would be two rows.
 */
function comparable({ field, exact }: MasterColumn, alias: string): string {
  const value = `${alias}.${quoted(field)}`;
  return exact ? value : `array[${value}]`;
}

/** As long keys as there may be in a table do not fit into another index. */
const LONG_KEY = 200;

/** The key of a row in `cqrs_captured`, where it is only compared. */
function keyText(table: MasterTable, alias: string): string {
  const text = (column: MasterColumn): string => `${alias}.${quoted(column.field)}::text`;
  const [only, ...others] = table.keyColumns;
  if (others.length === 0 && (only!.kind === 'integer' || only!.type === 'uuid')) return text(only!);
  const whole = others.length === 0 ? text(only!) : `row(${table.keyColumns.map(text).join(', ')})::text`;
  return `case when octet_length(${whole}) > ${LONG_KEY} then md5(${whole}) else ${whole} end`;
}

interface FunctionParts {
  readonly body: readonly string[];
  readonly declare?: string;
  /** Runs with the rights of its owner, under settings of its own. */
  readonly definer?: true;
  readonly settings?: readonly string[];
}

/** Whatever the session of a writer says, rows are printed so. */
const PRINTED = [
  'search_path = pg_catalog, pg_temp',
  `timezone = 'UTC'`,
  `datestyle = 'ISO, MDY'`,
  `intervalstyle = 'postgres'`,
  `bytea_output = 'hex'`,
  'extra_float_digits = 1',
  `lc_monetary = 'C'`,
  // A plan that was made for one row is kept for all: with a nested loop the cost of many would grow with their square.
  'enable_nestloop = off',
];

function functionOf(
  target: TriggerTarget,
  name: string,
  { body, declare, definer, settings = [] }: FunctionParts,
): string {
  const set = definer ? [...PRINTED, ...settings].map((setting) => ` set ${setting}`).join('') : '';
  return (
    `create or replace function ${functionName(target, name)}() returns trigger language plpgsql${definer ? ' security definer' : ''}${set}` +
    ` as $cqrs$ ${declare ? `declare ${declare}; ` : ''}begin ${body.join(' ')} end $cqrs$`
  );
}

function functionName(target: TriggerTarget, name: string): string {
  return nameOf(target, fitting(`cqrs_${target.table.root.tableName}_${name}`));
}

function homeOf(target: TriggerTarget): string {
  return nameOf(target, target.table.root.tableName);
}

function nameOf({ schema }: TriggerTarget, name: string): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** As PostgreSQL would cut a long name, but so that no two become one. */
const MOST_BYTES = 63;

function fitting(name: string): string {
  if (Buffer.byteLength(name) <= MOST_BYTES) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  let cut = name;
  while (Buffer.byteLength(cut) > MOST_BYTES - 9) cut = cut.slice(0, -1);
  return `${cut}_${hash}`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
