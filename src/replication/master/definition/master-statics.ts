import type { MetaContext } from '../../../kernel/settings.js';
import type { WireValue } from '../../../wire/values.js';

/** Where writes are captured: at the driver of MikroORM, or by triggers in the database. */
export type Capture = 'driver' | 'trigger';

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

/** The statics that a master's class may declare. */
export interface MasterStatics {
  readonly CQRS_ID?: string;
  readonly CQRS_PRODUCE?: boolean;
  readonly CQRS_CAPTURE?: Capture;
  readonly CQRS_FIELDS?: '__all__' | readonly string[];
  readonly CQRS_SERIALIZER?: CqrsSerializer;
  readonly CQRS_TRACKED_FIELDS?: '__all__' | readonly string[];
  readonly relateCqrsSerialization?: () => readonly string[] | undefined;
}

/** Marks `MasterEntity`, every class that `Master()` makes and every schema given to `master()`. */
export const MASTER = Symbol.for('mikro-orm-cqrs.master');

export function isMaster(entity: Function): boolean {
  return MASTER in entity;
}
