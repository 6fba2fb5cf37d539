import { defineEntity, type EntityManager, type EntitySchema, type Hidden, type Opt, p } from '@mikro-orm/core';
import { ConfigurationError } from '../../../kernel/errors.js';
import { EXTENSION } from '../../../kernel/extension.js';
import type { WireObject } from '../../../wire/values.js';
import type { Outcome } from '../../../messaging/inbox/handler.js';
import { type HandApplier, ReplicaManager } from '../by-hand.js';
import {
  type CreateContext,
  type DeleteContext,
  markAsDefault,
  REPLICA,
  type ReplicaInstance,
  type ReplicaStatics,
  type SaveContext,
  type UpdateContext,
} from './replica-hooks.js';

/** Master field → property of the replica: `static CQRS_MAPPING = { … } as const satisfies MappingOf<AccountRef>`. */
export type MappingOf<Entity> = Readonly<Record<string, Exclude<Extract<keyof Entity, string>, keyof ReplicaMembers>>>;

/**
 * The three columns that come with a replica; spread them into `defineEntity({ properties })` where no base class fits.
 * They are hidden: no JSON of an entity has them.
 */
export const replicaProperties = {
  cqrsRevision: p.integer().name('cqrs_revision').defaultRaw('0').hidden(),
  cqrsUpdated: p.datetime().name('cqrs_updated').columnType('timestamptz(6)').defaultRaw('clock_timestamp()').hidden(),
  cqrsIncarnation: p.bigint('number').name('cqrs_incarnation').nullable().hidden(),
};

/** What a replica's instances have besides their own columns. */
export interface ReplicaMembers extends ReplicaInstance {
  /** Counts the changes of the master's row, from 0. */
  cqrsRevision: Opt<Hidden<number>>;
  /** When the master's row last changed, by its database's clock. Milliseconds here, microseconds in the database. */
  cqrsUpdated: Opt<Date>;
  /**
   * Numbers the incarnations of this key. Null or negative when the master does not (django-cqrs): then it is what this
   * replica remembers of their order, and nothing to compute with.
   */
  cqrsIncarnation?: number | null;

  /**
   * Override it to write a change yourself. What `em` holds is flushed afterwards; what throws takes
   * nothing else with it. Messages of several rows may share `em`, and a call may be repeated when another one failed.
   * Default: assigns the mapped data to this entity.
   */
  cqrsUpdate(em: EntityManager, context: UpdateContext): Promise<void> | void;
}

// A constructor's arguments can be taken over only as `any[]`, and MikroORM asks for the same.
// oxlint-disable-next-line typescript/no-explicit-any
type AbstractConstructor<T = object> = abstract new (...args: any[]) => T;

/**
 * The statics that come with a replica's class. As long as none of the `cqrs…` methods is overridden, messages are
 * written by set-based SQL; with one of them, entity by entity.
 */
export interface ReplicaClass {
  /** The name under which the master travels. */
  readonly CQRS_ID?: string;
  /**
   * Master field → property. What it does not list is left alone. Default: every property, under its own name in snake
   * case (a relation without `_id`).
   */
  readonly CQRS_MAPPING?: Readonly<Record<string, string>>;
  /** True: the data is not mapped and goes to `cqrsCreate` and `cqrsUpdate` as it came. Default false. */
  readonly CQRS_CUSTOM_SERIALIZATION: boolean;
  /** True: the row is locked before `cqrsUpdate`. Default false: messages of one row are kept apart anyway. */
  readonly CQRS_SELECT_FOR_UPDATE: boolean;
  /** True: it has no table; `cqrsSave` and `cqrsDelete` do everything, for every message. Default false. */
  readonly CQRS_NO_DB_OPERATIONS: boolean;
  /** True: hooks are given the message's `meta`. Default false. */
  readonly CQRS_META: boolean;
  /** True: a SYNC counts only when it was sent to this replica's queue. Default false. */
  readonly CQRS_ONLY_DIRECT_SYNCS: boolean;

