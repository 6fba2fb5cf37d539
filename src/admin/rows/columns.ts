import type { EntityMetadata, EntityProperty } from '@mikro-orm/core';
import { wireKind } from '../../wire/values.js';
import { isHidden, wireNames } from '../../operations/hidden-properties.js';
import { hasColumns, OWN_PROPERTIES } from '../../replication/master/definition/master-table.js';
import type { Column, ColumnType, Operator } from '../contract.js';

/** A column as the page shows it, with what SQL calls it. */
export interface ShownColumn extends Omit<Column, 'indexed'> {
  readonly field: string;
}

/** The columns of one entity that may be shown, and what may not. */
export interface ShownTable {
  readonly columns: readonly ShownColumn[];
  /** Fields in the database, and their names on the wire, that must not be shown. */
  readonly hidden: { readonly fields: readonly string[]; readonly wire: readonly string[] };
  /** Why rows cannot be looked at; null when they can. */
  readonly whyNoRows: string | null;
}

const COMPARING: readonly Operator[] = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in'];
const OPERATORS: Readonly<Record<ColumnType, readonly Operator[]>> = {
  text: ['contains', 'startsWith', ...COMPARING],
  number: COMPARING,
  boolean: ['eq', 'ne'],
  date: COMPARING,
  datetime: COMPARING,
  uuid: ['eq', 'ne', 'in'],
  enum: ['eq', 'ne', 'in'],
  json: [],
  other: [],
};
/** PostgreSQL has no order for these, or none that means anything. */
const UNSORTED: ReadonlySet<ColumnType> = new Set(['json', 'other']);

/** @param travels whether a column is part of the message. */
export function describeTable(meta: EntityMetadata, travels: (field: string) => boolean): ShownTable {
  const stored = meta.props.filter(hasColumns);
  const hidden = stored.filter((property) => isHidden(meta, property));
  const columns = stored
    .filter((property) => !hidden.includes(property))
    .flatMap((property) => property.fieldNames.map((field, index) => describe(property, field, index, travels(field))));
  return {
    // What belongs to this library comes last.
    columns: unique(columns).toSorted((one, other) => Number(isOwn(one)) - Number(isOwn(other))),
    hidden: {
      fields: hidden.flatMap(({ fieldNames }) => fieldNames),
      wire: hidden.flatMap(wireNames),
    },
    whyNoRows: whyNoRows(meta, hidden),
  };
}

function whyNoRows(meta: EntityMetadata, hidden: readonly EntityProperty[]): string | null {
  const key = hidden.find(({ primary }) => primary);
  return key ? `The key '${key.name}' of ${meta.className} is hidden, and a row can be named by its key alone.` : null;
}

function isOwn({ name }: ShownColumn): boolean {
  return name in OWN_PROPERTIES;
}

function describe(property: EntityProperty, field: string, index: number, travels: boolean): ShownColumn {
  const databaseType = property.columnTypes?.[index] ?? 'text';
  const type = columnType(property, databaseType);
  const nullable = property.nullable === true;
  const own = property.name in OWN_PROPERTIES;
  return {
    name: property.fieldNames.length > 1 ? `${property.name}_${index}` : property.name,
    field,
    type,
    databaseType,
    nullable,
    key: property.primary === true,
    travels,
    sortable: !UNSORTED.has(type),
    searched: !own && (type === 'text' || property.primary === true),
    operators: [...OPERATORS[type], ...(nullable ? (['empty', 'notEmpty'] as const) : [])],
    ...(type === 'enum' ? { values: (property.items ?? []).map(String) } : {}),
  };
}

function columnType(property: EntityProperty, databaseType: string): ColumnType {
  const bare = databaseType
    .toLowerCase()
    .replace(/\(.*?\)/, '')
    .trim();
  if (property.enum === true && !bare.endsWith('[]')) return 'enum';
  if (bare === 'uuid') return 'uuid';
  if (bare === 'date') return 'date';
  switch (wireKind(databaseType)) {
    case 'integer':
    case 'float':
    case 'decimal':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'datetime':
    case 'datetime-utc':
      return 'datetime';
    case 'json':
      return 'json';
    case 'text':
      return /^(text|varchar|character varying|char|character|bpchar|citext|name)$/.test(bare) ? 'text' : 'other';
    default:
      return 'other';
  }
}

// Entities of a single table may declare one column each.
function unique(columns: readonly ShownColumn[]): ShownColumn[] {
  const fields = new Set<string>();
  return columns.filter(({ field }) => !fields.has(field) && fields.add(field));
}
