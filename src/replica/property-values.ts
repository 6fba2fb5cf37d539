import type { EntityProperty, Platform } from '@mikro-orm/core';
import { parseMicroseconds } from '../core/wire-times.js';
import { type WireObject, type WireValue } from '../core/wire-values.js';
import type { MappedRow } from './field-mapping.js';
import { isRelation, type ReplicaColumn } from './replica-columns.js';
import type { ReplicaDefinition } from './replica-definition.js';

/** The data of a SAVE or SYNC → property values, as the entity's own code would assign them. */
export function propertyValues(row: MappedRow, data: WireObject, platform: Platform): Record<string, unknown> {
  return assignAll(row.columns, data, platform);
}

/** Tracked fields as they were, by property; null when there are none. Names that mean no property are left out. */
export function previousValues(
  definition: ReplicaDefinition,
  previous: WireObject | null,
  platform: Platform,
): Record<string, unknown> | null {
  if (previous === null) return null;
  const known = definition.columns.filter((column) => column.wire.some((name) => Object.hasOwn(previous, name)));
  const values = assignAll(known, previous, platform);
  return Object.keys(values).length > 0 ? values : null;
}

function assignAll(columns: readonly ReplicaColumn[], data: WireObject, platform: Platform): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const column of columns) {
    const name = column.wire.find((spelling) => Object.hasOwn(data, spelling))!;
    place(values, column, toProperty(column, data[name]!, platform));
  }
  return values;
}

// A leaf of an embeddable belongs into its object; a relation with a key of several columns takes an array.
function place(values: Record<string, unknown>, { path, property }: ReplicaColumn, value: unknown): void {
  const holder = path.slice(0, -1).reduce((object, name) => (object[name] ??= {}) as Record<string, unknown>, values);
  const name = path.at(-1)!;
  if (property.fieldNames.length > 1) ((holder[name] ??= []) as unknown[]).push(value);
  else holder[name] = value;
}

function toProperty({ property, kind, cast }: ReplicaColumn, value: WireValue, platform: Platform): unknown {
  if (value === null) return null;
  const target = isRelation(property) ? keyOf(property) : property;
  if (kind.endsWith('[]') && Array.isArray(value)) return value.map((item) => plain(kind.slice(0, -2), item));
  const given = plain(kind, value);
  if (kind === 'datetime' || kind === 'datetime-utc') {
    const micros = target.runtimeType === 'Date' ? parseMicroseconds(value) : undefined;
    return micros === undefined ? given : new Date(micros / 1000);
  }
  // JSON is an object already, and MikroORM's type for it would read a string as its text.
  if (kind === 'json' || !target.customType) return given;
  const asText = kind === 'decimal' || cast === 'bigint';
  try {
    return target.customType.convertToJSValue((asText ? String(given) : given) as never, platform);
  } catch {
    // Not as its cause: it may quote the value.
    throw new TypeError(`the type of '${property.name}' cannot read its value`);
  }
}

function plain(kind: string, value: WireValue): unknown {
  if (value === null) return null;
  if (typeof value === 'object' && JSON.isRawJSON(value))
    return kind === 'float' ? Number(value.rawJSON) : value.rawJSON;
  if (kind === 'float' && typeof value === 'string') return Number(value.replace(/^(\s*[+-]?)inf\s*$/i, '$1Infinity'));
  if (kind === 'integer' && typeof value === 'string')
    return Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value);
  if (kind === 'binary' && typeof value === 'string') return Buffer.from(value, 'base64');
  if (kind === 'text' && (typeof value === 'number' || typeof value === 'bigint')) return String(value);
  return value;
}

function keyOf(property: EntityProperty): EntityProperty {
  return property.targetMeta?.getPrimaryProps()[0] ?? property;
}
