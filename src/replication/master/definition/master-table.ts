import { ReferenceKind, type EntityMetadata, type EntityProperty } from '@mikro-orm/core';
import { mayLose } from '../../../wire/exact-texts.js';
import { inUtc } from '../../../wire/times.js';
import { wireKind, type WireKind } from '../../../wire/values.js';
import { type DriverType, driverType } from './driver-values.js';
import type { Capture, CqrsSerializer, MasterHooks } from './master-statics.js';
import type { Definition } from '../../declare/registry.js';
import { readRecord } from './record-text.js';
import { RowSettings } from '../checks/session-settings.js';

/** One column of a master's table: how it is read and what it is called on the wire. */
export interface MasterColumn {
  /** The column in the database. */
  readonly field: string;
  /** The property it belongs to; an embeddable's leaf has a property of its own. */
  readonly property: string;
  /** Its key in `instance_data`. */
  readonly wire: string;
  /** The same as the beginning of a JSON member: `"name":`. */
  readonly member: string;
  /** Its place in a `RowImage`; -1 when it is not read. */
  position: number;
  readonly kind: WireKind;
  readonly type: string;
  readonly primary: boolean;
  /** It can hold a value that does not travel whole in JSON. */
  readonly mayLose: boolean;
  /** Whether values are equal only where they are spelt equally: not so for 1.0 and 1.00, or for citext. */
  readonly exact: boolean;
  /** Whether MikroORM reads it only when asked. */
  readonly lazy: boolean;
}

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

/** A row as PostgreSQL printed it, one text a column, in the order of `MasterTable.readColumns`. */
export type RowImage = readonly (string | null)[];

/** What a captured statement calls the row that it returns. */
const IMAGE = 'cqrs:row';

export const REVISION = 'cqrs_revision';
export const UPDATED = 'cqrs_updated';
export const INCARNATION = 'cqrs_incarnation';
/** The properties behind the three columns that belong to this library. */
export const OWN_PROPERTIES: Readonly<Record<string, string>> = {
  cqrsRevision: REVISION,
  cqrsUpdated: UPDATED,
  cqrsIncarnation: INCARNATION,
};

/**
 * The table of one or several masters (several under single-table inheritance): what a captured write reads back.
 * Everything is read as text, so that a payload has what the database has, to the last digit.
 */
export class MasterTable {
  readonly name: string;
  /** All of them, in declared order. */
  readonly columns: readonly MasterColumn[];
  readonly keyColumns: readonly MasterColumn[];
  /** What the driver is told of each column, in the order of `readColumns`: as declared, from start on as the database has it. */
  driverTypes: readonly DriverType[] = [];
  /** What the texts of its rows depend on. */
  settings: RowSettings;
  /** The discriminator of single-table inheritance, as a column and as a property. */
  readonly kindField?: string;
  readonly kindProperty?: string;
  /** Those that a captured statement reads back. */
  readColumns: readonly MasterColumn[] = [];
  /** `row("id"::text, …)::text as "cqrs:row"`: added to the RETURNING of every captured statement. */
  returning = '';
  /** The same for DELETE, where `cqrs_updated` becomes the time of the deletion. */
  returningDeleted = '';
  readonly #positions = new Map<string, number>();
  /** Where a time with a zone stands in a `RowImage`. */
  #times: readonly number[] = [];
  readonly #byKind = new Map<string, MasterDefinition>();
  #definition?: MasterDefinition;
  #rootDefinition?: MasterDefinition;

  constructor(
    /** The root of the inheritance tree, or the entity itself. */
    readonly root: EntityMetadata,
    /** All entities that live in this table. */
    entities: readonly EntityMetadata[],
    private readonly quote: (identifier: string) => string,
    /** A new incarnation, in SQL. */
    readonly nextIncarnation: string,
  ) {
    this.name = root.schema ? `${root.schema}.${root.tableName}` : root.tableName;
    this.columns = collectColumns(entities);
    this.keyColumns = root
      .getPrimaryProps()
      .flatMap((property) => property.fieldNames)
      .map((field) => this.columns.find((column) => column.field === field)!);
    this.settings = new RowSettings(root.className);
    this.kindProperty = root.discriminatorColumn as string | undefined;
    this.kindField = this.kindProperty && root.properties[this.kindProperty as never]?.['fieldNames'][0];
    this.read(() => true);
  }

