import { quoted } from '../../../postgres/identifiers.js';
import { CAPTURED } from './captured-statement.js';
import type { CapturedDriver, NativeQuery, Row, SqlConnection, TransactionContext } from '../mikro-orm-internals.js';
import type { MasterTable, RowImage } from '../definition/master-table.js';

/**
 * Rows as they are before a statement changes them. Read only where somebody needs them: for masters with tracked fields or
 * an `isSyncInstance`, for changed keys, and for changed discriminators. RETURNING shows the new row alone before
 * PostgreSQL 18. So an UPDATE reads and locks the rows that it will change, and changes these:
 *
 *   update t set … where …    →    update t set … from (select key, row from t where … for no key update) old where t.key = old.key
 *
 * ON CONFLICT DO UPDATE takes no such source: the rows with the values of its target are locked before it, and read by a
 * sub-query of its RETURNING, which does not see what the statement writes. A row that another transaction commits after the
 * statement has begun is changed without a before image: its previous values are unknown, and are sent as null.
 */
export type BeforeImages = ReadonlyMap<string, RowImage>;

/** As strong as what the statement itself will take: more would wait for others, and they for us, that it would not. */
export type RowLock = 'no key update' | 'update';

/** Where rows are read. */
export interface Place {
  readonly driver: CapturedDriver;
  readonly connection: SqlConnection;
  readonly transaction: TransactionContext;
  readonly table: MasterTable;
  readonly loggerContext?: object;
}

/** What the rows that an UPDATE changes are called, as they were before. */
const OLD = '"cqrs:old"';
const BEFORE = 'cqrs:before';
const SAME_KEY = 'cqrs:same';

/** An UPDATE that brings the rows with it as they were: what its FROM, WHERE and RETURNING are. */
export function bringBefore(
  table: MasterTable,
  { from, qualifier, where, movesKeys }: { from: string; qualifier: string; where: string; movesKeys: boolean },
): { source: string; returning: string } {
  const keys = table.keyColumns.map(({ field }, index) => ({ field: quoted(field), alias: `"cqrs:k${index}"` }));
  const keyList = keys.map(({ field, alias }) => `${field} as ${alias}`).join(', ');
  const lock: RowLock = movesKeys ? 'update' : 'no key update';
  const equal = keys.map(({ field, alias }) => `${qualifier}.${field} = ${OLD}.${alias}`).join(' and ');
  const image = table.returning.replace(/ as "[^"]*"$/, ` as "${BEFORE}"`);
  return {
    source: `from (select ${keyList}, ${image} from ${from}${where ? ` where ${where}` : ''} for ${lock}) as ${OLD} where ${equal}`,
    returning: `${OLD}."${BEFORE}"${movesKeys ? `, (${equal}) as "${SAME_KEY}"` : ''}`,
  };
}

/** What an upsert returns of the row that it found: by its target where keys may move, else by its key. */
export function formerOf(
  table: MasterTable,
  sqlName: string,
  { qualifier, movesKeys, target }: { qualifier: string; movesKeys: boolean; target?: { fields?: readonly string[] } },
): string {
  const keys = table.keyColumns.map(({ field }) => field);
  const equal = (fields: readonly string[]): string =>
    fields.map((field) => `"cqrs:former".${quoted(field)} = ${qualifier}.${quoted(field)}`).join(' and ');
  const found = `from ${sqlName} as "cqrs:former" where ${equal(movesKeys ? target!.fields! : keys)}`;
  const image = table.returning.replace(/ as "[^"]*"$/, '');
  const same = movesKeys ? `, exists (select ${found} and ${equal(keys)}) as "${SAME_KEY}"` : '';
  return `(select ${image} ${found}) as "${BEFORE}"${same}`;
}

/** Takes out of a returned row what `bringBefore` or `formerOf` has added. */
export function takeBefore(table: MasterTable, row: Row): { before?: RowImage; sameKey: boolean } {
  const text = row[BEFORE];
  const sameKey = row[SAME_KEY] === true;
  delete row[BEFORE];
  delete row[SAME_KEY];
  // RETURNING * has all that FROM has.
  if ('cqrs:k0' in row) for (const index of table.keyColumns.keys()) delete row[`cqrs:k${index}`];
  return { ...(typeof text === 'string' ? { before: table.imageOf(text) } : {}), sameKey };
}

/** Compiles an UPDATE of a query builder as one that brings the rows with it as they were. */
export function compileWithBefore(
  native: NativeQuery,
  table: MasterTable,
  write: { qualifier: string; movesKeys: boolean },
): { sql: string; params: unknown[]; returning: string } {
  const where = native.options.where?.sql.trim() ? native.options.where.sql : '';
  const { source, returning } = bringBefore(table, { ...write, from: native.options.tableName as string, where });
  const stock = native.compileUpdate;
  native.compileUpdate = () => {
    stock.call(native);
    if (where) native.parts.pop();
    native.parts.push(source);
  };
  try {
    return { ...native.compile(), returning };
  } finally {
    native.compileUpdate = stock;
  }
}

/** The rows with these values in these columns: the conflict target of an upsert, or keys. */
export async function readByColumns(
  place: Place,
  from: string,
  fields: readonly string[],
  values: readonly (readonly unknown[])[],
  lock: RowLock,
): Promise<BeforeImages> {
  if (values.length === 0) return new Map();
  const sql = `select ${place.table.returning} from ${from} where ${among(fields, values)} for ${lock}`;
  return read(place, sql, values.flat());
}

/** Changes these rows; answers with them as they then are. */
export function updateByColumns(
  place: Place,
  name: string,
  fields: readonly string[],
  values: readonly (readonly unknown[])[],
  assignments: string,
): Promise<BeforeImages> {
  const sql = `update ${name} set ${assignments} where ${among(fields, values)} returning ${place.table.returning}`;
  return read(place, sql, values.flat());
}

function among(fields: readonly string[], values: readonly (readonly unknown[])[]): string {
  const one = fields.map(() => '?').join(', ');
  const tuple = fields.length === 1 ? one : `(${one})`;
  return `(${fields.map((field) => quoted(field)).join(', ')}) in (${values.map(() => tuple).join(', ')})`;
}

async function read(place: Place, sql: string, params: readonly unknown[]): Promise<BeforeImages> {
  const { driver, connection, transaction, table, loggerContext } = place;
  try {
    const rows = await connection.execute<Row[]>(`${sql} ${CAPTURED}`, params, 'all', transaction, loggerContext);
    return new Map(rows.map((row) => table.takeImage(row)).map((image) => [table.keyOf(image), image]));
  } catch (error) {
    // the class that MikroORM gives the statement's own errors
    throw driver.convertException(error);
  }
}
