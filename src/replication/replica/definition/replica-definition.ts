import type { EntityMetadata, EntityProperty } from '@mikro-orm/core';
import type { Problem } from '../../../kernel/errors.js';
import type { Definition } from '../../declare/registry.js';
import {
  canBeLeftOut,
  columnsOf,
  discriminatorOf,
  isRelation,
  isStored,
  type ReplicaColumn,
  replicable,
} from './replica-columns.js';
import { type HookName, overriddenHooks, REPLICA, type ReplicaStatics } from './replica-hooks.js';
import { ReplicaTable } from '../rows/replica-table.js';

/** A checked replica: what its class declares, resolved to columns once. */
export interface ReplicaDefinition extends Definition {
  readonly meta: EntityMetadata;
  readonly statics: ReplicaStatics;
  /** Master field → property, as declared; undefined when every property has its master's name. */
  readonly mapping: Readonly<Record<string, string>> | undefined;
  readonly columns: readonly ReplicaColumn[];
  readonly keyColumns: readonly ReplicaColumn[];
  /** Undefined for a replica without database operations. */
  readonly table: ReplicaTable | undefined;
  readonly overrides: ReadonlySet<HookName>;
  /** `rows`: set-based SQL. `hooks`: entities and the methods of the class. `none`: no table at all. */
  readonly path: 'rows' | 'hooks' | 'none';
  /** Parents before children. */
  readonly order: number;
}

export interface DefinedReplicas {
  readonly definitions: ReplicaDefinition[];
  /** What keeps the service from starting. */
  readonly problems: Problem[];
}

/** How the platform writes names in SQL. */
export interface SqlNames {
  quote(identifier: string): string;
  /** The quoted table of an entity, with its schema. */
  table(meta: EntityMetadata): string;
}

type Complain = (what: string, cure: string) => void;

/** All replicas among the discovered entities, and everything that is wrong with their declarations. */
export function defineReplicas(entities: readonly EntityMetadata[], names: SqlNames): DefinedReplicas {
  const problems: Problem[] = [];
  const definitions: ReplicaDefinition[] = [];
  const ids = new Map<string, string>();
  const orders = parentsFirst(entities);
  for (const meta of entities.filter(isConcreteReplica)) {
    const complain: Complain = (what, cure) => void problems.push({ where: meta.className, what, cure });
    const statics = meta.class as unknown as ReplicaStatics;
    const cqrsId = checkId(meta, statics, ids, complain);
    if (cqrsId === undefined || !checkShape(meta, complain)) continue;
    const order = orders.get(meta.root.class) ?? 0;
    definitions.push(define({ meta, statics, cqrsId, names, order }, complain));
  }
  return { definitions, problems };
}

function isConcreteReplica(meta: EntityMetadata): boolean {
  if (meta.class === undefined || !(REPLICA in meta.class) || meta.embeddable) return false;
  // The abstract root of a single table takes the messages for its children that have no id of their own.
  return !meta.abstract || (meta.root.inheritanceType === 'sti' && Object.hasOwn(meta.class, 'CQRS_ID'));
}