  /**
   * Writes a state of a row by the rules of the consumer, without a broker, in the transaction of `em` or one of its own.
   * One of yours must be READ COMMITTED, or it does not see what it has waited for.
   * Overridden, it is what the consumer calls for SAVE and SYNC, before any rule.
   * @throws what the consumer would retry or bury, MappingError among it.
   */
  cqrsSave(em: EntityManager, masterData: WireObject, context?: SaveContext): Promise<Outcome | void>;
  /** Writes states of rows by hand, by the rules of the consumer. */
  cqrs(em: EntityManager): ReplicaManager;
  /** Override it to create rows yourself. Default: makes and persists an entity. `em` is flushed afterwards. */
  cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void>;
  /**
   * Override it to delete rows yourself; it is called for every deletion that counts, of rows that are not there, too. `em`
   * is flushed afterwards. Default: deletes by key, but not with
   * `context.replaced`: then the row is written over by what `cqrsCreate` makes.
   */
  cqrsDelete(em: EntityManager, context: DeleteContext): Promise<void>;
  /** Override it to decide whether a failed message is tried again. Default: `settings.replica.maxRetries`. */
  shouldRetryCqrs?(retries: number, error: Error): boolean;
  /** Override it to choose the seconds until the next attempt. Default: `settings.replica.retryDelaySeconds`. */
  getCqrsRetryDelay?(retries: number): number;
}

/**
 * Makes a replica of your own base class: `class AccountRef extends Replica(MyBase) { static CQRS_ID = 'account' }`.
 * The same base gives the same class each time. Registers the three columns with MikroORM; needs no decorators.
 */
export function Replica<Base extends AbstractConstructor>(
  base: Base,
): Base & AbstractConstructor<ReplicaMembers> & ReplicaClass {
  const known = Object.hasOwn(base, MIXED) ? (base as { [MIXED]?: unknown })[MIXED] : undefined;
  if (known) return known as never;
  const mixed = mix(base, `Replica(${base.name})`);
  Object.defineProperty(base, MIXED, { value: mixed });
  defineEntity({ class: mixed, abstract: true, extends: base, properties: replicaProperties } as never);
  return mixed as never;
}

const MIXED = Symbol('Replica');

function mix(base: AbstractConstructor, name: string): AbstractConstructor<ReplicaMembers> {
  abstract class Mixed extends (base as AbstractConstructor) {
    static readonly [REPLICA] = true;
    static CQRS_CUSTOM_SERIALIZATION = false;
    static CQRS_SELECT_FOR_UPDATE = false;
    static CQRS_NO_DB_OPERATIONS = false;
    static CQRS_META = false;
    static CQRS_ONLY_DIRECT_SYNCS = false;
    // `declare`: no compiler may emit a class field, it would hide MikroORM's accessors
    declare cqrsRevision: Opt<Hidden<number>>;
    declare cqrsUpdated: Opt<Date>;
    declare cqrsIncarnation?: number | null;

    static cqrs(em: EntityManager): ReplicaManager {
      return new ReplicaManager(this, em, runtimeOf(em, this));
    }

    static cqrsSave = defaults.cqrsSave;
    static cqrsCreate = defaults.cqrsCreate;
    static cqrsDelete = defaults.cqrsDelete;

    cqrsUpdate(em: EntityManager, context: UpdateContext): Promise<void> | void {
      em.assign(this as object, context.mappedData as never);
    }
  }
  markAsDefault(Mixed.prototype.cqrsUpdate);
  Object.defineProperty(Mixed, 'name', { value: name });
  return Mixed;
}

// Shared by every class: methods of an entity's own constructor, so `this` is that class.
const defaults = {
  async cqrsSave(
    this: Function,
    em: EntityManager,
    masterData: WireObject,
    context: SaveContext = {},
  ): Promise<Outcome | void> {
    return new ReplicaManager(this, em, runtimeOf(em, this)).saveInstance(masterData, context);
  },
  async cqrsCreate(this: Function, em: EntityManager, { mappedData }: CreateContext): Promise<object | void> {
    const row = em.create(this as never, mappedData as never) as object;
    em.persist(row);
    return row;
  },
  async cqrsDelete(this: Function, em: EntityManager, { masterData, replaced }: DeleteContext): Promise<void> {
    if (replaced) return;
    await runtimeOf(em, this).remove(this, em, masterData);
  },
};
for (const method of Object.values(defaults)) markAsDefault(method);

const Base = mix(Object as never, 'ReplicaEntity') as unknown as AbstractConstructor<ReplicaMembers> & ReplicaClass;

/**
 * The base of a replica: `class AccountRef extends ReplicaEntity { static CQRS_ID = 'account' … }`, with decorators or
 * `defineEntity({ extends: ReplicaEntity })`. Its rows follow the master's; treat them as read-only.
 */
export abstract class ReplicaEntity extends Base {}
defineEntity({ class: ReplicaEntity, abstract: true, properties: replicaProperties } as never);

