import type { EntityProperty, Platform } from '@mikro-orm/core';
import { MappingError } from '../../../kernel/errors.js';
import { type ExactTexts, givenText } from '../../../wire/exact-texts.js';
import { parseMicroseconds } from '../../../wire/times.js';
import { type WireObject, type WireValue } from '../../../wire/values.js';
import { isRelation, type ReplicaColumn } from './replica-columns.js';
import type { ReplicaDefinition } from './replica-definition.js';

/**
 * The data of a SAVE or SYNC → values of the given columns by property, as the entity's own code would assign them.
 * @param texts those of the message. A JSON `null` is null, as `em.find` gives it; where the property must not be null it is
 *   `JSON.rawJSON('null')`, which MikroORM stores as that.
 * @throws MappingError when a property cannot take its value; it names the field, never the value.
 */
export function propertyValues(
  { cqrsId }: ReplicaDefinition,
  columns: readonly ReplicaColumn[],
  data: WireObject,
  platform: Platform,
  texts: ExactTexts | null = null,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const column of columns) {
    const [usual] = column.wire;
    const name = Object.hasOwn(data, usual!) ? usual! : column.wire.find((spelling) => Object.hasOwn(data, spelling))!;
    const value = toProperty(cqrsId, column, data[name]!, platform);
    place(values, column, isJsonNull(column, givenText(texts, name, column.kind)) ? JSON.rawJSON('null') : value);
  }
  return values;
}

/** Tracked fields as they were, by property; null when there are none. Names that mean no property are left out. */
export function previousValues(
  definition: ReplicaDefinition,
  previous: WireObject | null,
  platform: Platform,
): Record<string, unknown> | null {
  if (previous === null) return null;
  const named = withFieldNames(definition.columns, previous);
  const known = definition.columns.filter((column) => column.wire.some((name) => Object.hasOwn(named, name)));
  const values = propertyValues(definition, known, named, platform);
  return Object.keys(values).length > 0 ? values : null;
}

/** django-cqrs calls a foreign key `author` in `instance_data`, and `author_id` here. */
function withFieldNames(columns: readonly ReplicaColumn[], previous: WireObject): WireObject {
  const names = new Set(columns.flatMap(({ wire }) => wire));
  const given = columns.flatMap(({ wire: [name] }): [string, WireValue][] => {
    const spelt = `${name}_id`;
    const isOther = Object.hasOwn(previous, name!) || !Object.hasOwn(previous, spelt) || names.has(spelt);
    return isOther ? [] : [[name!, previous[spelt]!]];
  });
  return given.length === 0 ? previous : { ...previous, ...Object.fromEntries(given) };
}

function isJsonNull({ kind, property }: ReplicaColumn, text: string | undefined): boolean {
  return kind === 'json' && property.nullable !== true && text?.trim() === 'null';
}

// A leaf of an embeddable belongs into its object; a relation with a key of several columns takes an array.
function place(values: Record<string, unknown>, { path, property }: ReplicaColumn, value: unknown): void {
  let holder = values;
  for (const name of path.slice(0, -1)) holder = (holder[name] ??= {}) as Record<string, unknown>;
  const name = path.at(-1)!;
  if (property.fieldNames.length > 1) ((holder[name] ??= []) as unknown[]).push(value);
  else holder[name] = value;
}

function toProperty(cqrsId: string, column: ReplicaColumn, value: WireValue, platform: Platform): unknown {
  if (value === null) return null;
  try {
    return readBy(column, value, platform);
  } catch {
    // Not as its cause: it may quote the value.
    throw new MappingError(cqrsId, `'${column.wire[0]}' does not fit the type of '${column.property.name}'`, {
      field: column.wire[0],
    });
  }
}

function readBy({ property, kind, cast }: ReplicaColumn, value: WireValue, platform: Platform): unknown {
  const target = isRelation(property) ? keyOf(property) : property;
  if (kind.endsWith('[]') && Array.isArray(value)) return value.map((item) => plain(kind.slice(0, -2), item));
  const given = plain(kind, value);
  if (kind === 'datetime' || kind === 'datetime-utc') {
    const micros = target.runtimeType === 'Date' ? parseMicroseconds(value) : undefined;
    return micros === undefined ? given : cutToDate(micros);
  }
  // JSON is an object already, and MikroORM's type for it would read a string as its text.
  if (kind === 'json') return storable(given);
  if (!target.customType) return given;
  const asText = kind === 'decimal' || cast === 'bigint';
  return target.customType.convertToJSValue((asText ? String(given) : given) as never, platform);
}

/** A time as hooks are given it: microseconds since 1970 → the millisecond it lies in, before 1970 as well. */
export function cutToDate(micros: number): Date {
  return new Date(Math.floor(micros / 1000));
}

/**
 * JSON as MikroORM can write it, by `JSON.stringify`: that knows no bigint, and would make null of `NaN`, which PostgreSQL
 * refuses.
 */
function storable(value: unknown): unknown {
  if (typeof value === 'bigint') return JSON.rawJSON(String(value));
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('JSON has no such number');
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return value;
  if (Array.isArray(value)) return value.map(storable);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, storable(inner)]));
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
