import { type EntityMetadata, ReferenceKind } from '@mikro-orm/core';
import type { Problem } from '../core/errors.js';
import type { MetaContext } from '../core/settings.js';
import type { WireValue } from '../core/wire-values.js';
import type { Definition } from '../core/registry.js';
import { hasColumns, MasterTable, OWN_PROPERTIES, REVISION, type MasterColumn } from './master-table.js';

/** A checked master: what its class declares, resolved to columns once. */
export interface MasterDefinition extends Definition {
  readonly meta: EntityMetadata;
  readonly table: MasterTable;
  readonly produce: boolean;
  /** The columns that travel, in declared order. */
  readonly announced: readonly MasterColumn[];
  /** The columns whose former values travel; empty when nothing is tracked. */
  readonly tracked: readonly MasterColumn[];
  readonly serializer?: CqrsSerializer;
  readonly hooks: MasterHooks;
}

/** A function from the entity to its data, or a class made with the entity whose `data` is that. May be asynchronous. */
export type CqrsSerializer =
  | ((entity: never) => object | Promise<object>)
  | (new (entity: never) => { readonly data: object | Promise<object> });

/** What a class overrides; what it does not override costs nothing. */
export interface MasterHooks {
  readonly isSyncInstance?: (entity: object) => boolean;
  readonly getCqrsMeta?: (entity: object, context: MetaContext) => WireValue;
  readonly getCustomCqrsDeleteData?: (entity: object) => WireValue | undefined;
  readonly populate?: readonly string[];
}

/** The statics and methods that a master's class may declare. */
export interface MasterStatics {
  readonly CQRS_ID?: string;
  readonly CQRS_PRODUCE?: boolean;
  readonly CQRS_FIELDS?: '__all__' | readonly string[];
  readonly CQRS_SERIALIZER?: CqrsSerializer;
  readonly CQRS_TRACKED_FIELDS?: '__all__' | readonly string[];
  readonly relateCqrsSerialization?: () => readonly string[] | undefined;
}

/** Marks `MasterEntity` and every class that `Master()` makes, so that no prototype has to be compared. */
export const MASTER = Symbol.for('mikro-orm-cqrs.master');

export function isMaster(entity: Function): boolean {
  return MASTER in entity;
}

