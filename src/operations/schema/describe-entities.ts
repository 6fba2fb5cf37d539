import type { NamingStrategy } from '@mikro-orm/core';
import { wireKind } from '../../wire/values.js';
import type { CatalogueColumn, CatalogueIndex, CatalogueReference, CatalogueTable } from './catalogue.js';
import { columnType, type Identifier } from './declared-column.js';

/** Tables → what the classes of their entities have to say, so that the schema generator finds nothing to change. */

export type Role = 'master' | 'replica';

/** What a table becomes; a table without one becomes an entity that is not replicated. */
export interface Replicated {
  readonly role: Role;
  readonly cqrsId: string;
}

export interface DescribedEntity {
  readonly className: string;
  readonly table: CatalogueTable;
  readonly replicated: Replicated | undefined;
  /** Of `@Entity`. */
  readonly options: Options;
  /** `@Unique`, `@Index` and `@Check` of the class. */
  readonly decorators: readonly { readonly name: string; readonly options: Options }[];
  readonly properties: readonly DescribedProperty[];
}

export interface DescribedProperty {
  readonly name: string;
  readonly decorator: 'PrimaryKey' | 'Property' | 'ManyToOne';
  /** The class that a relation refers to. */
  readonly target: string | undefined;
  readonly options: Options;
  readonly type: string;
  readonly nullable: boolean;
  /** Whether the database has a value where none is given. */
  readonly optional: boolean;
  /** Whether messages can have its value. */
  readonly travels: boolean;
  /** Whether the database computes it from other columns. */
  readonly computed: boolean;
}

export type Options = Readonly<Record<string, string | number | boolean | readonly string[] | Identifier>>;

/** The columns that come with the base class of a master or replica. */
const OWN = new Set(['cqrs_revision', 'cqrs_updated', 'cqrs_incarnation']);

/** How identity columns are called in an option of MikroORM's. */
const IDENTITY = { always: 'identity', 'by default': 'by default as identity' } as const;

/** Names that mean something else in the module. */
const USED =
  'Buffer Check Date Entity FieldsOf Index ManyToOne MasterEntity NestedArray Opt PrimaryKey PrimaryKeyProp Property ReplicaEntity Type Unique';

export function describeEntities(
  tables: readonly CatalogueTable[],
  replicated: ReadonlyMap<CatalogueTable, Replicated>,
  naming: NamingStrategy,
): DescribedEntity[] {
  const names = uniqueNames(
    tables.map((table) => ({ of: table, name: className(table, naming) })),
    USED.split(' '),
  );
  const classOf = (schema: string, name: string): { table: CatalogueTable; className: string } | undefined => {
    const table = tables.find((one) => one.schema === schema && one.name === name);
    return table && { table, className: names.get(table)! };
  };
  return tables.map((table) =>
    new Description(table, replicated.get(table), naming, classOf).entity(names.get(table)!),
  );
}

type ClassOf = (schema: string, name: string) => { table: CatalogueTable; className: string } | undefined;

class Description {
  readonly #properties: ReadonlyMap<CatalogueColumn, string>;
  readonly #columns: readonly CatalogueColumn[];
  /** Indexes that are said with their property. */
  readonly #said = new Set<CatalogueIndex>();

  constructor(
    private readonly table: CatalogueTable,
    private readonly replicated: Replicated | undefined,
    private readonly naming: NamingStrategy,
    private readonly classOf: ClassOf,
  ) {
    this.#columns = table.columns.filter(({ name }) => !replicated || !OWN.has(name));
    this.#properties = propertyNames(this.#columns, table, naming);
  }

  entity(name: string): DescribedEntity {
    const { table, replicated } = this;
    const properties = this.#columns.map((column) => this.#property(column));
    return {
      className: name,
      table,
      replicated,
      options: {
        tableName: table.name,
        ...(table.schema === 'public' ? {} : { schema: table.schema }),
        ...(table.comment === null ? {} : { comment: table.comment }),
      },
      decorators: [
        ...table.indexes.filter((index) => !this.#said.has(index)).map((index) => this.#index(index)),
        ...table.checks.map(({ name: check, expression }) => ({
          name: 'Check',
          options: { name: check, expression },
        })),
      ],
      properties,
    };
  }

  #property(column: CatalogueColumn): DescribedProperty {
    const name = this.#properties.get(column)!;
    const primary = this.table.key.includes(column.name);
    const options = { ...this.#about(column, primary), ...this.#indexed(column) };
    const common = {
      name,
      nullable: column.nullable,
      optional: isOptional(column),
      travels: travels(column),
      computed: column.generated !== null,
    };
    const reference = this.#relation(column);
    if (reference) return { ...common, ...this.#relationOptions(column, name, reference, { primary, options }) };
    const { options: type, property } = columnType(column);
    const renamed: Options = this.naming.propertyToColumnName(name) === column.name ? {} : { fieldName: column.name };
    return {
      ...common,
      decorator: primary ? 'PrimaryKey' : 'Property',
      target: undefined,
      options: { ...renamed, ...type, ...options },
      type: property,
    };
  }

  /** What is said of a column whether it is a relation or not. */
  #about(column: CatalogueColumn, primary: boolean): Options {
    const numbers = primary && this.table.key.length === 1 && /^(smallint|integer|bigint)$/.test(column.type);
    return {
      ...(column.nullable ? { nullable: true } : {}),
      // Without its column type MikroORM makes a `bigserial` of it.
      ...(column.identity ? { columnType: column.type, generated: IDENTITY[column.identity] } : {}),
      ...(column.generated === null ? {} : { generated: `${column.generated} stored` }),
      ...(column.serial ? { autoincrement: true } : numbers && !column.identity ? { autoincrement: false } : {}),
      ...(column.default === null || column.serial ? {} : { defaultRaw: column.default }),
      ...(column.collation === null ? {} : { collation: column.collation }),
      ...(column.comment === null ? {} : { comment: column.comment }),
    };
  }

  /** A plain index and a plain unique constraint over this column alone are options of its property. */
  #indexed(column: CatalogueColumn): Options {
    const options: Record<string, string> = {};
    for (const index of this.table.indexes) {
      if (!index.plain || index.deferrable || index.columns?.length !== 1 || index.columns[0] !== column.name) continue;
      const option = index.constraint ? 'unique' : 'index';
      if (option in options || index.unique !== index.constraint) continue;
      // There its deferMode would be that of the foreign key.
      if (index.unique && this.#relation(column)) continue;
      options[option] = index.name;
      this.#said.add(index);
    }
    return options;
  }

  /** A foreign key of this column alone. Others stay as they are in the database, and their columns plain ones. */
  #relation(column: CatalogueColumn): CatalogueReference | undefined {
    return this.table.references.find(({ columns }) => columns.length === 1 && columns[0] === column.name);
  }

