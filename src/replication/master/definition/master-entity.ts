import {
  type AnyEntity,
  defineEntity,
  type EntityManager,
  type EntitySchema,
  helper,
  type Hidden,
  type Opt,
  p,
} from '@mikro-orm/core';
import { EXTENSION } from '../../../kernel/extension.js';
import { ConfigurationError } from '../../../kernel/errors.js';
import type { MetaContext } from '../../../kernel/settings.js';
import type { WireObject, WireValue } from '../../../wire/values.js';
import { nextIncarnation } from '../../../messaging/outbox/incarnations.js';
import type { MasterManager } from '../bulk.js';
import { type CqrsSerializer, isMaster, MASTER, type MasterStatics, type Capture } from './master-statics.js';
import type { MasterRuntime } from '../master-runtime.js';

/**
 * The properties of an entity that can travel, for `static CQRS_FIELDS = […] as const satisfies FieldsOf<Account>`:
 * all but methods, collections and what every master has.
 */
export type FieldsOf<Entity> = readonly {
  [Name in Exclude<Extract<keyof Entity, string>, keyof MasterMembers>]: Entity[Name] extends
    | ((...args: never[]) => unknown)
    | { isInitialized(fully?: boolean): boolean; removeAll(): void }
    ? never
    : Name;
}[Exclude<Extract<keyof Entity, string>, keyof MasterMembers>][];

/**
 * The three columns that come with a master; spread them into `defineEntity({ properties })` where no base class fits.
 * They are hidden: no JSON of an entity has them.
 */
export const masterProperties = {
  cqrsRevision: p.integer().name('cqrs_revision').defaultRaw('0').hidden(),
  cqrsUpdated: p.datetime().name('cqrs_updated').columnType('timestamptz(6)').defaultRaw('clock_timestamp()').hidden(),
  cqrsIncarnation: p
    .bigint('number')
    .name('cqrs_incarnation')
    .hidden()
    .defaultRaw(nextIncarnation('"cqrs_outbox_id_seq"')),
};

/** What a master's instances have besides their own columns. */
export interface MasterMembers {
  /** Counts the changes of this row, from 0. Moved by the database with every write; what you assign is ignored. */
  cqrsRevision: Opt<Hidden<number>>;
  /** When the row last changed, by the database's clock. Milliseconds here, microseconds in the database. */
  cqrsUpdated: Opt<Date>;
  /** Numbers the incarnations of this key: a row deleted and created again has a greater one. */
  cqrsIncarnation: Opt<Hidden<number>>;

  /**
   * Whether this row is replicated. Called on the row as the database returned it, for flush and bulk alike.
   * A row that ceases to match is deleted on replicas. Default: true.
   */
  isSyncInstance(): boolean;
  /** Extra JSON that travels with each message of this row. Default: the setting `master.metaFunction`. */
  getCqrsMeta(context: MetaContext): WireValue;
  /** Extra JSON that travels with the DELETE of this row, under `custom`. Default: none. */
  getCustomCqrsDeleteData(): WireValue | undefined;
  /**
   * This entity as it is in memory, in the form in which its row travels: its fields, or what the serializer answers.
   * @param options.em default: the EntityManager that loaded it; mandatory for a new entity that is not persisted.
   *   `sync`: true for the form of a SYNC (the same today).
   */
  toCqrsDict(options?: { em?: EntityManager; sync?: boolean }): Promise<WireObject>;
  /** Former values of tracked fields that differ from what was loaded; null when nothing is tracked or the row is new. */
  getTrackedFieldsData(options?: { em?: EntityManager }): WireObject | null;
  /**
   * Sends the row's present state in the database as a SYNC, to every replica or to one queue.
   * @returns false when the row is not persisted, is gone, or does not match `isSyncInstance` (then a DELETE is sent).
   */
  cqrsSync(options?: { em?: EntityManager; queue?: string }): Promise<boolean>;
}

// TypeScript wants exactly this of a base that a mixin extends.
// oxlint-disable-next-line typescript/no-explicit-any
type AbstractConstructor<T = object> = abstract new (...args: any[]) => T;