function checkId(
  meta: EntityMetadata,
  statics: ReplicaStatics,
  ids: Map<string, string>,
  complain: Complain,
): string | undefined {
  const cqrsId = statics.CQRS_ID;
  if (!cqrsId) {
    complain('has no CQRS_ID.', "Add the master's: static CQRS_ID = '…'. If it is only a base, declare it abstract.");
    return undefined;
  }
  if (!/^[^*#\s]{1,120}$/.test(cqrsId)) {
    complain(
      `has the CQRS_ID '${cqrsId}'.`,
      "Use 1 to 120 characters without blanks, '*' and '#': it is a routing key.",
    );
  }
  // A subclass in the same table that declares no id of its own is written under its parent's.
  const inherits = !Object.hasOwn(meta.class, 'CQRS_ID') && meta.root !== meta;
  if (inherits && (meta.root.class as unknown as ReplicaStatics).CQRS_ID === cqrsId) return undefined;
  const former = ids.get(cqrsId);
  if (former !== undefined) {
    complain(
      `has the same CQRS_ID '${cqrsId}' as ${former}.`,
      'One service has one replica of a master; give it an id of its own.',
    );
    return undefined;
  }
  ids.set(cqrsId, meta.className);
  return cqrsId;
}

function checkShape(meta: EntityMetadata, complain: Complain): boolean {
  if (Symbol.for('mikro-orm-cqrs.master') in meta.class) {
    complain(
      'is a master and a replica at once.',
      'Make two entities: both sides count their revisions in the same columns.',
    );
    return false;
  }
  if (meta.inheritanceType === 'tpt' || meta.tptParent) {
    complain(
      'is spread over several tables (table-per-type inheritance).',
      'Use single-table inheritance, or an abstract base.',
    );
    return false;
  }
  if (meta.schema === '*') {
    complain("lives in a schema chosen at run time ('*').", 'Give it a schema of its own.');
    return false;
  }
  return true;
}

function define(
  {
    meta,
    statics,
    cqrsId,
    names,
    order,
  }: {
    meta: EntityMetadata;
    statics: ReplicaStatics;
    cqrsId: string;
    names: SqlNames;
    order: number;
  },
  complain: Complain,
): ReplicaDefinition {
  const overrides = overriddenHooks(meta.class);
  const custom = statics.CQRS_CUSTOM_SERIALIZATION === true;
  const none = statics.CQRS_NO_DB_OPERATIONS === true;
  const mapping = statics.CQRS_MAPPING;
  const columns = mapping ? mappedColumns(meta, mapping, complain) : ownNames(meta, complain);
  const primary = new Set(meta.getPrimaryProps().flatMap((property) => property.fieldNames));
  const keyColumns = [...primary].flatMap((field) => columns.filter((column) => column.field === field));

  if (none) {
    if (!overrides.has('cqrsSave') && !overrides.has('cqrsCreate')) {
      complain(
        'has CQRS_NO_DB_OPERATIONS and nothing that handles messages.',
        'Override static cqrsSave and static cqrsDelete.',
      );
    }
  } else {
    checkKey(meta, columns, complain);
    if (custom && !overrides.has('cqrsCreate')) {
      complain(
        'has CQRS_CUSTOM_SERIALIZATION and no cqrsCreate of its own.',
        'Override static cqrsCreate and cqrsUpdate: only they know the data.',
      );
    }
    if (!custom) checkTypes(columns, complain);
    if (mapping && !overrides.has('cqrsCreate')) checkUnmapped(meta, columns, complain);
  }
  return {
    cqrsId,
    entity: meta.class as Function,
    meta,
    statics,
    mapping,
    columns,
    keyColumns,
    table: none
      ? undefined
      : new ReplicaTable({
          name: names.table(meta),
          columns,
          keyColumns,
          optional: optionalFields(meta),
          discriminator: discriminatorOf(meta),
          quote: names.quote,
        }),
    overrides,
    path: none ? 'none' : overrides.size > 0 || custom ? 'hooks' : 'rows',
    order,
  };
}

function ownNames(meta: EntityMetadata, complain: Complain): ReplicaColumn[] {
  const columns = replicable(meta).flatMap((property) => columnsOf(meta, property));
  return withoutRivals(columns, complain);
}

function mappedColumns(
  meta: EntityMetadata,
  mapping: Readonly<Record<string, string>>,
  complain: Complain,
): ReplicaColumn[] {
  const properties = new Map(replicable(meta).map((property) => [property.name as string, property]));
  const taken = new Map<string, string>();
  const columns = Object.entries(mapping).flatMap(([field, name]) => {
    const property = properties.get(name);
    if (!property) {
      const known = [...properties.keys()].join(', ');
      complain(`maps '${field}' to '${name}', which is no stored property.`, `Its properties: ${known}.`);
      return [];
    }
    if (taken.has(name)) {
      complain(`maps two fields, '${taken.get(name)}' and '${field}', to '${name}'.`, 'Map each property once.');
      return [];
    }
    taken.set(name, field);
    return columnsOf(meta, property, field);
  });
  return withoutRivals(columns, complain);
}

/** A second spelling of a relation gives way to a column that has that name itself; two first names are a mistake. */
function withoutRivals(columns: readonly ReplicaColumn[], complain: Complain): ReplicaColumn[] {
  const first = new Map<string, ReplicaColumn>();
  for (const column of columns) {
    const rival = first.get(column.wire[0]!);
    if (rival) {
      complain(
        `has two properties, '${rival.property.name}' and '${column.property.name}', that are both called '${column.wire[0]}' on the wire.`,
        'Rename one, or declare CQRS_MAPPING.',
      );
    } else first.set(column.wire[0]!, column);
  }
  return columns.map((column) => ({
    ...column,
    wire: column.wire.filter((name, index) => index === 0 || !first.has(name)),
  }));
}

function checkKey(meta: EntityMetadata, columns: readonly ReplicaColumn[], complain: Complain): void {
  if (meta.getPrimaryProps().length === 0) complain('has no primary key.', 'Replicated rows need one.');
  for (const property of meta.getPrimaryProps() as EntityProperty[]) {
    if (columns.some((column) => column.property.name === property.name)) continue;
    complain(`does not map its key '${property.name}'.`, 'Add it to CQRS_MAPPING: no row is found without.');
  }
}

function checkTypes(columns: readonly ReplicaColumn[], complain: Complain): void {
  for (const { property, kind, type } of columns.filter((column) => column.kind.startsWith('unsupported'))) {
    complain(
      `has the property '${property.name}' of type ${type} (${kind}), which cannot travel.`,
      'Leave it out of CQRS_MAPPING, or use CQRS_CUSTOM_SERIALIZATION.',
    );
  }
}

function checkUnmapped(meta: EntityMetadata, columns: readonly ReplicaColumn[], complain: Complain): void {
  const mapped = new Set(columns.map((column) => column.property.name));
  for (const property of replicable(meta)) {
    if (mapped.has(property.name) || canBeLeftOut(property)) continue;
    complain(
      `does not map '${property.name}', and no row can do without it.`,
      'Map it, make it nullable, or give it a default in the database.',
    );
  }
}

/** Columns that a row can do without. */
function optionalFields(meta: EntityMetadata): string[] {
  return replicable(meta)
    .filter((property) => property.primary !== true && canBeLeftOut(property))
    .flatMap((property) => property.fieldNames);
}

/** A rank for each table, by its root entity's class: greater than the ranks of all that its foreign keys point to, cycles aside. */
function parentsFirst(entities: readonly EntityMetadata[]): Map<Function, number> {
  const orders = new Map<Function, number>();
  // By class, since a relation may know its target by a copy of the metadata; by the root's, since tables are meant.
  const byClass = new Map<Function, EntityMetadata>(entities.map((meta) => [meta.class, meta]));
  const visit = (entity: Function, path: readonly Function[]): void => {
    if (orders.has(entity) || path.includes(entity)) return;
    for (const relation of byClass
      .get(entity)
      ?.props.filter((property) => isRelation(property) && isStored(property)) ?? []) {
      if (relation.targetMeta) visit(relation.targetMeta.root.class, [...path, entity]);
    }
    orders.set(entity, orders.size);
  };
  for (const { root } of [...entities].toSorted((a, b) => (a.className < b.className ? -1 : 1))) visit(root.class, []);
  return orders;
}
