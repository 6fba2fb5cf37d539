import type { EntityMetadata } from '@mikro-orm/core';
import { InputError } from '../../kernel/errors.js';
import { jsonToText, stringifyJson, textToJson, type WireKind, type WireValue } from '../../wire/values.js';

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

/** For lists in which a key must be found again. */
export function keyId(parts: readonly string[]): string {
  return stringifyJson(parts);
}