  /**
   * Chooses the columns that captured statements read back. Keys, our own and the discriminator always are.
   * What does not travel is not read: it may be large, and the role may have no right to read it.
   */
  read(wanted: (column: MasterColumn) => boolean): void {
    const needed = (column: MasterColumn): boolean =>
      column.primary || column.field === this.kindField || column.property in OWN_PROPERTIES || wanted(column);
    this.readColumns = this.columns.filter(needed);
    this.#positions.clear();
    for (const column of this.columns) column.position = this.readColumns.indexOf(column);
    for (const { field, position } of this.readColumns) this.#positions.set(field, position);
    this.#times = this.readColumns.filter(({ kind }) => kind === 'datetime').map(({ position }) => position);
    this.settings = new RowSettings(this.root.className);
    this.learn(this.readColumns.map(({ type }) => driverType(type)));
  }

  /** Takes what the driver is told of each column. */
  learn(types: readonly DriverType[]): void {
    this.driverTypes = types;
    this.settings.add(types);
    const { constants } = this.settings;
    const read = (updated?: string): string =>
      `${this.#record((field) => this.quote(field), { updated, constants })} as "${IMAGE}"`;
    this.returning = read();
    this.returningDeleted = read(nextUpdated(this.quote(UPDATED)));
  }

  /** The image of the row called `alias`, in a function whose settings are those that rows travel under. */
  recordOf(alias: string, updated?: string): string {
    return this.#record((field) => `${alias}.${this.quote(field)}`, { updated, constants: [] });
  }

