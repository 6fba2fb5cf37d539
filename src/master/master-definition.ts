import type { EntityMetadata } from '@mikro-orm/core';
import type { Definition } from '../core/registry.js';
import type { MetaContext } from '../core/settings.js';
import type { WireValue } from '../core/wire-values.js';
import type { Capture, MasterColumn, MasterTable } from './master-table.js';

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

/** True when a message of this master cannot be built from columns alone. */
export function needsEntity(definition: MasterDefinition): boolean {
  const { hooks, serializer } = definition;
  return Boolean(serializer ?? hooks.isSyncInstance ?? hooks.getCqrsMeta ?? hooks.getCustomCqrsDeleteData);
}
