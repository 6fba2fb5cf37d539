import { raw } from '@mikro-orm/core';
import { QueryType } from '@mikro-orm/sql';
import { UnsupportedWriteError } from '../../../kernel/errors.js';
import { quoted } from '../../../postgres/identifiers.js';
import { sqlStatements } from '../../../postgres/sql-statements.js';
import { INCARNATION, type MasterTable } from '../definition/master-table.js';
import type { NativeQuery, Row } from '../mikro-orm-internals.js';
import { newIncarnationWhen, nextOwnAssignments, nextOwnColumns, OWN_FIELDS, withoutOwnFields } from './own-columns.js';

/** A statement of a query builder that writes a master, as MikroORM has decided to send it. */
export interface NativeWrite {
  readonly kind: 'insert' | 'update' | 'delete';
  /** The table as SQL names it, without an alias. */
  readonly sqlName: string;
  /** What the statement calls the row: its alias, or its table. */
  readonly qualifier: string;
  /** Whether it may change keys, or how they are spelt. */
  readonly movesKeys: boolean;
  /** Whether it may change the discriminator of single-table inheritance. */
  readonly movesKind: boolean;
  /** Where an INSERT looks for rows that are there already, and its values there; undefined: it is no upsert. */
  readonly target?: ConflictTarget;
  readonly ctes: readonly string[];
  /** Settles how revisions move, each time before the statement is compiled to run. */
  settle(first: boolean): void;
}

export interface ConflictTarget {
  /** Undefined: an expression or the name of a constraint. */
  readonly fields?: readonly string[];
  /** Undefined: they come from a SELECT. */
  readonly values?: readonly (readonly unknown[])[];
}

/** Makes a statement move our columns; undefined when it writes nothing. */
export function prepareWrite(native: NativeQuery, table: MasterTable): NativeWrite | undefined {
  const { options } = native;
  const kind = KINDS[native.type ?? ''];
  if (!kind || typeof options.tableName !== 'string') return undefined;
  const [, sqlName, alias] = /^(.*?)(?: as ("(?:[^"]|"")*"))?$/s.exec(options.tableName)!;
  const common = {
    kind,
    sqlName: sqlName!,
    qualifier: alias ?? quoted(table.root.tableName),
    ctes: (options.ctes ?? []).map(({ sql }) => sql),
  };
  if (kind === 'insert') return { ...common, ...prepareInsert(native, table, common.qualifier) };
  if (kind === 'delete') return { ...common, movesKeys: false, movesKind: false, settle: () => {} };
  const data = withoutOwnFields(options.data as Row);
  const moved = table.keyColumns.map(({ field }) => field).filter((field) => Object.hasOwn(data, field));
  const incarnation = incarnationOfUpdated(table, moved, data);
  const settle = (first: boolean): void => {
    const own = Object.entries(nextOwnColumns({ first })).map(([field, expression]) => [field, raw(expression)]);
    options.data = { ...data, ...Object.fromEntries(own), ...incarnation };
  };
  settle(false);
  return {
    ...common,
    settle,
    movesKeys: moved.length > 0,
    movesKind: table.kindField !== undefined && Object.hasOwn(data, table.kindField),
  };
}

function incarnationOfUpdated(table: MasterTable, moved: readonly string[], data: Row): Row {
  if (moved.length === 0) return {};
  const condition = moved.map((field) => `${quoted(field)} is distinct from ?`).join(' or ');
  return {
    [INCARNATION]: raw(
      newIncarnationWhen(condition, table),
      moved.map((field) => data[field]),
    ),
  };
}

/** @throws UnsupportedWriteError when a common table expression writes a master: what it returns is its own. */
export function refuseWritingCtes(write: NativeWrite, table: MasterTable, isMaster: (name: string) => boolean): void {
  for (const sql of write.ctes) {
    for (const { writes } of sqlStatements(sql)) {
      for (const { table: name } of writes.filter((one) => isMaster(one.table))) {
        throw new UnsupportedWriteError(
          table.root.className,
          `a common table expression of the statement writes the master's table ${quoted(name)}, and nobody sees its rows`,
          'Run it as a statement of its own, in the same transaction.',
        );
      }
    }
  }
}

const KINDS: Readonly<Record<string, NativeWrite['kind']>> = {
  [QueryType.INSERT]: 'insert',
  [QueryType.UPDATE]: 'update',
  [QueryType.DELETE]: 'delete',
};

