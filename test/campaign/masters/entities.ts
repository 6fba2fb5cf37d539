import {
  Cascade,
  type Collection,
  defineEntity,
  type EntityClass,
  type EntitySchema,
  type Opt,
  p,
  type PrimaryKeyProp,
} from '@mikro-orm/postgresql';
import { MasterEntity } from '../../../src/index.js';

/**
 * The masters of the campaign: foreign keys in both directions, references to itself, cycles, keys of several kinds,
 * unique values that swap, one table for several classes, embeddables, JSON, rows that are not replicated.
 * Each row says in `note` which step of which client wrote it last.
 */

/** Its key is a text that changes; `memo` does not travel. */
export class Org extends MasterEntity {
  static override CQRS_ID = 'org';
  static override CQRS_FIELDS = ['code', 'name', 'rank', 'head', 'note'] as const;
  static override CQRS_TRACKED_FIELDS = ['name', 'rank'] as const;
  declare [PrimaryKeyProp]?: 'code';
  declare code: string;
  declare name: string;
  declare rank: number | null;
  declare head: Person | null;
  declare memo: string | null;
  declare note: string;
  declare items: Collection<Item>;
}

export class Address {
  declare street: string;
  declare city: string | null;
}

export class Preferences {
  declare theme: string;
  declare level: number | null;
}

/** Rows of several tenants, told apart by a filter. */
export class Person extends MasterEntity {
  static override CQRS_ID = 'person';
  declare id: Opt<number>;
  declare email: string | null;
  declare name: string;
  declare tenant: string;
  declare org: Org | null;
  declare manager: Person | null;
  declare home: Address | null;
  declare preferences: Preferences | null;
  declare note: string;
  declare badges: Collection<Badge>;
}

/** Removed with the collection that it leaves. */
export class Badge extends MasterEntity {
  static override CQRS_ID = 'badge';
  declare id: Opt<number>;
  declare person: Person | null;
  declare label: string;
  declare note: string;
}

/** Its key has two columns, one of them a relation; hidden rows are not replicated; two rows may swap their slots. */
export class Item extends MasterEntity {
  static override CQRS_ID = 'item';
  static override CQRS_TRACKED_FIELDS = ['v', 'slot'] as const;
  declare [PrimaryKeyProp]?: ['org', 'n'];
  declare org: Org;
  declare n: number;
  declare slot: number | null;
  declare v: number;
  declare hidden: Opt<boolean>;
  declare note: string;

  override isSyncInstance(): boolean {
    return !this.hidden;
  }
}

/** One column of each kind. */
export class Doc extends MasterEntity {
  static override CQRS_ID = 'doc';
  static override CQRS_TRACKED_FIELDS = ['data', 'at', 'amount'] as const;
  declare id: string;
  declare title: string | null;
  declare data: unknown;
  declare amount: string | null;
  declare at: Date | null;
  declare bin: Buffer | null;
  declare tags: string[] | null;
  declare f: number | null;
  declare note: string;
}

/** Several classes in one table: cats travel under the id of animals, dogs under their own. */
export class Animal extends MasterEntity {
  static override CQRS_ID = 'animal';
  static override CQRS_TRACKED_FIELDS: readonly string[] = ['name'];
  declare id: number;
  declare kind: Opt<string>;
  declare name: string;
  declare v: number;
  declare note: string;
}
export class Cat extends Animal {
  declare lives: number | null;
}
export class Dog extends Animal {
  static override CQRS_ID = 'dog';
  declare barks: boolean | null;
}

/** Its key is a date; days that are closed are not replicated. */
export class Day extends MasterEntity {
  static override CQRS_ID = 'day';
  static override CQRS_TRACKED_FIELDS = ['load'] as const;
  declare [PrimaryKeyProp]?: 'day';
  declare day: string;
  declare load: number;
  declare open: boolean;
  declare note: string;

  override isSyncInstance(): boolean {
    return this.open;
  }
}

/** A tree that is removed with its root, with edges across it; a hook changes what is flushed. */
export class Node extends MasterEntity {
  static override CQRS_ID = 'node';
  declare id: string;
  declare label: string | null;
  declare v: number;
  declare parent: Node | null;
  declare twin: Node | null;
  declare note: string;
  declare children: Collection<Node>;
}

/** Written by a subscriber only. */
export class Stat extends MasterEntity {
  static override CQRS_ID = 'stat';
  declare id: string;
  declare count: number;
  declare note: string;
}

/** Written by raw SQL and psql, apart from all others as long as the capture mode does not see these. */
export class Loose extends MasterEntity {
  static override CQRS_ID = 'loose';
  declare id: number;
  declare v: number;
  declare note: string;
}

