import { type EntityMetadata, Utils } from '@mikro-orm/core';

/** The key in a condition that MikroORM made for one row, as values for its columns. */
export function keyValues(meta: EntityMetadata, condition: unknown): unknown[] {
  const fields = meta.getPrimaryProps().flatMap((property) => property.fieldNames);
  // the value itself may be a list
  if (fields.length === 1) {
    return [Utils.isPlainObject(condition) ? Object.values(condition as object)[0] : condition];
  }
  const keys = Utils.isPlainObject(condition)
    ? Utils.getOrderedPrimaryKeys(condition as never, meta as never)
    : Array.isArray(condition)
      ? condition
      : [condition];
  return (keys as unknown[]).flat(Infinity);
}

/** The same as text. */
export function keyTexts(meta: EntityMetadata, condition: unknown): string[] {
  return keyValues(meta, condition).map(String);
}