/** The statics that come with a master's class. */
export interface MasterClass {
  /** The name under which this entity travels; the same on every replica. */
  readonly CQRS_ID?: string;
  /** False: declared, but nothing is sent. Default true. */
  readonly CQRS_PRODUCE: boolean;
  /** Where writes are captured: at MikroORM's driver, or by triggers in the database. Default: `settings.master.capture`. */
  readonly CQRS_CAPTURE?: Capture;
  /** The properties that travel, the key among them. Default: all. */
  readonly CQRS_FIELDS: '__all__' | readonly string[];
  /** Decides what travels instead of CQRS_FIELDS. */
  readonly CQRS_SERIALIZER?: CqrsSerializer;
  /** Properties whose former values travel as `previous_data`. Default: none. */
  readonly CQRS_TRACKED_FIELDS?: '__all__' | readonly string[];
  /** MikroORM's populate hint for what the serializer needs; loaded once for all rows of a transaction. */
  relateCqrsSerialization(): readonly string[] | undefined;
  /** Bulk operations that announce every row they really changed. */
  cqrs<T extends object>(this: AbstractConstructor<T>, em: EntityManager): MasterManager<T>;
  /** Announces rows that raw SQL inserted, as they are in the database, in the transaction of `em`. */
  callPostBulkCreate<T extends object>(
    this: AbstractConstructor<T>,
    rows: readonly Partial<T>[],
    options: { em: EntityManager },
  ): Promise<number>;
  /** Announces rows that raw SQL changed, moving their revision, in the transaction of `em`. */
  callPostUpdate<T extends object>(
    this: AbstractConstructor<T>,
    rows: readonly Partial<T>[],
    options: { em: EntityManager },
  ): Promise<number>;
}

/**
 * Makes a master of your own base class: `class Account extends Master(MyBase) { static CQRS_ID = 'account' }`.
 * The same base gives the same class each time. Registers the three columns with MikroORM; needs no decorators.
 */
export function Master<Base extends AbstractConstructor>(
  base: Base,
): Base & AbstractConstructor<MasterMembers> & MasterClass {
  const known = Object.hasOwn(base, MIXED) ? (base as { [MIXED]?: unknown })[MIXED] : undefined;
  if (known) return known as never;
  const mixed = mix(base, `Master(${base.name})`);
  Object.defineProperty(base, MIXED, { value: mixed });
  defineEntity({ class: mixed, abstract: true, extends: base, properties: masterProperties } as never);
  return mixed as never;
}

const MIXED = Symbol('Master');

function mix(base: AbstractConstructor, name: string): AbstractConstructor<MasterMembers> {
  abstract class Mixed extends (base as AbstractConstructor) {
    static readonly [MASTER] = true;
    static CQRS_PRODUCE = true;
    static CQRS_FIELDS: '__all__' | readonly string[] = '__all__';
    // `declare`: no compiler may emit a class field, it would hide MikroORM's accessors
    declare cqrsRevision: Opt<Hidden<number>>;
    declare cqrsUpdated: Opt<Date>;
    declare cqrsIncarnation: Opt<Hidden<number>>;

    static relateCqrsSerialization(): readonly string[] | undefined {
      return undefined;
    }

    static cqrs<T extends object>(this: AbstractConstructor<T>, em: EntityManager): MasterManager<T> {
      return runtimeOf(em, this).manager(this, em);
    }

    static callPostBulkCreate(rows: readonly object[], { em }: { em: EntityManager }): Promise<number> {
      return runtimeOf(em, this).announceRows(this, em, rows, 'created');
    }

    static callPostUpdate(rows: readonly object[], { em }: { em: EntityManager }): Promise<number> {
      return runtimeOf(em, this).announceRows(this, em, rows, 'updated');
    }

    isSyncInstance(): boolean {
      return true;
    }

    getCqrsMeta(_context: MetaContext): WireValue {
      return {};
    }

    getCustomCqrsDeleteData(): WireValue | undefined {
      return undefined;
    }

    async toCqrsDict({ em = managerOf(this) }: { em?: EntityManager; sync?: boolean } = {}): Promise<WireObject> {
      return runtimeOf(em, this.constructor).toDict(this, em!);
    }

    getTrackedFieldsData({ em = managerOf(this) }: { em?: EntityManager } = {}): WireObject | null {
      return runtimeOf(em, this.constructor).trackedData(this, em!);
    }

    cqrsSync({ em = managerOf(this), queue }: { em?: EntityManager; queue?: string } = {}): Promise<boolean> {
      return runtimeOf(em, this.constructor).syncEntity(this, em!, queue ?? null);
    }
  }
  // A method that still carries the mark was not overridden, and costs nothing.
  for (const method of ['isSyncInstance', 'getCqrsMeta', 'getCustomCqrsDeleteData'] as const) {
    Object.defineProperty(Mixed.prototype[method], MASTER, { value: true });
  }
  Object.defineProperty(Mixed, 'name', { value: name });
  return Mixed;
}

const Base = mix(Object as never, 'MasterEntity') as unknown as AbstractConstructor<MasterMembers> & MasterClass;

/**
 * The base of a master: `class Account extends MasterEntity { static CQRS_ID = 'account' … }`, with decorators or
 * `defineEntity({ extends: MasterEntity })`. Every committed change of its rows is announced.
 */
