import { type EntityMetadata, type EntityProperty, Type } from '@mikro-orm/core';
import type { CapturedQueryBuilder, QueryResult, Row } from '../mikro-orm-internals.js';
import { OWN_PROPERTIES } from './master-table.js';

/**
 * The application's side of the library's three columns: it does not see them where it has not asked for them, and what
 * it writes into them does nothing.
 *
 * To MikroORM they are read back after every write, never compared and never written: what its version columns are,
 * without their lock. MikroORM looks a property up by its name when data is assigned, and goes through lists of properties
 * for everything else, the schema of the database included. So what is only true of assigning stands under the name alone.
 */
export function describeOwnProperties(meta: EntityMetadata, nextIncarnation: string): void {
  const properties = meta.properties as Record<string, EntityProperty & { version?: boolean }>;
  const names = Object.keys(OWN_PROPERTIES).filter((name) => name in properties);
  for (const name of names) properties[name]!.version = true;
  // The sequence is in the schema of the outbox, which a base class does not know.
  if ('cqrsIncarnation' in properties) properties['cqrsIncarnation']!.defaultRaw = nextIncarnation;
  meta.sync();
  for (const name of names) {
    // A getter without a setter is passed over; null is refused, before that is asked, for what is not nullable.
    properties[name] = { ...properties[name]!, getter: true, setter: false, nullable: true };
  }
  const isOwn = ({ name }: { name: string }): boolean => names.includes(name);
  // Until the database has answered, an entity may hold whatever a body had.
  meta.validateProps = meta.validateProps.filter((property) => !isOwn(property));
  meta.hydrateProps = meta.hydrateProps.map((property) =>
    isOwn(property) ? { ...property, customType: fromDatabase[property.name]! } : property,
  );
}

/** Converts what the database answers, and takes what `em.create` is given as it is. */
class FromDatabase extends Type<unknown, unknown> {
  constructor(private readonly convert: (value: unknown) => unknown) {
    super();
  }

  override convertToJSValue(value: unknown): unknown {
    return value === null || value === undefined ? value : this.convert(value);
  }

  override ensureComparable(): boolean {
    return false;
  }
}

const fromDatabase: Readonly<Record<string, FromDatabase>> = {
  cqrsRevision: new FromDatabase(Number),
  cqrsUpdated: new FromDatabase((value) => (value instanceof Date ? value : new Date(value as string))),
  cqrsIncarnation: new FromDatabase(Number),
};

/**
 * Takes our columns out of what a query builder of the application's answers with, unless it named them. MikroORM's own
 * builders, which have no EntityManager, need them: it puts them into entities.
 */
export function concealOwnColumns(builder: CapturedQueryBuilder, result: QueryResult): void {
  const named = (builder.state.returning ?? []).filter((field) => typeof field === 'string');
  const isNamed = (...names: string[]): boolean => named.some((field) => names.includes(field.split('.').at(-1)!));
  const unnamed = Object.entries(OWN_PROPERTIES).flatMap(([property, field]) =>
    isNamed(property, field) ? [] : field,
  );
  for (const row of result.rows ?? []) for (const field of unnamed) delete row[field];
  // It had asked for nothing at all.
  if (named.length === 0 && (result.rows ?? []).every(isEmpty)) {
    result.rows = [];
    result.row = undefined;
  }
}

function isEmpty(row: Row): boolean {
  return Object.keys(row).length === 0;
}
