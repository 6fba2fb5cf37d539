import { quoted } from '../core/identifiers.js';
import { CAPTURED } from './captured-statement.js';
import type { Row, SqlConnection } from './mikro-orm-internals.js';
import type { MasterTable, RowImage } from './master-table.js';
import type { TransactionContext } from './transaction-log.js';

/**
 * Rows as they are before a statement changes them, locked, by key. Read only for masters with tracked fields or an
 * `isSyncInstance`, and for changed keys: RETURNING shows the new row alone before PostgreSQL 18.
 *
 * A row that another transaction makes match between this and the statement itself is changed without a before image;
 * its previous values are then unknown, and are sent as null.
 */
export type BeforeImages = ReadonlyMap<string, RowImage>;

interface Place {
  readonly connection: SqlConnection;
  readonly transaction: TransactionContext;
  readonly table: MasterTable;
}

/** The rows that a condition of the statement's own will hit. `from` may carry the alias that the condition uses. */
export async function readWhere(
  { connection, transaction, table }: Place,
  from: string,
  where: { sql: string; params: readonly unknown[] } | undefined,
): Promise<BeforeImages> {
  const condition = where?.sql ? ` where ${where.sql}` : '';
  const rows = await connection.execute<Row[]>(
    `select ${table.returning} from ${from}${condition} for update ${CAPTURED}`,
    where?.params ?? [],
    'all',
    transaction,
  );
  return new Map(rows.map((row) => table.takeImage(row)).map((image) => [table.keyOf(image), image]));
}

/** The rows with these values in these columns: the keys of a batch, or the conflict target of an upsert. */
export function readByColumns(
  place: Place,
  from: string,
  fields: readonly string[],
  values: readonly (readonly unknown[])[],
): Promise<BeforeImages> {
  const tuple = `(${fields.map(() => '?').join(', ')})`;
  const sql = `(${fields.map((field) => quoted(field)).join(', ')}) in (${values.map(() => tuple).join(', ')})`;
  return values.length === 0 ? Promise.resolve(new Map()) : readWhere(place, from, { sql, params: values.flat() });
}