  #record(
    named: (field: string) => string,
    { updated, constants }: { updated: string | undefined; constants: readonly string[] },
  ): string {
    const printed = (column: MasterColumn): string => {
      if (updated !== undefined && column.field === UPDATED) return asText(column, updated);
      // The cast of an inet adds a netmask that its own output leaves out.
      return asText(column, /^inet$/i.test(column.type) ? `abbrev(${named(column.field)})` : named(column.field));
    };
    return `row(${[...this.readColumns.map(printed), ...constants].join(', ')})::text`;
  }

  /** Says which master the rows of this table are; with a discriminator value, for those rows alone. */
  assign(definition: MasterDefinition, discriminatorValue: string | number | undefined): void {
    if (this.kindField && discriminatorValue !== undefined) this.#byKind.set(String(discriminatorValue), definition);
    if (definition.meta === this.root) this.#rootDefinition = definition;
    this.#definition ??= definition;
  }

  /** The master a row belongs to: under single-table inheritance by its discriminator, the root's where that says nothing. */
  definitionOf(row: RowImage): MasterDefinition | undefined {
    if (!this.kindField) return this.#definition;
    const known = this.#byKind.get(this.value(row, this.kindField) ?? '');
    return known ?? (this.hasUnknownKind(row) ? this.#rootDefinition : undefined);
  }

  /** Whether a row's discriminator is null, or the value of no entity. */
  hasUnknownKind(row: RowImage): boolean {
    if (!this.kindField) return false;
    const kind = this.value(row, this.kindField);
    return kind === null || !Object.hasOwn(this.root.discriminatorMap ?? {}, kind);
  }

  /** Whether the discriminator of a row changed, and with it perhaps the master that it belongs to. */
  changesKind(former: RowImage, row: RowImage): boolean {
    return this.kindField !== undefined && this.value(former, this.kindField) !== this.value(row, this.kindField);
  }

  /** True when some master of this table needs rows as they were before the transaction. */
  needsBefore = false;

  /** How its writes are captured. */
  capture: Capture = 'driver';

  /**
   * Reads, and removes, our column from a returned database row.
   * @throws SessionSettingError when the session prints otherwise than replicas read.
   */
  takeImage(row: Record<string, unknown>): RowImage {
    const image = this.imageOf(row[IMAGE] as string);
    delete row[IMAGE];
    return image;
  }

  /**
   * The same of the text alone. Times with a zone are those of UTC, whatever the zone of the session: a row keeps its key,
   * and only what has changed differs.
   */
  imageOf(text: string): RowImage {
    const image = readRecord(text);
    const width = this.readColumns.length;
    this.settings.check(image, width, this.#positions.get(UPDATED)!);
    image.length = width;
    return this.inUtc(image);
  }

  /** A row whose times with a zone are those of UTC. */
  inUtc(image: (string | null)[]): RowImage {
    for (const position of this.#times) {
      const time = image[position];
      if (time && !time.endsWith('+00')) image[position] = inUtc(time);
    }
    return image;
  }

  value(row: RowImage, field: string): string | null {
    return row[this.#positions.get(field)!] ?? null;
  }

  /** The row with one column replaced. */
  withValue(row: RowImage, field: string, value: string): RowImage {
    return row.with(this.#positions.get(field)!, value);
  }

  /** The primary key as text: `["7"]` and `["7","b"]`, the same for every way the row was written. */
  keyOf(row: RowImage): string {
    const [only, ...others] = this.keyColumns;
    if (others.length === 0 && only!.kind === 'integer') return `["${row[only!.position]}"]`;
    return JSON.stringify(this.keyValues(row));
  }

  keyValues(row: RowImage): string[] {
    return this.keyColumns.map((column) => row[column.position]!);
  }

  revision(row: RowImage): number {
    return Number(this.value(row, REVISION));
  }

  incarnation(row: RowImage): number {
    return Number(this.value(row, INCARNATION));
  }
}

/** The time of a change, in SQL: later than the former one even when the clock was set back. */
export function nextUpdated(former: string): string {
  return `greatest(clock_timestamp(), ${former} + interval '1 microsecond')`;
}

// A cast takes the blanks at the end of a `bpchar`, which a record keeps. Keys have none, in whatever form they come.
function asText({ type, primary }: MasterColumn, expression: string): string {
  return !primary && /^bpchar$/i.test(type) ? expression : `${expression}::text`;
}

const EXACT =
  /^(?:(?:small|big)?int(?:eger|\d)?|(?:small|big)?serial\d?|uuid|text|(?:character varying|varchar)\b.*|date|timestamp.*|bytea|bool(?:ean)?)$/i;

function collectColumns(entities: readonly EntityMetadata[]): MasterColumn[] {
  const columns = new Map<string, MasterColumn>();
  for (const meta of entities) {
    for (const property of meta.props.filter(hasColumns)) {
      property.fieldNames.forEach((field, index) => {
        if (columns.has(field)) return;
        const type = property.columnTypes?.[index] ?? 'text';
        const wire = property.fieldNames.length > 1 ? `${wireName(property)}_${index}` : wireName(property);
        columns.set(field, {
          field,
          property: property.name,
          wire,
          member: `${JSON.stringify(wire)}:`,
          position: columns.size,
          kind: wireKind(type),
          type,
          primary: property.primary === true,
          mayLose: mayLose(wireKind(type)),
          exact: EXACT.test(type),
          lazy: property.lazy === true,
        });
      });
    }
  }
  return [...columns.values()];
}

/** Whether a property is stored in columns of its entity's own table. */
export function hasColumns(property: EntityProperty): boolean {
  return (
    property.persist !== false &&
    property.fieldNames?.length > 0 &&
    !property.formula &&
    !(property.kind === ReferenceKind.EMBEDDED && !property.object) &&
    property.kind !== ReferenceKind.ONE_TO_MANY &&
    property.kind !== ReferenceKind.MANY_TO_MANY &&
    !(property.kind === ReferenceKind.ONE_TO_ONE && !property.owner)
  );
}

/** `createdAt` → `created_at`; a relation keeps its own name (`owner`, not `owner_id`), as in django-cqrs. */
export function wireName(property: { readonly name: string }): string {
  return property.name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
}

/** True when a message of this master cannot be built from columns alone. */
export function needsEntity(definition: MasterDefinition): boolean {
  const { hooks, serializer } = definition;
  return Boolean(serializer ?? hooks.isSyncInstance ?? hooks.getCqrsMeta ?? hooks.getCustomCqrsDeleteData);
}