/** All masters among the discovered entities, and everything that is wrong with their declarations. */
export function defineMasters(
  entities: readonly EntityMetadata[],
  quote: (identifier: string) => string,
): { definitions: MasterDefinition[]; tables: MasterTable[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const definitions: MasterDefinition[] = [];
  const tables = new Map<EntityMetadata, MasterTable>();
  const ids = new Map<string, string>();

  const masters = entities.filter((meta) => meta.class && isMaster(meta.class) && !meta.abstract && !meta.embeddable);
  for (const meta of masters) {
    const complain = (what: string, cure: string): void => void problems.push({ where: meta.className, what, cure });
    const statics = meta.class as MasterStatics;
    if (meta.inheritanceType === 'tpt' || meta.tptParent) {
      complain('is spread over several tables (table-per-type inheritance).', 'Use single-table inheritance, or an abstract base.');
      continue;
    }
    if (meta.schema === '*') {
      complain("lives in a schema chosen at run time ('*').", 'Give it a schema of its own; wildcard schemas are not replicated yet.');
      continue;
    }
    const cqrsId = statics.CQRS_ID;
    if (!cqrsId) {
      complain('has no CQRS_ID.', `Add: static CQRS_ID = '${meta.tableName}'. If it is only a base, declare it abstract.`);
      continue;
    }
    if (!/^[^*#\s]{1,120}$/.test(cqrsId)) {
      complain(`has the CQRS_ID '${cqrsId}'.`, "Use 1 to 120 characters without blanks, '*' and '#': it is a routing key.");
    }
    if (!Object.hasOwn(meta.class, 'CQRS_ID') && sharesTable(meta, cqrsId)) continue;
    const former = ids.get(cqrsId);
    if (former) {
      complain(`has the same CQRS_ID '${cqrsId}' as ${former}.`, 'Give each master an id of its own.');
      continue;
    }
    ids.set(cqrsId, meta.className);

    const table = tables.get(meta.root) ?? new MasterTable(meta.root, inTable(entities, meta.root), quote);
    tables.set(meta.root, table);
    const definition = define(meta, cqrsId, table, complain);
    definitions.push(definition);
    for (const inside of inTable(entities, meta.root)) {
      if (nearestId(inside) === cqrsId) table.assign(definition, inside.discriminatorValue);
    }
    if (definition.tracked.length > 0 || definition.hooks.isSyncInstance) table.needsBefore = true;
  }
  return { definitions, tables: [...tables.values()], problems };
}

function define(
  meta: EntityMetadata,
  cqrsId: string,
  table: MasterTable,
  complain: (what: string, cure: string) => void,
): MasterDefinition {
  const statics = meta.class as MasterStatics;
  const fields = statics.CQRS_FIELDS ?? '__all__';
  const tracked = statics.CQRS_TRACKED_FIELDS;
  const serializer = statics.CQRS_SERIALIZER;
  const own = columnsOf(meta, table).filter((column) => !(column.property in OWN_PROPERTIES));

  if (serializer && fields !== '__all__') {
    complain('declares CQRS_FIELDS together with CQRS_SERIALIZER.', 'Keep one: the serializer decides alone what travels.');
  }
  if (serializer !== undefined && typeof serializer !== 'function') {
    complain('has a CQRS_SERIALIZER that is neither a function nor a class.', 'Give it a function from the entity to its data.');
  }
  if (meta.getPrimaryProps().length === 0) complain('has no primary key.', 'Replicated rows need one.');
  const announced = fields === '__all__' ? own : select(own, fields, 'CQRS_FIELDS', meta, complain);
  if (fields !== '__all__' && !serializer) {
    const missing = table.keyColumns.filter((column) => !announced.includes(column)).map((column) => column.property);
    if (missing.length > 0) complain(`does not list its key ${list(missing)} in CQRS_FIELDS.`, 'Add it: a replica cannot do without.');
  }
  if (!serializer) {
    for (const column of announced.filter(({ kind }) => kind.startsWith('unsupported'))) {
      complain(`has the property '${column.property}' of type ${column.type}, which cannot travel.`, 'Leave it out with CQRS_FIELDS, or write a CQRS_SERIALIZER.');
    }
    const wires = new Map<string, string>();
    for (const column of announced) {
      const former = wires.get(column.wire);
      if (former) complain(`has two properties, '${former}' and '${column.property}', that are both called '${column.wire}' on the wire.`, 'Rename one.');
      wires.set(column.wire, column.property);
    }
  }
  const revision = columnsOf(meta, table).filter((column) => column.field === REVISION);
  const trackedColumns =
    tracked === undefined ? [] : tracked === '__all__' ? [...own, ...revision] : select(own, tracked, 'CQRS_TRACKED_FIELDS', meta, complain);

  return {
    cqrsId,
    entity: meta.class as Function,
    meta,
    table,
    produce: statics.CQRS_PRODUCE ?? true,
    announced,
    tracked: trackedColumns,
    serializer,
    hooks: findHooks(meta.class as Function, statics),
  };
}

/** The columns of one entity of the table, the library's own included. */
function columnsOf(meta: EntityMetadata, table: MasterTable): MasterColumn[] {
  const fields = new Set(meta.props.filter(hasColumns).flatMap((property) => property.fieldNames));
  return table.columns.filter((column) => fields.has(column.field));
}

/** Columns by property name, an inline embeddable standing for its leaves; everything else is a problem. */
function select(
  columns: readonly MasterColumn[],
  names: readonly string[],
  setting: string,
  meta: EntityMetadata,
  complain: (what: string, cure: string) => void,
): MasterColumn[] {
  const chosen: MasterColumn[] = [];
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) complain(`lists '${name}' twice in ${setting}.`, 'Remove one.');
    const property = meta.properties[name as never] as EntityMetadata['props'][number] | undefined;
    const leaves = property?.kind === ReferenceKind.EMBEDDED && !property.object ? leafNames(property) : [name];
    const found = columns.filter((column) => leaves.includes(column.property));
    if (found.length === 0 && !(name in OWN_PROPERTIES)) {
      const why = property ? 'which has no column of its own' : 'which it does not have';
      complain(`lists '${name}' in ${setting}, ${why}.`, `Its properties: ${[...new Set(columns.map((column) => column.property))].join(', ')}.`);
    }
    chosen.push(...found.filter((column) => !chosen.includes(column)));
  }
  return chosen;
}

function leafNames(property: EntityMetadata['props'][number]): string[] {
  return Object.values(property.embeddedProps).flatMap((leaf) =>
    leaf.kind === ReferenceKind.EMBEDDED && !leaf.object ? leafNames(leaf) : [leaf.name],
  );
}

function findHooks(entity: Function, statics: MasterStatics): MasterHooks {
  const prototype = entity.prototype as Record<string, unknown>;
  // The base class's own methods carry the mark: what still has it was not overridden.
  const overridden = <F extends (...args: never[]) => unknown>(name: string): F | undefined => {
    const method = prototype[name];
    return typeof method === 'function' && !(MASTER in method) ? (method as F) : undefined;
  };
  const isSyncInstance = overridden<(this: object) => boolean>('isSyncInstance');
  const getCqrsMeta = overridden<(this: object, context: MetaContext) => WireValue>('getCqrsMeta');
  const getCustomCqrsDeleteData = overridden<(this: object) => WireValue | undefined>('getCustomCqrsDeleteData');
  return {
    isSyncInstance: isSyncInstance && ((row) => isSyncInstance.call(row)),
    getCqrsMeta: getCqrsMeta && ((row, context) => getCqrsMeta.call(row, context)),
    getCustomCqrsDeleteData: getCustomCqrsDeleteData && ((row) => getCustomCqrsDeleteData.call(row)),
    populate: statics.relateCqrsSerialization?.(),
  };
}

function inTable(entities: readonly EntityMetadata[], root: EntityMetadata): EntityMetadata[] {
  return entities.filter((meta) => meta.root === root && !meta.abstract);
}

function nearestId(meta: EntityMetadata): string | undefined {
  return isMaster(meta.class as Function) ? (meta.class as MasterStatics).CQRS_ID : undefined;
}

// A subclass in the same table that declares no id of its own is announced under its parent's.
function sharesTable(meta: EntityMetadata, cqrsId: string): boolean {
  return meta.root !== meta && (meta.root.class as MasterStatics).CQRS_ID === cqrsId;
}

function list(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}