/** No master: the subscriber's own notes. */
export class Audit {
  declare id: Opt<number>;
  declare text: string;
}

const AddressSchema = defineEntity({
  class: Address,
  embeddable: true,
  properties: { street: p.string(), city: p.string().nullable() },
} as never);
const PreferencesSchema = defineEntity({
  class: Preferences,
  embeddable: true,
  properties: { theme: p.string(), level: p.integer().nullable() },
} as never);

const note = p.string().default('');
/** No write of the database's own, but where `operations/database.ts` makes some: every cascade here is MikroORM's. */
const noAction = { deleteRule: 'no action', updateRule: 'no action' } as const;
const to = (entity: Function): ReturnType<typeof p.manyToOne> =>
  p
    .manyToOne(entity as never)
    .deleteRule(noAction.deleteRule)
    .updateRule(noAction.updateRule) as never;

function table(entity: Function, tableName: string, properties: object, options: object = {}): EntitySchema {
  const base = Object.getPrototypeOf(entity) as unknown;
  return defineEntity({ class: entity, extends: base, tableName, properties, ...options } as never) as never;
}

const schemas = [
  table(Org, 'c_org', {
    code: p.string().primary(),
    name: p.string(),
    rank: p.integer().nullable(),
    head: () => to(Person).nullable(),
    memo: p.text().nullable().lazy(),
    note,
    items: () => p.oneToMany(Item as never).mappedBy('org' as never),
  }),
  table(Person, 'c_person', {
    id: p.integer().primary(),
    email: p.string().nullable().unique(),
    name: p.string(),
    tenant: p.string(),
    org: () => to(Org).nullable(),
    manager: () => to(Person).nullable(),
    home: () => p.embedded(AddressSchema as never).nullable(),
    preferences: () =>
      p
        .embedded(PreferencesSchema as never)
        .object()
        .nullable(),
    note,
    badges: () =>
      p
        .oneToMany(Badge as never)
        .mappedBy('person' as never)
        .orphanRemoval(),
  }),
  table(Badge, 'c_badge', {
    id: p.integer().primary(),
    person: () => to(Person).nullable(),
    label: p.string(),
    note,
  }),
  table(Item, 'c_item', {
    org: () => to(Org).primary(),
    n: p.integer().primary(),
    slot: p.integer().nullable().unique(),
    v: p.integer(),
    hidden: p.boolean().default(false),
    note,
  }),
  table(Doc, 'c_doc', {
    id: p.bigint('string').primary(),
    title: p.text().nullable(),
    data: p.json().nullable(),
    amount: p.decimal().precision(20).scale(6).nullable(),
    at: p.datetime().columnType('timestamptz(6)').nullable(),
    bin: p.blob().nullable(),
    tags: p.array().nullable(),
    f: p.double().nullable(),
    note,
  }),
  table(
    Animal,
    'c_animal',
    {
      id: p.integer().primary().autoincrement(false),
      kind: p.enum(['animal', 'cat', 'dog']),
      name: p.string(),
      v: p.integer(),
      note,
    },
    { discriminatorColumn: 'kind', discriminatorValue: 'animal' },
  ),
  defineEntity({
    class: Cat,
    extends: Animal,
    discriminatorValue: 'cat',
    properties: { lives: p.integer().nullable() },
  } as never),
  defineEntity({
    class: Dog,
    extends: Animal,
    discriminatorValue: 'dog',
    properties: { barks: p.boolean().nullable() },
  } as never),
  table(Day, 'c_day', { day: p.date().primary(), load: p.integer(), open: p.boolean(), note }),
  table(
    Node,
    'c_node',
    {
      id: p.uuid().primary(),
      label: p.string().nullable(),
      v: p.integer(),
      parent: () => to(Node).nullable(),
      twin: () => to(Node).nullable(),
      note,
      children: () =>
        p
          .oneToMany(Node as never)
          .mappedBy('parent' as never)
          .cascade(Cascade.PERSIST, Cascade.REMOVE),
    },
    {
      hooks: {
        beforeUpdate: [({ entity }: { entity: Node }): void => void (entity.v > 80 && (entity.label = 'high'))],
      },
    },
  ),
  table(Stat, 'c_stat', { id: p.string().primary(), count: p.integer(), note }),
  table(Loose, 'c_loose', { id: p.integer().primary().autoincrement(false), v: p.integer(), note }),
];

export const AuditSchema = defineEntity({
  class: Audit,
  tableName: 'c_audit',
  properties: { id: p.integer().primary(), text: p.string() },
} as never);

export const MASTERS = [...schemas, AuditSchema] as unknown as (EntityClass<object> | EntitySchema)[];