type InsertPart = Pick<NativeWrite, 'movesKeys' | 'movesKind' | 'target' | 'settle'>;

function prepareInsert(native: NativeQuery, table: MasterTable, qualifier: string): InsertPart {
  const { options } = native;
  const { insertSubQuery, onConflict } = options;
  if (Array.isArray(options.data)) options.data = options.data.map(withoutOwnFields);
  else if (options.data) options.data = withoutOwnFields(options.data);
  if (insertSubQuery) options.insertSubQuery = withoutOwnSelected(insertSubQuery);
  if (!onConflict || onConflict.ignore || !('merge' in onConflict)) {
    return { movesKeys: false, movesKind: false, settle: () => {} };
  }

  const rows = options.data === undefined ? undefined : Array.isArray(options.data) ? options.data : [options.data];
  const fields = Array.isArray(onConflict.fields) ? onConflict.fields : undefined;
  const { merge, merged } = withoutOwnMerged(onConflict.merge ?? [], rows?.[0] ?? {});
  onConflict.merge = merge;
  const movesKeys = table.keyColumns.some(
    ({ field, exact }) => merged.includes(field) && !(exact && fields?.includes(field)),
  );
  const incarnation = movesKeys ? `, ${incarnationOfMoved(table, { merge, merged }, qualifier)}` : '';
  let own = '';
  const settle = (first: boolean): void => {
    own = nextOwnAssignments({ qualifier, first }) + incarnation;
  };
  settle(false);
  const stock = native.addOnConflictClause.bind(native);
  native.addOnConflictClause = () => {
    stock();
    const at = native.parts.lastIndexOf(DO_UPDATE) + 1;
    native.parts[at] = native.parts[at] ? `${native.parts[at]}, ${own}` : own;
  };
  return {
    movesKeys,
    settle,
    movesKind: table.kindField !== undefined && merged.includes(table.kindField),
    target: {
      ...(fields ? { fields } : {}),
      ...(rows && fields ? { values: valuesOf(rows, fields) } : {}),
    },
  };
}

const DO_UPDATE = 'do update set';

// INSERT … SELECT copies rows with all their columns (`em.clone`): a copy has a history of its own.
function withoutOwnSelected<Source extends { sql: string; columns: string[] }>(source: Source): Source {
  const ownNames = new Set(OWN_FIELDS.map(quoted));
  const kept = source.columns.map((_, index) => index).filter((index) => !ownNames.has(source.columns[index]!));
  if (kept.length === source.columns.length) return source;
  const names = source.columns.map((_, index) => `"cqrs:${index}"`);
  return {
    ...source,
    columns: kept.map((index) => source.columns[index]!),
    sql: `select ${kept.map((index) => names[index]).join(', ')} from (${source.sql}) as "cqrs:source" (${names.join(', ')})`,
  };
}

/** What DO UPDATE SET writes without our columns, and its fields. An empty list means every column of the data. */
function withoutOwnMerged(
  merge: (string | object)[] | Row,
  first: Row,
): { merge: (string | object)[] | Row; merged: readonly string[] } {
  if (!Array.isArray(merge)) {
    const kept = withoutOwnFields(merge);
    return { merge: kept, merged: Object.keys(kept) };
  }
  if (merge.length === 0) return { merge, merged: Object.keys(first) };
  const kept = merge.filter((field) => typeof field !== 'string' || !OWN_FIELDS.includes(field));
  return { merge: kept.length > 0 ? kept : {}, merged: kept.filter((field) => typeof field === 'string') };
}

function incarnationOfMoved(
  table: MasterTable,
  { merge, merged }: { merge: (string | object)[] | Row; merged: readonly string[] },
  qualifier: string,
): string {
  const keys = table.keyColumns.filter(({ field }) => merged.includes(field)).map(({ field }) => quoted(field));
  const of = (row: string): string => `(${keys.map((key) => `${row}.${key}`).join(', ')})`;
  // an assignment of the user's own may be any expression
  const condition = Array.isArray(merge) ? `${of('excluded')} is distinct from ${of(qualifier)}` : 'true';
  return `${quoted(INCARNATION)} = ${newIncarnationWhen(condition, table, `${qualifier}.${quoted(INCARNATION)}`)}`;
}

function valuesOf(rows: readonly Row[], fields: readonly string[]): unknown[][] {
  return rows
    .filter((row) => fields.every((field) => row[field] !== null && row[field] !== undefined))
    .map((row) => fields.map((field) => row[field]));
}
