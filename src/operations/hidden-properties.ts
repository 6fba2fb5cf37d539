import type { EntityMetadata, EntityProperty } from '@mikro-orm/core';
import type { Cqrs } from '../cqrs.js';
import { hasColumns, OWN_PROPERTIES, wireName } from '../replication/master/definition/master-table.js';

/** Properties with `hidden: true`: their values are shown to nobody, on no page and by no command. */

/** Whether the rows of that id must not be named: their key is hidden where they are written, or where they are copied. */
export function hidesKey({ masters, replicas }: Pick<Cqrs, 'masters' | 'replicas'>, cqrsId: string | null): boolean {
  const definitions = cqrsId === null ? [] : [masters.find(cqrsId), replicas.find(cqrsId)];
  return definitions.some((definition) => definition !== undefined && isKeyHidden(definition.meta));
}

function isKeyHidden(meta: EntityMetadata): boolean {
  return meta.props.some((property) => property.primary === true && isHidden(meta, property));
}

/** By itself, with what it is embedded in, or since something inside its JSON is. */
export function isHidden(meta: EntityMetadata, property: EntityProperty): boolean {
  return isMarked(meta, property) || holdsHidden(property);
}

function isMarked(meta: EntityMetadata, property: EntityProperty): boolean {
  // This library's own are hidden from the application's JSON alone, and hold nothing that is secret.
  if (property.name in OWN_PROPERTIES) return false;
  if (property.hidden === true) return true;
  const around = property.embedded && (meta.properties[property.embedded[0] as never] as EntityProperty | undefined);
  return around !== undefined && isMarked(meta, around);
}

function holdsHidden(property: EntityProperty): boolean {
  return Object.values((property.embeddedProps ?? {}) as Record<string, EntityProperty>).some(
    (inner) => inner.hidden === true || holdsHidden(inner),
  );
}

/** The hidden properties of an entity that have columns. */
export function hiddenProperties(meta: EntityMetadata): EntityProperty[] {
  return meta.props.filter((property) => hasColumns(property) && isHidden(meta, property));
}

/** All names that a property may have in a message. */
export function wireNames(property: EntityProperty): string[] {
  return [
    property.name,
    wireName(property),
    ...property.fieldNames,
    ...property.fieldNames.map((_, index) => `${wireName(property)}_${index}`),
    `${wireName(property)}_id`,
  ];
}
