import type { Version } from '../../../wire/payload.js';
import { INCARNATION, type ReplicaColumn, REVISION, UPDATED } from '../definition/replica-columns.js';
import { versionColumns } from '../rules/stored-version.js';
import { type TextColumns, transpose, unnest } from '../rows/text-columns.js';

/**
 * What a row that a hook has changed is stamped with: its version, and the values of which JavaScript has less than came:
 * times that a `Date` has cut off, a JSON `null`, the spelling of numbers in JSON, where an array begins.
 */
export interface Stamp {
  readonly key: readonly string[];
  readonly version: Version;
  readonly exact: readonly ExactValue[];
}

export interface ExactValue {
  readonly column: ReplicaColumn;
  readonly text: string;
}

export function isTime({ kind }: ReplicaColumn): boolean {
  return kind === 'datetime' || kind === 'datetime-utc';
}

/** A row as a flush is about to store it: its stamp, and the texts of the columns that have changed. */
export interface StampedRow extends Stamp {
  readonly values: readonly (string | null)[];
}

/** How the rows of a table are named in SQL. */
export interface StampedTable {
  readonly name: string;
  readonly keys: readonly ReplicaColumn[];
  readonly quote: (identifier: string) => string;
}

/** The columns of a stamp: those that have changed, and those of the others that have lost something. */
export interface StampShape {
  readonly changed: readonly ReplicaColumn[];
  readonly exact: readonly ReplicaColumn[];
}

export function shapeOf(changed: readonly ReplicaColumn[], rows: readonly Stamp[]): StampShape {
  const exact = new Set(rows.flatMap((row) => row.exact.map(({ column }) => column)));
  return { changed, exact: [...exact].filter((column) => !changed.includes(column)) };
}

/** In the order in which `stampText` reads them. */
export function stampColumns(
  width: number,
  { changed, exact }: StampShape,
  rows: readonly StampedRow[],
): (string | null)[][] {
  return [
    ...transpose(
      rows.map(({ key }) => key),
      width,
    ),
    ...versionColumns(rows.map(({ version }) => version)),
    ...exact.map((column) => rows.map((row) => row.exact.find((one) => one.column === column)?.text ?? null)),
    ...transpose(
      rows.map(({ values }) => values),
      changed.length,
    ),
  ];
}

/** Answers with the numbers, from 1, of the rows that are there: `alive`, separated by commas, or null. */
export function stampText(
  { name, keys, quote }: StampedTable,
  { changed, exact }: StampShape,
  { sql }: TextColumns,
): string {
  const width = keys.length;
  const assignments = [
    `${REVISION} = u.c${width}::int`,
    `${UPDATED} = u.c${width + 1}::timestamptz`,
    `${INCARNATION} = u.c${width + 2}::bigint`,
    ...exact.map((column, index) => {
      const field = quote(column.field);
      const came = `u.c${width + 3 + index}::${column.cast}`;
      return `${field} = case when ${looksLike(column, `t.${field}`, came)} then ${came} else t.${field} end`;
    }),
    ...changed.map(
      (column, index) => `${quote(column.field)} = u.c${width + 3 + exact.length + index}::${column.cast}`,
    ),
  ];
  const sameKey = keys.map((column, index) => `r.${quote(column.field)} = u.c${index}::${column.cast}`).join(' and ');
  // Row by row, as OFFSET makes PostgreSQL do it: a join with the list would read the table as a whole.
  // A place is one of a partition.
  return `with stamped as (
      update ${name} t set ${assignments.join(', ')}
      from ${unnest(width + assignments.length, sql)}
        cross join lateral (select r.tableoid, r.ctid from ${name} r where ${sameKey} offset 0) as at
      where t.ctid = at.ctid and t.tableoid = at.tableoid returning u.n)
    select string_agg(n::text, ',') as alive from stamped`;
}

/** Whether what is stored is what JavaScript makes of what came: a hook may have stored something else. */
function looksLike(column: ReplicaColumn, stored: string, came: string): string {
  if (isTime(column)) return `date_trunc('milliseconds', ${stored}) = date_trunc('milliseconds', ${came})`;
  return `coalesce(to_jsonb(${stored}), 'null') = to_jsonb(${came})`;
}