export abstract class MasterEntity extends Base {}
defineEntity({ class: MasterEntity, abstract: true, properties: masterProperties } as never);

/** What `master()` takes, for entities that are declared without a class of their own. */
export interface MasterOptions<Entity> {
  id: string;
  produce?: boolean;
  capture?: Capture;
  fields?: '__all__' | FieldsOf<Entity>;
  trackedFields?: '__all__' | FieldsOf<Entity>;
  serializer?: (entity: Entity) => object | Promise<object>;
  populate?: readonly string[];
  isSyncInstance?: (entity: Entity) => boolean;
  getCqrsMeta?: (entity: Entity, context: MetaContext) => WireValue;
  getCustomCqrsDeleteData?: (entity: Entity) => WireValue | undefined;
}

/**
 * Makes a master of an entity that is declared without a class of its own, with
 * `defineEntity({ extends: MasterEntity, … })` or `defineEntity({ properties: { ...masterProperties, … } })`.
 * @returns the same schema, for `entities: [master(AccountSchema, { id: 'account' })]`.
 */
export function master<Schema extends { meta: EntitySchema['meta'] }>(
  schema: Schema,
  options: MasterOptions<InferSchema<Schema>>,
): Schema {
  type Entity = InferSchema<Schema>;
  const entity = schema.meta.class as Function;
  const prototype = entity.prototype as object;
  const define = (owner: object, name: PropertyKey, value: unknown): void => {
    if (value !== undefined) Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  };
  if (!isMaster(entity)) {
    lend(Base, entity);
    lend(Base.prototype as object, prototype);
  }
  const statics: Record<keyof MasterStatics, unknown> = {
    CQRS_ID: options.id,
    CQRS_PRODUCE: options.produce,
    CQRS_CAPTURE: options.capture,
    CQRS_FIELDS: options.fields,
    CQRS_TRACKED_FIELDS: options.trackedFields,
    CQRS_SERIALIZER: options.serializer,
    relateCqrsSerialization: options.populate && ((): readonly string[] => options.populate!),
  };
  for (const [name, value] of Object.entries(statics)) define(entity, name, value);
  const { isSyncInstance, getCqrsMeta, getCustomCqrsDeleteData } = options;
  const methods = {
    isSyncInstance:
      isSyncInstance &&
      function (this: Entity) {
        return isSyncInstance(this);
      },
    getCqrsMeta:
      getCqrsMeta &&
      function (this: Entity, context: MetaContext) {
        return getCqrsMeta(this, context);
      },
    getCustomCqrsDeleteData:
      getCustomCqrsDeleteData &&
      function (this: Entity) {
        return getCustomCqrsDeleteData(this);
      },
  };
  for (const [name, method] of Object.entries(methods)) define(prototype, name, method);
  return schema;
}

/** Gives a class that does not extend `MasterEntity` what it would have inherited, except what it has itself. */
function lend(from: object, to: object): void {
  for (const name of Reflect.ownKeys(from)) {
    if (!(name in to)) Object.defineProperty(to, name, Object.getOwnPropertyDescriptor(from, name)!);
  }
}

/**
 * The class of a schema made with `defineEntity({ extends: MasterEntity, … })`, typed with the statics that it inherits:
 * `class Account extends masterClass(AccountSchema) { static CQRS_ID = 'account' }`, then `AccountSchema.setClass(Account)`.
 */
export function masterClass<Entity>(schema: {
  readonly class: AbstractConstructor<Entity>;
}): (new () => Methods<Entity>) & MasterClass {
  return schema.class as never;
}

// `defineEntity` infers inherited methods as properties, which a class could not override.
type Methods<Entity> = Omit<Entity, keyof MasterMembers> & MasterMembers;

type InferSchema<Schema> = Schema extends { class: abstract new (...args: never[]) => infer Entity }
  ? Entity
  : Schema extends EntitySchema<infer Entity>
    ? Entity
    : object;

/** What the static and instance methods need of the running library; a `Cqrs` is one. */
export interface MasterHost {
  readonly masterRuntime: MasterRuntime;
}

function runtimeOf(em: EntityManager | undefined, entity: Function): MasterRuntime {
  const host = em?.config.getExtension<MasterHost>(EXTENSION);
  if (host) return host.masterRuntime;
  throw new ConfigurationError([
    em
      ? {
          where: entity.name,
          what: 'MikroORM was set up without a Cqrs.',
          cure: 'Add it: MikroORM.init({ extensions: [cqrs], … }).',
        }
      : { where: entity.name, what: 'the entity belongs to no EntityManager.', cure: 'Pass one: { em }.' },
  ]);
}

function managerOf(entity: object): EntityManager | undefined {
  return helper(entity as AnyEntity).__em as EntityManager | undefined;
}