/** What `replica()` takes, for entities that are declared without a class of their own. */
export interface ReplicaOptions<Entity> extends Partial<Pick<ReplicaClass, 'shouldRetryCqrs' | 'getCqrsRetryDelay'>> {
  id: string;
  mapping?: MappingOf<Entity>;
  customSerialization?: boolean;
  selectForUpdate?: boolean;
  noDbOperations?: boolean;
  meta?: boolean;
  onlyDirectSyncs?: boolean;
  cqrsSave?: (em: EntityManager, masterData: WireObject, context?: SaveContext) => Promise<Outcome | void>;
  cqrsCreate?: (em: EntityManager, context: CreateContext) => Promise<object | void>;
  cqrsUpdate?: (entity: Entity, em: EntityManager, context: UpdateContext) => Promise<void> | void;
  cqrsDelete?: (em: EntityManager, context: DeleteContext) => Promise<void>;
}

/**
 * Makes a replica of an entity declared with `defineEntity({ extends: ReplicaEntity, … })`, or with
 * `properties: { ...replicaProperties, … }`, and no class.
 * @returns the same schema, for `entities: [replica(AccountRefSchema, { id: 'account' })]`.
 */
export function replica<Schema extends { meta: EntitySchema['meta'] }>(
  schema: Schema,
  options: ReplicaOptions<InferSchema<Schema>>,
): Schema {
  const entity = schema.meta.class as Function;
  const define = (owner: object, name: PropertyKey, value: unknown): void => {
    if (value !== undefined) Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  };
  if (!(REPLICA in entity)) lend(Base, entity);
  if (!('cqrsUpdate' in entity.prototype)) lend(Base.prototype as object, entity.prototype as object);
  const statics: Partial<Record<keyof ReplicaStatics, unknown>> = {
    CQRS_ID: options.id,
    CQRS_MAPPING: options.mapping,
    CQRS_CUSTOM_SERIALIZATION: options.customSerialization,
    CQRS_SELECT_FOR_UPDATE: options.selectForUpdate,
    CQRS_NO_DB_OPERATIONS: options.noDbOperations,
    CQRS_META: options.meta,
    CQRS_ONLY_DIRECT_SYNCS: options.onlyDirectSyncs,
    cqrsSave: options.cqrsSave,
    cqrsCreate: options.cqrsCreate,
    cqrsDelete: options.cqrsDelete,
    shouldRetryCqrs: options.shouldRetryCqrs,
    getCqrsRetryDelay: options.getCqrsRetryDelay,
  };
  for (const [name, value] of Object.entries(statics)) define(entity, name, value);
  const { cqrsUpdate } = options;
  if (cqrsUpdate) {
    define(
      entity.prototype as object,
      'cqrsUpdate',
      function (this: InferSchema<Schema>, em: EntityManager, context: CreateContext) {
        return cqrsUpdate(this, em, context);
      },
    );
  }
  return schema;
}

/** Gives a class that does not extend `ReplicaEntity` what it would have inherited, except what it has itself. */
function lend(from: object, to: object): void {
  for (const name of Reflect.ownKeys(from)) {
    if (!(name in to)) Object.defineProperty(to, name, Object.getOwnPropertyDescriptor(from, name)!);
  }
}

/**
 * The class of a schema made with `defineEntity({ extends: ReplicaEntity, … })`, typed so that methods can be overridden:
 * `class AccountRef extends replicaClass(Schema) { static CQRS_ID = 'account' }`, then `Schema.setClass(AccountRef)`.
 */
export function replicaClass<Entity>(schema: {
  readonly class: AbstractConstructor<Entity>;
}): (new () => Methods<Entity>) & ReplicaClass {
  return schema.class as never;
}

// `defineEntity` infers inherited methods as properties, which a class could not override.
type Methods<Entity> = Omit<Entity, keyof ReplicaMembers> & ReplicaMembers;

type InferSchema<Schema> = Schema extends { class: abstract new (...args: never[]) => infer Entity }
  ? Entity
  : Schema extends EntitySchema<infer Entity>
    ? Entity
    : object;

/** What the static methods need of the running library. */
export interface ReplicaRuntime extends HandApplier {
  /** Deletes the row that a DELETE is about. */
  remove(entity: Function, em: EntityManager, masterData: Readonly<WireObject>): Promise<void>;
}

/** A `Cqrs` is one: it is found through `em.config.getExtension(EXTENSION)`. */
export interface ReplicaHost {
  readonly replicaRuntime: ReplicaRuntime;
}

function runtimeOf(em: EntityManager, entity: Function): ReplicaRuntime {
  const host = em.config.getExtension<Partial<ReplicaHost>>(EXTENSION);
  if (host?.replicaRuntime) return host.replicaRuntime;
  throw new ConfigurationError([
    {
      where: entity.name,
      what: 'MikroORM was set up without a Cqrs.',
      cure: 'Add it: MikroORM.init({ extensions: [cqrs], … }).',
    },
  ]);
}
