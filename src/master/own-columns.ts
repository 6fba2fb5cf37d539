import { raw } from '@mikro-orm/core';
import { QueryType } from '@mikro-orm/sql';
import { quoted } from '../core/identifiers.js';
import {
  INCARNATION,
  type MasterTable,
  nextUpdated,
  OWN_PROPERTIES,
  REVISION,
  type RowImage,
  UPDATED,
} from './master-table.js';
import type { CapturedQueryBuilder, OnConflict, QueryBuilderState, Row } from './mikro-orm-internals.js';
import type { PendingChanges } from './pending-changes.js';

const OWN_FIELDS = Object.values(OWN_PROPERTIES);
const NEW_INCARNATION = '(extract(epoch from clock_timestamp()) * 1000000)::bigint';

/**
 * How the library's three columns move with a statement. Users cannot write them: what they give for them is dropped.
 *
 * - `cqrs_revision`: one step a row and transaction; rows already written in it keep theirs.
 * - `cqrs_updated`: the database's clock, always later than before.
 * - `cqrs_incarnation`: set by the column's default when a row is inserted; anew when its key changes.
 */
export class OwnColumns {
  constructor(
    private readonly table: MasterTable,
    private readonly pending: PendingChanges | undefined,
    private readonly options: { movesKeys?: boolean; qualifier?: string } = {},
  ) {}

  /** Assignments by property name, for the driver's own UPDATE. */
  properties(): Row {
    const fields = this.fields();
    return Object.fromEntries(
      Object.entries(OWN_PROPERTIES)
        .filter(([, field]) => field in fields)
        .map(([property, field]) => [property, fields[field]]),
    );
  }

  /** Assignments by column name. */
  fields(): Row {
    return {
      [REVISION]: this.#nextRevision(),
      [UPDATED]: raw(nextUpdated(this.#own(UPDATED))),
      ...(this.options.movesKeys
        ? { [INCARNATION]: raw(`greatest(${NEW_INCARNATION}, ${this.#own(INCARNATION)} + 1)`) }
        : {}),
    };
  }

  /** Makes a query builder's statement move our columns. */
  prepare(builder: CapturedQueryBuilder): void {
    const { state } = builder;
    const type = state.type ?? builder.type;
    const rows = state.data === undefined ? [] : Array.isArray(state.data) ? state.data : [state.data];
    if (type === QueryType.INSERT || type === QueryType.UPDATE) {
      for (const row of rows) for (const field of OWN_FIELDS) delete row[field];
    }
    if (type === QueryType.UPDATE) {
      const movesKeys = OwnColumns.movesKeys(this.table, state.data);
      for (const row of rows) Object.assign(row, new OwnColumns(this.table, this.pending, { movesKeys }).fields());
    }
    const qualifier = quoted(state.explicitAlias ? builder.alias : this.table.root.tableName);
    for (const conflict of (state.onConflict ?? []).filter(({ ignore }) => !ignore)) {
      const merged = mergedColumns(this.table, conflict, rows[0] ?? {});
      conflict.merge = { ...merged, ...new OwnColumns(this.table, this.pending, { qualifier }).fields() };
    }
  }

  static withoutProperties(row: Row): Row {
    return Object.fromEntries(Object.entries(row).filter(([property]) => !(property in OWN_PROPERTIES)));
  }

  static movesKeys(table: MasterTable, data: QueryBuilderState['data']): boolean {
    return data !== undefined && !Array.isArray(data) && table.keyColumns.some((column) => column.field in data);
  }

  /** The columns an upsert looks for, and their values; undefined when it is no upsert or its target is an expression. */
  static conflictTarget(state: QueryBuilderState): { fields: string[]; values: unknown[][] } | undefined {
    const fields = state.onConflict?.[0]?.fields;
    if (!Array.isArray(fields) || fields.length === 0) return undefined;
    const rows = Array.isArray(state.data) ? state.data : [state.data ?? {}];
    return {
      fields,
      values: rows
        .filter((row) => fields.every((field) => row[field] != null))
        .map((row) => fields.map((field) => row[field])),
    };
  }

  /**
   * For a key deleted and inserted again in one transaction: greater in every respect than what it replaces, for
   * replicas that look at the incarnation and for those that look at the revision alone.
   */
  static replacing(table: MasterTable, former: RowImage): string[] {
    const updated = table.value(former, UPDATED)!;
    return [
      `${INCARNATION} = greatest(${INCARNATION}, ${table.incarnation(former) + 1})`,
      `${REVISION} = ${table.revision(former) + 1}`,
      `${UPDATED} = greatest(${UPDATED}, '${updated}'::timestamptz + interval '1 microsecond')`,
    ];
  }

  /** A new life of a row that is already there: later than everything that was ever told of its key. */
  static reborn(): string[] {
    return [
      `${INCARNATION} = greatest(${NEW_INCARNATION}, ${INCARNATION} + 1)`,
      `${REVISION} = ${REVISION} + 1`,
      `${UPDATED} = ${nextUpdated(UPDATED)}`,
    ];
  }

  /** For rows copied from others (`em.clone`, INSERT … SELECT): a history of their own. */
  static fresh(): string[] {
    return [`${INCARNATION} = ${NEW_INCARNATION}`, `${REVISION} = 0`, `${UPDATED} = clock_timestamp()`];
  }

  /** Puts our columns into a row that MikroORM reads back into its entity. */
  static reveal(table: MasterTable, image: RowImage, row: Row): void {
    row[REVISION] = table.revision(image);
    row[INCARNATION] = table.incarnation(image);
    row[UPDATED] = table.value(image, UPDATED);
  }

  #nextRevision(): unknown {
    const written = this.pending?.writtenRows(this.table) ?? [];
    if (written.length === 0) return raw(`${this.#own(REVISION)} + 1`);
    const keys = this.table.keyColumns.map((column) => `${this.#own(column.field)}::text`).join(', ');
    const tuples = written.map(() => `(${this.table.keyColumns.map(() => '?').join(', ')})`).join(', ');
    return raw(
      `${this.#own(REVISION)} + case when (${keys}) in (values ${tuples}) then 0 else 1 end`,
      written.flatMap((row) => this.table.keyValues(row)),
    );
  }

  #own(field: string): string {
    return this.options.qualifier ? `${this.options.qualifier}.${quoted(field)}` : quoted(field);
  }
}

// What DO UPDATE SET writes, without our columns: MikroORM's list, the user's own assignments, or every given column.
function mergedColumns(table: MasterTable, conflict: OnConflict, first: Row): Row {
  const { merge, fields } = conflict;
  const assignments = merge && !Array.isArray(merge) ? merge : undefined;
  if (assignments) return Object.fromEntries(Object.entries(assignments).filter(([name]) => !isOwn(name)));
  const target = Array.isArray(fields) ? fields : [];
  const names =
    Array.isArray(merge) && merge.length > 0 ? merge : Object.keys(first).filter((field) => !target.includes(field));
  const columns = names.flatMap((name) => table.root.properties[name as never]?.fieldNames ?? [name]) as string[];
  return Object.fromEntries(
    columns.filter((field) => !isOwn(field)).map((field) => [field, raw('excluded.??', [field])]),
  );
}

/** By the name of its property or of its column. */
function isOwn(name: string): boolean {
  return name in OWN_PROPERTIES || OWN_FIELDS.includes(name);
}
