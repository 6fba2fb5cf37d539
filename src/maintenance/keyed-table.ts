import type { EntityMetadata } from '@mikro-orm/core';
import {
  jsonToText,
  parseJson,
  stringifyJson,
  textToJson,
  type WireKind,
  type WireValue,
} from '../core/wire-values.js';
import type { Cqrs } from '../cqrs.js';
import type { CapturedDriver } from '../master/mikro-orm-internals.js';
import { InputError } from './input-error.js';

/** One column of a key, of whatever type. */
export interface KeyColumn {
  readonly field: string;
  readonly kind: WireKind;
  /** The type as declared. */
  readonly type: string;
}

/** The table of a master or a replica, as far as its rows are named by keys. */
export interface KeyedTable {
  readonly cqrsId: string;
  readonly meta: EntityMetadata;
  /** Quoted, with its schema. */
  readonly name: string;
  readonly keyColumns: readonly KeyColumn[];
}

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

const UUID = /^\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?$/i;

/**
 * A key as it travels (`7`, `"b1c…"`, `[7,"b"]`) → its parts, as PostgreSQL reads them.
 * @throws InputError when it cannot be one of this table; it does not quote the key.
 */
export function readKey({ cqrsId, keyColumns }: KeyedTable, key: WireValue): string[] {
  const parts = keyColumns.length === 1 ? [key] : key;
  const wrong = (): InputError => new InputError(`a key does not fit those of '${cqrsId}'.`);
  if (!Array.isArray(parts) || parts.length !== keyColumns.length) throw wrong();
  return keyColumns.map(({ kind, type }, index) => {
    let text: string | null;
    try {
      text = jsonToText(kind, parts[index]!);
    } catch {
      throw wrong();
    }
    if (text === null || (kind === 'integer' && !/^-?\d{1,19}$/.test(text)) || (type === 'uuid' && !UUID.test(text)))
      throw wrong();
    return text;
  });
}

/** The parts of a key, as PostgreSQL prints them → the JSON that travels. UUIDs, which django-cqrs cannot write, are strings. */
export function writeKey({ keyColumns }: KeyedTable, parts: readonly string[]): string {
  const texts = keyColumns.map(({ kind }, index) => textToJson(kind, parts[index]!));
  return texts.length === 1 ? texts[0]! : `[${texts.join(',')}]`;
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

/** For lists in which a key must be found again. */
export function keyId(parts: readonly string[]): string {
  return stringifyJson(parts);
}
