import type { EntityMetadata } from '@mikro-orm/core';
import type { Problem } from '../../../kernel/errors.js';
import { didYouMean } from '../../../kernel/nearest-name.js';
import { findHooks } from './master-hooks.js';
import { chooseColumns, type Complain } from './choose-columns.js';
import { isMaster, type MasterStatics, type Capture } from './master-statics.js';
import { type MasterDefinition, needsEntity, MasterTable, OWN_PROPERTIES } from './master-table.js';

const STATICS = ['CQRS_ID', 'CQRS_PRODUCE', 'CQRS_CAPTURE', 'CQRS_FIELDS', 'CQRS_SERIALIZER', 'CQRS_TRACKED_FIELDS'];
const REPLICA = Symbol.for('mikro-orm-cqrs.replica');

/** All masters among the discovered entities, and everything that is wrong with their declarations. */
export function defineMasters(
  entities: readonly EntityMetadata[],
  quote: (identifier: string) => string,
  nextIncarnation: string,
  /** Of those that do not say. */
  capture: Capture = 'driver',
): { definitions: MasterDefinition[]; tables: MasterTable[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const definitions: MasterDefinition[] = [];
  const tables = new Map<EntityMetadata, MasterTable>();
  const classes = new Map<string, string>();

  for (const meta of entities.filter((one) => !isMaster(one.class) && isForgotten(one))) {
    problems.push({
      where: meta.className,
      what: 'has the columns of a master or a replica and is neither.',
      cure: "Declare it: master(Schema, { id: '…' }) or replica(Schema, { id: '…' }), or let its class extend MasterEntity or ReplicaEntity.",
    });
  }
  const masters = entities.filter((one) => isMaster(one.class) && (!one.abstract || speaksForItsChildren(one)));
  for (const meta of masters.toSorted((a, b) => (a.className < b.className ? -1 : 1))) {
    const complain: Complain = (what, cure) => void problems.push({ where: meta.className, what, cure });
    const cqrsId = checkShape(meta, complain) && checkId(meta, complain);
    if (!cqrsId || announcedByAncestor(meta, entities)) continue;
    const former = classes.get(cqrsId);
    if (former !== undefined) {
      complain(`has the same CQRS_ID '${cqrsId}' as ${former}.`, 'Give each master an id of its own.');
      continue;
    }
    classes.set(cqrsId, meta.className);

    const inTable = entities.filter((one) => one.root === meta.root && !one.abstract);
    const table = tables.get(meta.root) ?? new MasterTable(meta.root, inTable, quote, nextIncarnation);
    tables.set(meta.root, table);
    const members = inTable.filter((one) => one === meta || idOwner(one, entities) === meta);
    const definition = define(meta, members, cqrsId, table, complain);
    chooseCapture(definition, { first: !definitions.some((one) => one.table === table), capture, complain });
    definitions.push(definition);
    for (const member of members) table.assign(definition, member.discriminatorValue);
    if (definition.tracked.length > 0 || definition.hooks.isSyncInstance) table.needsBefore = true;
  }
  for (const table of tables.values())
    readWhatIsNeeded(
      table,
      definitions.filter((one) => one.table === table),
    );
  return { definitions, tables: [...tables.values()], problems };
}

/** One table has one way of capture. */
function chooseCapture(
  { meta, table }: MasterDefinition,
  { first, capture, complain }: { first: boolean; capture: Capture; complain: Complain },
): void {
  const own = (meta.class as MasterStatics).CQRS_CAPTURE ?? capture;
  if (own !== 'driver' && own !== 'trigger')
    complain(`has the CQRS_CAPTURE '${String(own)}'.`, "Use 'driver' or 'trigger'.");
  else if (first) table.capture = own;
  else if (table.capture !== own) {
    complain(
      `is captured by ${own}, and another master in its table by ${table.capture}.`,
      'Give CQRS_CAPTURE to the root of the table, and to no other.',
    );
  }
}

/** What travels, what is tracked, and what code of the user's is shown: an entity as `em.find` gives it. */
function readWhatIsNeeded(table: MasterTable, definitions: readonly MasterDefinition[]): void {
  const travels = new Set(
    definitions.flatMap(({ announced, tracked, serializer }) => [...(serializer ? [] : announced), ...tracked]),
  );
  const shown = definitions.filter(needsEntity);
  const asked = new Set(shown.flatMap(({ hooks }) => hooks.populate ?? []));
  table.read((column) => travels.has(column) || (shown.length > 0 && (!column.lazy || asked.has(column.property))));
}

function define(
  meta: EntityMetadata,
  members: readonly EntityMetadata[],
  cqrsId: string,
  table: MasterTable,
  complain: Complain,
): MasterDefinition {
  const statics = meta.class as MasterStatics;
  for (const name of unknownStatics(meta.class)) {
    complain(
      `has the static ${name}, which means nothing to a master.${didYouMean(name, STATICS)}`,
      `Known: ${STATICS.join(', ')}.`,
    );
  }
  if (statics.CQRS_PRODUCE !== undefined && typeof statics.CQRS_PRODUCE !== 'boolean') {
    complain('has a CQRS_PRODUCE that is neither true nor false.', 'Give it a boolean.');
  }
  return {
    cqrsId,
    entity: meta.class as Function,
    meta,
    table,
    produce: statics.CQRS_PRODUCE ?? true,
    ...chooseColumns(meta, members, table, complain),
    serializer: statics.CQRS_SERIALIZER,
    hooks: findHooks(meta, members, complain),
  };
}

function checkShape(meta: EntityMetadata, complain: Complain): boolean {
  const missing = Object.keys(OWN_PROPERTIES).filter((name) => !(name in meta.properties));
  if (missing.length > 0) {
    complain(`lacks ${missing.join(', ')}.`, 'Extend MasterEntity, or spread masterProperties into its properties.');
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
    complain(
      "lives in a schema chosen at run time ('*').",
      'Give it a schema of its own; wildcard schemas are not replicated yet.',
    );
    return false;
  }
  if (meta.getPrimaryProps().length === 0) complain('has no primary key.', 'Replicated rows need one.');
  return true;
}

function checkId(meta: EntityMetadata, complain: Complain): string | undefined {
  const cqrsId = (meta.class as MasterStatics).CQRS_ID;
  if (!cqrsId) {
    complain(
      'has no CQRS_ID.',
      `Add: static CQRS_ID = '${meta.tableName}'. If it is only a base, declare it abstract.`,
    );
    return undefined;
  }
  if (typeof cqrsId !== 'string' || !/^[^*#\s]{1,120}$/.test(cqrsId)) {
    complain(
      `has the CQRS_ID '${cqrsId}'.`,
      "Use 1 to 120 characters without blanks, '*' and '#': it is a routing key.",
    );
    return undefined;
  }
  return cqrsId;
}

// The abstract root of an inheritance tree gives its id to the children that have none.
function speaksForItsChildren(meta: EntityMetadata): boolean {
  return meta.root.inheritanceType === 'sti' && Object.hasOwn(meta.class, 'CQRS_ID') && !meta.embeddable;
}

function announcedByAncestor(meta: EntityMetadata, entities: readonly EntityMetadata[]): boolean {
  const owner = idOwner(meta, entities);
  return owner !== undefined && owner !== meta;
}

/** The entity of the same table that declares the id under which this one travels. */
function idOwner(meta: EntityMetadata, entities: readonly EntityMetadata[]): EntityMetadata | undefined {
  let owner: unknown = meta.class;
  while (typeof owner === 'function' && !Object.hasOwn(owner, 'CQRS_ID')) owner = Object.getPrototypeOf(owner);
  return entities.find((one) => (one.class as unknown) === owner && one.root === meta.root);
}

function isForgotten(meta: EntityMetadata): boolean {
  if (REPLICA in meta.class || meta.abstract || meta.embeddable) return false;
  return Object.entries(OWN_PROPERTIES).every(
    ([name, field]) => meta.properties[name as never]?.['fieldNames']?.[0] === field,
  );
}

function unknownStatics(entity: object): string[] {
  const names = new Set<string>();
  for (let owner = entity; typeof owner === 'function'; owner = Object.getPrototypeOf(owner) as object) {
    for (const name of Object.getOwnPropertyNames(owner)) if (name.startsWith('CQRS_')) names.add(name);
  }
  return [...names].filter((name) => !STATICS.includes(name));
}
