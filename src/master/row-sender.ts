import type { FilterQuery } from '@mikro-orm/core';
import { InputError } from '../core/errors.js';
import type { HandOver } from '../outbox/hand-over.js';
import type { MasterDefinition } from './master-definition.js';
import type { MasterSync, SyncFailure, SyncPage, Withdrawal } from './sync.js';

export interface SyncOptions {
  readonly cqrsId: string;
  /** MikroORM's query syntax; default: every row. */
  readonly filter?: FilterQuery<object> | undefined;
  /** Instead of a filter: the rows with these keys, each part as PostgreSQL prints it. */
  readonly keys?: readonly (readonly string[])[] | undefined;
  /** One replica's queue; default: all. */
  readonly queue?: string | undefined;
  /** Rows a transaction; default 1000. */
  readonly pageSize?: number | undefined;
  /**
   * Rows begin a new life on the master, so that they replace what replicas have, even a later state: for a master that
   * was restored from a backup or has lost commits. Not with `queue`. Default false: a later state stays.
   */
  readonly newIncarnation?: boolean | undefined;
  readonly onProgress?: ((progress: SyncResult) => void) | undefined;
  /** Is told of a row whose serializer or hook fails, and the others go on; default: the sync rejects. */
  readonly onFailure?: SyncFailure | undefined;
  /** Aborted: the page in hand is finished. */
  readonly signal?: AbortSignal | undefined;
}

/** How many rows went as SYNC, how many as DELETE since they no longer match, and how many no queue would take. */
export interface SyncResult {
  readonly synced: number;
  readonly withdrawn: number;
  readonly unroutable: number;
}

export interface RepairOptions {
  readonly cqrsId: string;
  readonly queue: string;
  /** Rows that are sent again, each part of a key as PostgreSQL prints it. */
  readonly keys: readonly (readonly string[])[];
  readonly withdrawals: readonly Withdrawal[];
  readonly onFailure?: SyncFailure | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was sent to repair a replica. */
export interface RepairResult {
  readonly messages: number;
  /** Of their bodies. */
  readonly bytes: number;
  readonly unroutable: number;
}

const PAGE = 1_000;

/** Sends rows that nobody has changed, and follows them until the broker has them. */
export class RowSender {
  constructor(
    private readonly sync: MasterSync,
    private readonly handOver: HandOver,
  ) {}

  async send(definition: MasterDefinition, options: SyncOptions): Promise<SyncResult> {
    const { filter, keys, queue = null, pageSize = PAGE, newIncarnation, onProgress, onFailure, signal } = options;
    if (newIncarnation && queue !== null) {
      throw new InputError('A new incarnation is for all replicas, not for one queue.', 'Leave out the queue.');
    }
    const result = { synced: 0, withdrawn: 0, unroutable: 0 };
    const pages = this.sync.pages(definition, { where: filter, keys, queue, pageSize, newIncarnation, onFailure });
    await this.handOver.run(pages, {
      signal,
      onRelayed: (page, unroutable) => {
        result.unroutable += unroutable;
        result.synced += page.synced;
        result.withdrawn += page.withdrawn;
        onProgress?.({ ...result });
      },
    });
    return result;
  }

  async repair(definition: MasterDefinition, options: RepairOptions): Promise<RepairResult> {
    const result = { messages: 0, bytes: 0, unroutable: 0 };
    await this.handOver.run(this.#repairs(definition, options), {
      signal: options.signal,
      onRelayed: (page, unroutable) => {
        result.messages += page.outboxIds.length;
        result.bytes += page.bytes;
        result.unroutable += unroutable;
      },
    });
    return result;
  }

  async *#repairs(
    definition: MasterDefinition,
    { keys, withdrawals, queue, onFailure }: RepairOptions,
  ): AsyncGenerator<SyncPage> {
    if (keys.length > 0) yield* this.sync.pages(definition, { keys, queue, pageSize: PAGE, onFailure });
    if (withdrawals.length > 0) yield await this.sync.withdraw(definition, withdrawals, queue);
  }
}
