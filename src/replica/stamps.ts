import { formatMicroseconds } from '../core/wire-times.js';
import type { Version } from '../core/payload.js';
import { INCARNATION, type ReplicaColumn, REVISION, UPDATED } from './replica-columns.js';
import { type TextColumns, transpose, unnest } from './text-columns.js';

/** What a row that a hook has changed is stamped with: its version, and the times that a `Date` has cut off. */
export interface Stamp {
  readonly key: readonly string[];
  readonly version: Version;
  readonly times: readonly { readonly column: ReplicaColumn; readonly text: string }[];
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

/** The columns of a stamp: those that have changed, and the times of the others that have lost their microseconds. */
export interface StampShape {
  readonly changed: readonly ReplicaColumn[];
  readonly times: readonly ReplicaColumn[];
}

export function shapeOf(changed: readonly ReplicaColumn[], rows: readonly Stamp[]): StampShape {
  const times = new Set(rows.flatMap((row) => row.times.map(({ column }) => column)));
  return { changed, times: [...times].filter((column) => !changed.includes(column)) };
}

/** In the order in which `stampText` reads them. */
export function stampColumns(
  width: number,
  { changed, times }: StampShape,
  rows: readonly StampedRow[],
): (string | null)[][] {
  return [
    ...transpose(
      rows.map(({ key }) => key),
      width,
    ),
    rows.map(({ version }) => String(version.revision)),
    rows.map(({ version }) => formatMicroseconds(version.updated)),
    rows.map(({ version }) => (version.incarnation === null ? null : String(version.incarnation))),
    ...times.map((column) => rows.map((row) => row.times.find((time) => time.column === column)?.text ?? null)),
    ...transpose(
      rows.map(({ values }) => values),
      changed.length,
    ),
  ];
}

/** Answers with the numbers, from 1, of the rows that are there: `alive`, separated by commas, or null. */
export function stampText(
  { name, keys, quote }: StampedTable,
  { changed, times }: StampShape,
  { sql }: TextColumns,
): string {
  const width = keys.length;
  const assignments = [
    `${REVISION} = u.c${width}::int`,
    `${UPDATED} = u.c${width + 1}::timestamptz`,
    `${INCARNATION} = u.c${width + 2}::bigint`,
    ...times.map((column, index) => {
      const field = quote(column.field);
      const exact = `u.c${width + 3 + index}::${column.cast}`;
      return `${field} = case when date_trunc('milliseconds', t.${field}) = date_trunc('milliseconds', ${exact}) then ${exact} else t.${field} end`;
    }),
    ...changed.map(
      (column, index) => `${quote(column.field)} = u.c${width + 3 + times.length + index}::${column.cast}`,
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
