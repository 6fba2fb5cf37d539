import type * as z from 'zod';
import type { Cqrs } from '../../cqrs.js';
import type { SqlSession, TextRow } from '../../replication/replica/rows/sql-session.js';
import { ApiProblem } from '../http/api-problem.js';
import type { ShownColumn } from './columns.js';
import type { Matching, Row, RowCount, RowsPage, RowsQuery } from '../contract.js';
import { readSession } from '../http/read-session.js';
import { type Conditions, conditionsOf, findColumn } from './row-conditions.js';
import { type Place, readCursor, writeCursor } from './row-cursor.js';
import { writeKeyText } from './row-key.js';
import type { BrowsableTable } from './tables.js';
import { isoTime } from '../http/times.js';

/**
 * Pages of rows, each begun where the one before ended, so that the millionth costs what the first does:
 *
 *   where (sorted, key) > (place) order by sorted, key limit n
 *
 * Sorted and key run in the same direction, so that an index over the two, or over the sorted column alone, serves both.
 * Where the column may be null, its nulls are a stretch of their own behind the values: a condition that held both would
 * keep PostgreSQL from starting in the middle of an index.
 */

const TIMEOUT_MS = 15_000;
const COUNT_TIMEOUT_MS = 3_000;
const LONGEST_TEXT = 200;

/** @throws ApiProblem */
export async function readRows(
  cqrs: Cqrs,
  table: BrowsableTable,
  query: z.output<typeof RowsQuery>,
): Promise<RowsPage> {
  assertBrowsable(table);
  const { sort, after, before, limit } = query;
  if (after !== undefined && before !== undefined) {
    throw new ApiProblem('bad-request', 'A page comes after a place or before one, not both.');
  }
  const sorted = sort && findColumn(table, sort.column);
  if (sorted && !sorted.sortable) {
    throw new ApiProblem('bad-request', `Rows cannot be sorted by '${sorted.name}', of type ${sorted.databaseType}.`);
  }
  const onlyKey = table.keyColumns.length === 1 && table.keyColumns[0]!.field === sorted?.field;
  const order: Order = {
    column: onlyKey ? undefined : sorted,
    ascending: (sort?.direction !== 'desc') === (before === undefined),
  };
  const conditions = conditionsOf(table, query);
  const cursor = after ?? before;
  const place =
    cursor === undefined ? undefined : readCursor(cursor, table.keyColumns.length, order.column !== undefined);
  const found = await readSession(cqrs, TIMEOUT_MS, ({ session }) =>
    readStretches(session, table, { order, conditions, place, limit: limit + 1 }),
  );
  const more = found.length > limit;
  const page = found.slice(0, limit);
  if (before !== undefined) page.reverse();
  const first = page[0];
  const last = page.at(-1);
  return {
    rows: page.map((row) => toRow(table, row)),
    next: last && (more || before !== undefined) ? writeCursor(placeOf(table, order, last)) : null,
    previous:
      first && (before === undefined ? after !== undefined : more) ? writeCursor(placeOf(table, order, first)) : null,
  };
}

/** How many rows match: exactly, as long as that does not take long. @throws ApiProblem */
export async function countRows(cqrs: Cqrs, table: BrowsableTable, matching: Matching): Promise<RowCount> {
  assertBrowsable(table);
  const conditions = conditionsOf(table, matching);
  try {
    return await readSession(cqrs, COUNT_TIMEOUT_MS, async ({ session }) => {
      const [row] = await session.run({
        text: `select count(*)::text as count from ${table.name} t where ${conditions.text}`,
        parameters: conditions.parameters,
      });
      return { count: Number(row!['count']), exact: true };
    });
  } catch (error) {
    if (!(error instanceof ApiProblem && error.code === 'timeout')) throw error;
    const everything = !matching.search && !matching.filters?.length && !table.discriminator;
    return { count: everything ? await estimate(cqrs, table) : null, exact: false };
  }
}

/** @throws ApiProblem saying why the rows of this table cannot be looked at. */
export function assertBrowsable({ whyNoRows }: BrowsableTable): void {
  if (whyNoRows !== null) throw new ApiProblem('bad-request', whyNoRows);
}

