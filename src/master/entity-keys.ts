import { type EntityMetadata, Utils } from '@mikro-orm/core';
import type { Row } from './mikro-orm-internals.js';

/** The key in a condition that MikroORM made for one row, as PostgreSQL prints it. */
export function keyTexts(meta: EntityMetadata, condition: unknown): string[] {
  const keys = Utils.isPlainObject(condition)
    ? Utils.getOrderedPrimaryKeys(condition as never, meta as never)
    : Array.isArray(condition)
      ? condition
      : [condition];
  return (keys as unknown[]).flat(Infinity).map(String);
}

/** The same key after the row's data has been written: the data may change it. */
export function keyTextsAfter(meta: EntityMetadata, condition: unknown, data: Row): string[] {
  const changed = meta.primaryKeys.some((key) => key in data);
  if (!changed) return keyTexts(meta, condition);
  const former = Utils.isPlainObject(condition) ? condition : { [meta.primaryKeys[0]!]: condition };
  return keyTexts(meta, {
    ...(former as Row),
    ...Object.fromEntries(meta.primaryKeys.filter((key) => key in data).map((key) => [key, data[key]])),
  });
}
