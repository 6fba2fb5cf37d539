import type { EntityManager } from '@mikro-orm/core';
import type { SignalType } from '../../wire/payload.js';
import type { WireObject, WireValue } from '../../wire/values.js';
import type { Outcome } from '../../messaging/inbox/handler.js';
import type { SaveContext } from './definition/replica-hooks.js';

/** What a deletion by hand may say beside its data. */
export interface DeletionContext {
  readonly meta?: WireValue;
  /** The incarnation of the key, if the master numbers them. Default null: unknown. */
  readonly incarnation?: number | null;
}

/** One state by hand: which signal it stands for, and whether a row must be there for it. */
export interface ByHand extends SaveContext {
  readonly signalType: SignalType;
  /** `absent`: only where there is no row; `present`: only where there is one. Default: either. */
  readonly row?: 'absent' | 'present';
}

/** What applies a state by the rules of the consumer. */
export interface HandApplier {
  applyByHand(entity: Function, em: EntityManager, masterData: WireObject, how: ByHand): Promise<Outcome>;
}

/**
 * Writes states of rows by the rules of the consumer, without a broker: revisions, tombstones and the class's own
 * `cqrsCreate`, `cqrsUpdate` and `cqrsDelete`, but not `cqrsSave`, which may therefore call it. In the transaction of the
 * EntityManager, or one of its own; one of yours must be READ COMMITTED, or it does not see what it has waited for.
 *
 * `masterData` is instance data as it travels, `cqrs_revision` and `cqrs_updated` included. What the consumer would retry
 * or bury is thrown, MappingError among it.
 */
export class ReplicaManager {
  constructor(
    private readonly entity: Function,
    private readonly em: EntityManager,
    private readonly applier: HandApplier,
  ) {}

  /** Creates the row, or changes it if this state is newer. */
  saveInstance(masterData: WireObject, context: SaveContext = {}): Promise<Outcome> {
    return this.#apply(masterData, { ...context, signalType: context.sync ? 'SYNC' : 'SAVE' });
  }

  /** Creates the row; skipped as `exists` when there is one. */
  createInstance(masterData: WireObject, context: SaveContext = {}): Promise<Outcome> {
    return this.#apply(masterData, { ...context, signalType: context.sync ? 'SYNC' : 'SAVE', row: 'absent' });
  }

  /** Changes the row if this state is newer; skipped as `absent` when there is none. */
  updateInstance(masterData: WireObject, context: SaveContext = {}): Promise<Outcome> {
    return this.#apply(masterData, { ...context, signalType: context.sync ? 'SYNC' : 'SAVE', row: 'present' });
  }

  /** Deletes the row, if there is one, and remembers it: older states do not bring it back. The key is called `id`. */
  deleteInstance(masterData: WireObject, context: DeletionContext = {}): Promise<Outcome> {
    return this.#apply(masterData, { ...context, signalType: 'DELETE' });
  }

  #apply(masterData: WireObject, how: ByHand): Promise<Outcome> {
    return this.applier.applyByHand(this.entity, this.em, masterData, how);
  }
}
