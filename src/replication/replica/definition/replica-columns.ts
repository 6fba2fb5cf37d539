import { type EntityMetadata, type EntityProperty, ReferenceKind } from '@mikro-orm/core';
import { withoutCollation, wireKind, type WireKind } from '../../../wire/values.js';

/** One replicated column: where its value comes from and how it is written. */
export interface ReplicaColumn {
  /** The column in the database. */
  readonly field: string;
  readonly property: EntityProperty;
  /** Where its value is in the entity: the property's name, after those of the embeddables around it. */
  readonly path: readonly string[];
  /** The keys in `instance_data` that may hold its value; the first is its name, others are spellings of a relation. */
  readonly wire: readonly string[];
  readonly kind: WireKind;
  /** The type as declared, e.g. `numeric(12,2)`. */
  readonly type: string;
  /** The type that a text is read as, without a length: a cast to `varchar(3)` would cut silently. */
  readonly cast: string;
  readonly primary: boolean;
  /** Must be in every SAVE and SYNC: the mapping names it, or no row can do without. */
  readonly required: boolean;
}

export const REVISION = 'cqrs_revision';
export const UPDATED = 'cqrs_updated';
export const INCARNATION = 'cqrs_incarnation';
export const OWN_PROPERTIES: ReadonlySet<string> = new Set(['cqrsRevision', 'cqrsUpdated', 'cqrsIncarnation']);

/** Whether a property is stored in columns of its entity's own table, and writable. */
export function isStored(property: EntityProperty): boolean {
  return (
    property.persist !== false &&
    property.fieldNames?.length > 0 &&
    !property.formula &&
    (!property.generated || isIdentityKey(property)) &&
    !(property.kind === ReferenceKind.EMBEDDED && !property.object) &&
    property.kind !== ReferenceKind.ONE_TO_MANY &&
    property.kind !== ReferenceKind.MANY_TO_MANY &&
    !(property.kind === ReferenceKind.ONE_TO_ONE && !property.owner)
  );
}

/** A key that the database numbers only where none is given, as Django's AutoField since 4.1: replicas give theirs. */
function isIdentityKey({ primary, generated }: EntityProperty): boolean {
  return primary === true && typeof generated === 'string' && /^by default as identity$/i.test(generated);
}

/** Stored properties that may be replicated: all but the library's own, and the one that tells subclasses apart. */
export function replicable(meta: EntityMetadata): EntityProperty[] {
  return meta.props.filter(
    (property) => isStored(property) && !OWN_PROPERTIES.has(property.name) && !isFixedDiscriminator(meta, property),
  );
}

/** The columns of a property. @param wire its name in the mapping; default its own name in snake case. */
export function columnsOf(meta: EntityMetadata, property: EntityProperty, wire?: string): ReplicaColumn[] {
  const name = wire ?? snakeCase(property.name);
  return property.fieldNames.map((field, index) => {
    const type = property.columnTypes?.[index] ?? 'text';
    const many = property.fieldNames.length > 1;
    const spellings = many ? [`${name}_${index}`] : isRelation(property) ? [name, `${name}_id`] : [name];
    return {
      field,
      property,
      path: pathOf(meta, property),
      wire: spellings,
      kind: wireKind(type),
      type,
      cast: castType(type),
      primary: property.primary === true,
      required: wire !== undefined || property.primary === true || !canBeLeftOut(property),
    };
  });
}

function pathOf(meta: EntityMetadata, property: EntityProperty): string[] {
  if (!property.embedded) return [property.name];
  const [around, name] = property.embedded as [string, string];
  return [...pathOf(meta, meta.properties[around as never] as EntityProperty), name];
}

/** `createdAt` → `created_at`; a relation keeps its own name (`owner`, not `owner_id`), as in django-cqrs. */
export function snakeCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
}

/** Whether the database has something to put where a message has nothing. */
export function canBeLeftOut(property: EntityProperty): boolean {
  return (
    property.nullable === true ||
    property.default !== undefined ||
    property.defaultRaw !== undefined ||
    property.autoincrement === true
  );
}

export function isRelation(property: EntityProperty): boolean {
  return property.kind === ReferenceKind.MANY_TO_ONE || property.kind === ReferenceKind.ONE_TO_ONE;
}

/** The value that marks the rows of a subclass in a table shared by several entities. */
export function discriminatorOf(meta: EntityMetadata): { field: string; value: string } | undefined {
  const property = meta.root.discriminatorColumn && meta.root.properties[meta.root.discriminatorColumn as never];
  if (!property || meta.discriminatorValue === undefined || meta.root === meta) return undefined;
  return { field: (property as EntityProperty).fieldNames[0]!, value: String(meta.discriminatorValue) };
}

function isFixedDiscriminator(meta: EntityMetadata, property: EntityProperty): boolean {
  return discriminatorOf(meta)?.field === property.fieldNames[0];
}

const SERIAL: Readonly<Record<string, string>> = { smallserial: 'smallint', serial: 'integer', bigserial: 'bigint' };

function castType(type: string): string {
  // A collation belongs to the column; a length would cut. Names in capitals may be those of types.
  const bare = withoutCollation(type)
    .replace(/\s*\([\d\s,-]*\)/, '')
    .trim();
  if (bare.toLowerCase() in SERIAL) return SERIAL[bare.toLowerCase()]!;
  // Without a length these two mean a length of one.
  return bare.replace(/^(character|char|bpchar)(?=$|\[)/i, 'bpchar').replace(/^bit(?=$|\[)/i, 'varbit');
}