/** What is read of each row, as texts: `k0…` its key, `v0…` the columns shown. */
export function selection({ keyColumns, columns }: BrowsableTable, cutAt: number | null): string {
  const keys = keyColumns.map(({ field }, index) => `t."${field}"::text as "k${index}"`);
  const values = columns.map(({ field }, index) => {
    const value = `t."${field}"::text`;
    return `${cutAt === null ? value : `left(${value}, ${cutAt + 1})`} as "v${index}"`;
  });
  const own = ['revision', 'updated', 'incarnation'].map((name) => `t.cqrs_${name}::text as "${name}"`);
  return [...keys, ...values, ...own].join(', ');
}

interface Order {
  /** Undefined: by the key alone. */
  readonly column: ShownColumn | undefined;
  readonly ascending: boolean;
}

interface Reading {
  readonly order: Order;
  readonly conditions: Conditions;
  readonly place: Place | undefined;
  readonly limit: number;
}

async function readStretches(session: SqlSession, table: BrowsableTable, reading: Reading): Promise<TextRow[]> {
  const rows: TextRow[] = [];
  for (const stretch of stretches(table, reading)) {
    if (rows.length >= reading.limit) break;
    const keys = table.keyColumns.map(({ field }) => `t."${field}"`);
    const direction = reading.order.ascending ? 'asc' : 'desc';
    const by = reading.order.column ? [`t."${reading.order.column.field}"`, ...keys] : keys;
    const sorted = reading.order.column ? `, t."${reading.order.column.field}"::text as "sorted"` : '';
    rows.push(
      ...(await session.run({
        text: `select ${selection(table, LONGEST_TEXT)}${sorted} from ${table.name} t where ${stretch.text}
          order by ${by.map((expression) => `${expression} ${direction}`).join(', ')} limit ${reading.limit - rows.length}`,
        parameters: stretch.parameters,
      })),
    );
  }
  return rows;
}

/** What is still to come in the order: one condition, or where nulls are concerned one for the values and one for them. */
function stretches(table: BrowsableTable, { order: { column, ascending }, conditions, place }: Reading): Conditions[] {
  if (!place) return [conditions];
  const beyond = ascending ? '>' : '<';
  const keys = table.keyColumns.map(({ field }) => `t."${field}"`);
  const behindKey = (): Conditions => {
    const bound = conditions.copy();
    return bound.add(`(${keys.join(', ')}) ${beyond} (${place.key.map((part) => bound.bind(part)).join(', ')})`);
  };
  if (!column) return [behindKey()];
  const sorted = `t."${column.field}"`;
  // PostgreSQL's own order: nulls are greater than any value.
  if (place.value === null) {
    const nulls = behindKey().add(`${sorted} is null`);
    return ascending ? [nulls] : [nulls, conditions.copy().add(`${sorted} is not null`)];
  }
  const values = conditions.copy();
  const bound = [place.value, ...place.key].map((part) => values.bind(part));
  values.add(`(${[sorted, ...keys].join(', ')}) ${beyond} (${bound.join(', ')})`);
  return ascending && column.nullable ? [values, conditions.copy().add(`${sorted} is null`)] : [values];
}

function placeOf({ keyColumns }: BrowsableTable, { column }: Order, row: TextRow): Place {
  const key = keyColumns.map((_, index) => row[`k${index}`]!);
  return column ? { key, value: row['sorted'] ?? null } : { key };
}

function toRow(table: BrowsableTable, row: TextRow): Row {
  const cut: string[] = [];
  const values = table.columns.map(({ name }, index) => {
    const text = row[`v${index}`] ?? null;
    // Counted in characters as PostgreSQL counts them, so that none is cut in two.
    const characters = text === null ? [] : Array.from(text);
    if (characters.length <= LONGEST_TEXT) return [name, text];
    cut.push(name);
    return [name, `${characters.slice(0, LONGEST_TEXT).join('')}…`];
  });
  return {
    key: writeKeyText(table.keyColumns.map((_, index) => row[`k${index}`]!)),
    values: Object.fromEntries(values) as Row['values'],
    cut,
    revision: Number(row['revision']),
    updated: isoTime(row['updated']!),
  };
}

async function estimate(cqrs: Cqrs, { name }: BrowsableTable): Promise<number | null> {
  return readSession(cqrs, COUNT_TIMEOUT_MS, async ({ session }) => {
    const [row] = await session.run({
      text: 'select reltuples::bigint::text as count from pg_class where oid = to_regclass($1)',
      parameters: [name],
    });
    const count = Number(row?.['count'] ?? -1);
    return count < 0 ? null : count;
  });
}
