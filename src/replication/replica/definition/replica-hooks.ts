import type { EntityManager } from '@mikro-orm/core';
import type { ExactTexts } from '../../../wire/exact-texts.js';
import type { Outcome } from '../../../messaging/inbox/handler.js';
import type { WireObject, WireValue } from '../../../wire/values.js';

/** Marks `ReplicaEntity` and every class that `Replica()` makes, so that no prototype has to be compared. */
export const REPLICA = Symbol.for('mikro-orm-cqrs.replica');

/** What the hooks are told of a message, beside its data. */
export interface HookContext {
  /** Whether the message repeats the present state (SYNC), not a change. */
  readonly sync: boolean;
  /** Tracked fields as they were before, by property; null when the master tracks nothing or nothing changed. */
  readonly previousData: Readonly<Record<string, unknown>> | null;
  /** The message's `meta`, if the class has `CQRS_META`. */
  readonly meta?: WireValue;
}

export interface CreateContext extends HookContext {
  /** The replica's properties with their values; with CQRS_CUSTOM_SERIALIZATION, what came, untouched. */
  readonly mappedData: Record<string, unknown>;
  /**
   * Properties that are null here and not at the master: rows that refer to each other come one after another, and those
   * that these refer to have not come. The same state is handed in again, to `cqrsUpdate`, when they are there. Default: none.
   */
  readonly awaitedReferences?: readonly string[];
}

/** What `cqrsUpdate` is told: the same as `cqrsCreate`. */
export type UpdateContext = CreateContext;

export interface DeleteContext {
  /** What came: `id`, `cqrs_revision`, `cqrs_updated`, and the master's `custom` data, if any. */
  readonly masterData: Readonly<WireObject>;
  readonly meta?: WireValue;
  /**
   * True: the row's master has created it anew, and `cqrsCreate` is called next. The row stays in its place, so that rows
   * that point to it go on doing so: end what belonged to the former row, and do not delete it. Default false.
   */
  readonly replaced?: boolean;
}

export interface SaveContext {
  /** Tracked fields as they were before, under their wire names. Default null. */
  readonly previousData?: WireObject | null;
  /** Whether the data repeats the present state; then it also repairs a row of the same version. Default false. */
  readonly sync?: boolean;
  readonly meta?: WireValue;
  /** The incarnation of the key, if the master numbers them. Default null: unknown. */
  readonly incarnation?: number | null;
  /** PostgreSQL's texts of fields whose JSON says less, as they came. Default null. */
  readonly texts?: ExactTexts | null;
  /**
   * Properties whose fields are null in the data and not at the master, as in `CreateContext`; the data are a microsecond
   * older then, so that the same state can be saved again. Default: none.
   */
  readonly awaitedReferences?: readonly string[];
}

/** The statics that a replica's class may declare. */
export interface ReplicaStatics {
  readonly CQRS_ID?: string;
  readonly CQRS_MAPPING?: Readonly<Record<string, string>>;
  readonly CQRS_CUSTOM_SERIALIZATION?: boolean;
  readonly CQRS_SELECT_FOR_UPDATE?: boolean;
  readonly CQRS_NO_DB_OPERATIONS?: boolean;
  readonly CQRS_META?: boolean;
  readonly CQRS_ONLY_DIRECT_SYNCS?: boolean;

  cqrsSave(em: EntityManager, masterData: WireObject, context?: SaveContext): Promise<Outcome | void>;
  cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void>;
  cqrsDelete(em: EntityManager, context: DeleteContext): Promise<void>;
  shouldRetryCqrs?(retries: number, error: Error): boolean;
  getCqrsRetryDelay?(retries: number): number;
}

/** The instance method that a replica's class may override. */
export interface ReplicaInstance {
  cqrsUpdate(em: EntityManager, context: UpdateContext): Promise<void> | void;
}

export type HookName = 'cqrsSave' | 'cqrsCreate' | 'cqrsUpdate' | 'cqrsDelete';

/** Marks a method as the library's own: what still carries the mark was not overridden, and costs nothing. */
export function markAsDefault(method: object): void {
  Object.defineProperty(method, REPLICA, { value: true });
}

export function overriddenHooks(entity: Function): ReadonlySet<HookName> {
  const owners: Readonly<Record<HookName, object>> = {
    cqrsSave: entity,
    cqrsCreate: entity,
    cqrsUpdate: entity.prototype as object,
    cqrsDelete: entity,
  };
  return new Set(
    (Object.keys(owners) as HookName[]).filter((name) => {
      const method: unknown = Reflect.get(owners[name], name);
      return typeof method === 'function' && !(REPLICA in method);
    }),
  );
}
