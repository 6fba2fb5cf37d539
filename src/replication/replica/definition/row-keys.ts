import type { Platform } from '@mikro-orm/core';
import { MappingError } from '../../../kernel/errors.js';
import { propertyValues } from './property-values.js';
import type { ReplicaColumn } from './replica-columns.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { SqlSession } from '../rows/sql-session.js';

/** The key of one row: its parts as the database prints them, and all of them in one text. */
export class RowKey {
  constructor(
    readonly parts: readonly string[],
    /** `["7"]`, `["7","b"]`: how tombstones and locks name the row. */
    readonly text: string,
  ) {}
}

const PLAIN_TYPES: ReadonlySet<string> = new Set(['text', 'varchar', 'character varying', 'bpchar', 'citext', 'uuid']);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Far more than a bigint; what is longer takes its time to read. */
const MAX_INTEGER_LENGTH = 100;

/**
 * Two messages mean one row however they spell its key: `7` and `"07"`, `A0EE…` and `a0ee…`. Integers, UUIDs and texts
 * are told apart here; for other types the database is asked how it prints them.
 * @throws MappingError when a part cannot be read.
 */
export function normalizeKey(definition: ReplicaDefinition, parts: readonly string[]): string[] {
  return definition.keyColumns.map((column, index) => {
    const part = parts[index]!;
    if (column.kind === 'integer') {
      if (part.length <= MAX_INTEGER_LENGTH && /^(?:0|[1-9]\d*)$/.test(part)) return part;
      if (part.length > MAX_INTEGER_LENGTH || !/^\s*[+-]?\d+\s*$/.test(part)) throw unreadable(definition, column);
      return String(BigInt(part.trim().replace(/^\+/, '')));
    }
    if (column.cast === 'uuid') {
      const hex = part.toLowerCase().replace(/[{}-]/g, '');
      const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
      if (!UUID.test(uuid)) throw unreadable(definition, column);
      return uuid;
    }
    if (column.cast === 'citext') return part.toLowerCase();
    return column.cast === 'bpchar' ? part.replace(/ +$/, '') : part;
  });
}

/** Asks the database for the keys of types that only it can print, and puts them in; the others are done. */
export async function askForKeys(
  session: SqlSession,
  definition: ReplicaDefinition,
  holders: readonly { key: RowKey }[],
): Promise<void> {
  if (!definition.table || hasPlainKeys(definition)) return;
  const keys = holders.map(({ key }) => key.parts);
  const rows = await session.run(definition.table.normalizeKeys(keys));
  for (const [at, row] of rows.entries()) {
    holders[at]!.key = rowKey(definition.keyColumns.map((_, index) => row[`k${index}`]!));
  }
}

export function rowKey(parts: readonly string[]): RowKey {
  const plain = parts.length === 1 && /^[\w-]*$/.test(parts[0]!);
  return new RowKey(parts, plain ? `["${parts[0]}"]` : JSON.stringify(parts));
}

/** @param text that of a key. */
export function readRowKey(text: string): RowKey {
  return new RowKey(JSON.parse(text) as string[], text);
}

/** Whether keys are told apart without the database. */
export function hasPlainKeys({ keyColumns }: ReplicaDefinition): boolean {
  return keyColumns.every(isPlain);
}

function isPlain(column: ReplicaColumn): boolean {
  return column.kind === 'integer' || PLAIN_TYPES.has(column.cast);
}

function unreadable({ cqrsId }: ReplicaDefinition, column: ReplicaColumn): MappingError {
  return new MappingError(cqrsId, `the key '${column.wire[0]}' does not fit ${column.type}`, { field: column.wire[0] });
}

/** The key as a condition that MikroORM understands. */
export function keyCondition(definition: ReplicaDefinition, key: RowKey, platform: Platform): Record<string, unknown> {
  const data = Object.fromEntries(definition.keyColumns.map((column, index) => [column.wire[0]!, key.parts[index]!]));
  return propertyValues(definition, definition.keyColumns, data, platform);
}
