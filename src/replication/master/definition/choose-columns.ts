import { type EntityMetadata, ReferenceKind } from '@mikro-orm/core';
import { didYouMean } from '../../../kernel/nearest-name.js';
import type { MasterStatics } from './master-statics.js';
import {
  type MasterDefinition,
  hasColumns,
  type MasterColumn,
  type MasterTable,
  OWN_PROPERTIES,
  REVISION,
  UPDATED,
} from './master-table.js';

/** Says what is wrong with the entity at hand, and how to mend it. */
export type Complain = (what: string, cure: string) => void;

/** The columns that travel and those that are tracked, from CQRS_FIELDS, CQRS_SERIALIZER and CQRS_TRACKED_FIELDS. */
export function chooseColumns(
  meta: EntityMetadata,
  /** The entities that travel under this id: `meta`, and its children without an id of their own. */
  members: readonly EntityMetadata[],
  table: MasterTable,
  complain: Complain,
): Pick<MasterDefinition, 'announced' | 'tracked'> {
  const statics = meta.class as MasterStatics;
  const columns = columnsOf(meta, members, table);
  const own = columns.filter((column) => !(column.property in OWN_PROPERTIES));
  const revision = columns.filter((column) => column.field === REVISION);
  const choose = (
    setting: 'CQRS_FIELDS' | 'CQRS_TRACKED_FIELDS',
    all: readonly MasterColumn[],
  ): readonly MasterColumn[] => {
    const names: unknown = statics[setting];
    if (names === '__all__') return all;
    if (Array.isArray(names)) return select(all, names, setting, [meta, ...members], complain);
    complain(`has a ${setting} that is no list.`, "Give it a list of property names, or '__all__'.");
    return [];
  };
  const announced = statics.CQRS_FIELDS === undefined ? own : choose('CQRS_FIELDS', [...own, ...revision]);
  const tracked = statics.CQRS_TRACKED_FIELDS === undefined ? [] : choose('CQRS_TRACKED_FIELDS', [...own, ...revision]);
  const travelling = announced.filter((column) => column.field !== REVISION);

  if (statics.CQRS_SERIALIZER !== undefined) checkSerializer(statics, complain);
  else checkAnnounced(travelling, table, Array.isArray(statics.CQRS_FIELDS), complain);
  checkTypes(statics.CQRS_SERIALIZER === undefined ? [...travelling, ...tracked] : tracked, complain);
  // A changed key is a DELETE and a SAVE: it has no former value to speak of.
  return { announced: travelling, tracked: tracked.filter((column) => !column.primary) };
}

function checkSerializer(
  { CQRS_FIELDS: fields, CQRS_SERIALIZER: serializer }: MasterStatics,
  complain: Complain,
): void {
  if (fields !== undefined && fields !== '__all__') {
    complain(
      'declares CQRS_FIELDS together with CQRS_SERIALIZER.',
      'Keep one: the serializer decides alone what travels.',
    );
  }
  if (typeof serializer !== 'function') {
    complain(
      'has a CQRS_SERIALIZER that is neither a function nor a class.',
      'Give it a function from the entity to its data.',
    );
  }
}

function checkAnnounced(
  announced: readonly MasterColumn[],
  table: MasterTable,
  listed: boolean,
  complain: Complain,
): void {
  const missing = new Set(
    table.keyColumns.filter((column) => !announced.includes(column)).map((column) => column.property),
  );
  if (listed && missing.size > 0) {
    const names = [...missing].map((name) => `'${name}'`).join(', ');
    complain(`does not list its key ${names} in CQRS_FIELDS.`, 'Add it: a replica cannot do without.');
  }
  const wires = new Map(
    Object.entries(OWN_PROPERTIES)
      .filter(([, field]) => field === REVISION || field === UPDATED)
      .map(([name, field]) => [field, name]),
  );
  for (const { wire, property } of announced) {
    const former = wires.get(wire);
    if (former)
      complain(
        `has two properties, '${former}' and '${property}', that are both called '${wire}' on the wire.`,
        'Rename one.',
      );
    wires.set(wire, property);
  }
}

function checkTypes(columns: readonly MasterColumn[], complain: Complain): void {
  for (const column of new Set(columns.filter(({ kind }) => kind.startsWith('unsupported')))) {
    complain(
      `has the property '${column.property}' of type ${column.type}, which cannot travel.`,
      'Leave it out with CQRS_FIELDS, or write a CQRS_SERIALIZER.',
    );
  }
}

/** The columns of the entities that travel under one id, the library's own included. */
function columnsOf(meta: EntityMetadata, members: readonly EntityMetadata[], table: MasterTable): MasterColumn[] {
  // The root of a single table has its children's properties too, marked as inherited.
  const declared = (one: EntityMetadata): EntityMetadata['props'] =>
    one.root === one && one.inheritanceType === 'sti' ? one.props.filter((property) => !property.inherited) : one.props;
  const fields = new Set(
    [meta, ...members]
      .flatMap(declared)
      .filter(hasColumns)
      .flatMap((property) => property.fieldNames),
  );
  return table.columns.filter((column) => fields.has(column.field));
}

/** Columns by property name, an inline embeddable standing for its leaves; everything else is a problem. */
function select(
  columns: readonly MasterColumn[],
  names: readonly unknown[],
  setting: string,
  metas: readonly EntityMetadata[],
  complain: Complain,
): MasterColumn[] {
  const chosen = new Set<MasterColumn>();
  const known = [...new Set(columns.map((column) => column.property))];
  for (const [index, given] of names.entries()) {
    const name = String(given);
    if (names.indexOf(given) !== index) {
      complain(`lists '${name}' twice in ${setting}.`, 'Remove one.');
      continue;
    }
    const property = metas
      .map((meta) => meta.properties[name as never] as EntityMetadata['props'][number] | undefined)
      .find(Boolean);
    const leaves = property?.kind === ReferenceKind.EMBEDDED && !property.object ? leafNames(property) : [name];
    const found = columns.filter((column) => leaves.includes(column.property));
    if (found.length === 0 && !(name in OWN_PROPERTIES)) {
      const why = property ? 'which has no column of its own' : `which it does not have`;
      complain(
        `lists '${name}' in ${setting}, ${why}.${property ? '' : didYouMean(name, known)}`,
        `Its properties: ${known.join(', ')}.`,
      );
    }
    for (const column of found) chosen.add(column);
  }
  return [...chosen];
}

function leafNames(property: EntityMetadata['props'][number]): string[] {
  return Object.values(property.embeddedProps).flatMap((leaf) =>
    leaf.kind === ReferenceKind.EMBEDDED && !leaf.object ? leafNames(leaf) : [leaf.name],
  );
}