  #relationOptions(
    column: CatalogueColumn,
    name: string,
    reference: CatalogueReference,
    { primary, options }: { primary: boolean; options: Options },
  ): Pick<DescribedProperty, 'decorator' | 'target' | 'options' | 'type'> {
    const { table: target, className: targetClass } = this.classOf(reference.toSchema, reference.toTable)!;
    const [toColumn = ''] = reference.toColumns;
    const key = target.key.length === 1 && target.key[0] === toColumn;
    const targetKey = key ? undefined : propertyNames(target.columns, target, this.naming);
    const aimed = target.columns.find((one) => one.name === toColumn)!;
    const joined: Options =
      this.naming.joinKeyColumnName(name, toColumn) === column.name ? {} : { joinColumn: column.name };
    return {
      decorator: 'ManyToOne',
      target: targetClass,
      options: {
        ...(primary ? { primary } : {}),
        ...joined,
        ...(targetKey ? { targetKey: targetKey.get(aimed)! } : {}),
        ...options,
        foreignKeyName: reference.name,
        deleteRule: reference.onDelete,
        updateRule: reference.onUpdate,
        ...(reference.deferrable ? { deferMode: reference.deferrable } : {}),
      },
      type: targetClass,
    };
  }

  /** An index that is no option of a property: by its properties where that says all, else in PostgreSQL's own words. */
  #index(index: CatalogueIndex): DescribedEntity['decorators'][number] {
    const { name, plain, unique, constraint, deferrable, definition } = index;
    const properties = index.columns?.map((column) => this.#propertyOf(column));
    if (!plain || !properties?.every((property) => property !== undefined) || unique !== constraint) {
      return { name: 'Index', options: { name, expression: definition } };
    }
    return {
      name: unique ? 'Unique' : 'Index',
      options: { name, properties, ...(deferrable ? { deferMode: deferrable } : {}) },
    };
  }

  #propertyOf(column: string): string | undefined {
    const found = this.#columns.find(({ name }) => name === column);
    return found && this.#properties.get(found);
  }
}

function travels({ type }: CatalogueColumn): boolean {
  return !wireKind(type).startsWith('unsupported');
}

function isOptional({ nullable, default: fallback, generated, identity, serial }: CatalogueColumn): boolean {
  return nullable || fallback !== null || generated !== null || identity !== null || serial;
}

function propertyNames(
  columns: readonly CatalogueColumn[],
  table: CatalogueTable,
  naming: NamingStrategy,
): Map<CatalogueColumn, string> {
  const relations = new Set(
    table.references.flatMap(({ columns: [column, ...others] }) => (others.length > 0 ? [] : column)),
  );
  return uniqueNames(
    columns.map((column) => ({
      of: column,
      name: propertyName(relations.has(column.name) ? column.name.replace(/_id$/, '') : column.name, naming),
    })),
  );
}

function propertyName(column: string, naming: NamingStrategy): string {
  const name = naming.columnNameToProperty(words(column).toLowerCase());
  return /^[a-z_$]/i.test(name) ? name : `_${name}`;
}

function className(table: CatalogueTable, naming: NamingStrategy): string {
  const name = naming.getEntityName(words(table.name));
  return /^[a-z_$]/i.test(name) ? name : `_${name}`;
}

/** `Place Code` → `Place_Code`: what is left of a name where only letters, digits and underscores may stand. */
function words(name: string): string {
  return name.replace(/[^\p{L}\p{N}]+/gu, '_').replace(/^_+|_+$/g, '');
}

function uniqueNames<T>(
  wanted: readonly { readonly of: T; readonly name: string }[],
  used: Iterable<string> = [],
): Map<T, string> {
  const taken = new Set(used);
  const names = new Map<T, string>();
  for (const { of, name } of wanted) {
    let free = name;
    for (let count = 2; taken.has(free); count++) free = `${name}${count}`;
    taken.add(free);
    names.set(of, free);
  }
  return names;
}
