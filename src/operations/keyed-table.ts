import { InputError } from '../kernel/errors.js';
import { parseJson, type WireValue } from '../wire/values.js';
import { type KeyedTable, readKey } from '../replication/compare/keyed-table.js';
import type { Cqrs } from '../cqrs.js';
import type { CapturedDriver } from '../replication/master/mikro-orm-internals.js';

/** @throws UnknownCqrsIdError */
export function masterTable(cqrs: Cqrs, cqrsId: string): KeyedTable {
  const { meta, table } = cqrs.masters.get(cqrsId);
  const driver = cqrs.orm.driver as unknown as CapturedDriver;
  return { cqrsId, meta, name: driver.getTableName(meta, {}), keyColumns: table.keyColumns };
}

/** @throws UnknownCqrsIdError, or InputError for a replica without a table. */
export function replicaTable(cqrs: Cqrs, cqrsId: string): KeyedTable {
  const { meta, table, keyColumns } = cqrs.replicas.get(cqrsId);
  if (!table)
    throw new InputError(`the replica of '${cqrsId}' has no table: it is declared with CQRS_NO_DB_OPERATIONS.`);
  return { cqrsId, meta, name: table.name, keyColumns };
}

/** A JSON array of a stream. @throws InputError naming the line. */
export function parseArray(text: string, number: number): WireValue[] {
  let value: WireValue;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new InputError(`line ${number} is not JSON.`, '', { cause: error });
  }
  if (Array.isArray(value)) return value;
  throw new InputError(`line ${number} is no JSON array.`);
}

/** The keys of a line `[key,…]`. @throws InputError naming the line. */
export function readKeys(table: KeyedTable, values: readonly WireValue[], number: number): string[][] {
  return values.map((value) => {
    try {
      return readKey(table, value);
    } catch (error) {
      if (error instanceof InputError) throw new InputError(`line ${number}: ${error.message}`, '', { cause: error });
      throw error;
    }
  });
}
