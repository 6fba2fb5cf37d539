import type { FilterQuery } from '@mikro-orm/core';
import { InputError } from '../../kernel/errors.js';
import type { Drain, Turn } from '../../messaging/outbox/drain.js';
import type { MasterDefinition } from './definition/master-table.js';
import type { MasterSync, SyncFailure, SyncPage, Withdrawal } from './sync.js';

export interface SyncOptions {
  readonly cqrsId: string;
  /** MikroORM's query syntax; default: every row. */
  readonly filter?: FilterQuery<object> | undefined;
  /** Instead of a filter: the rows with these keys, each part as PostgreSQL prints it. */
  readonly keys?: readonly (readonly string[])[] | undefined;
  /** Begins behind this key, each part as PostgreSQL prints it: the `lastKey` of a sync that was stopped. Not with `keys`. */
  readonly after?: readonly string[] | undefined;
  /** One replica's queue; default: all. */
  readonly queue?: string | undefined;
  /** Rows a transaction; default 1000. About twice as many is what a live change may have to wait for. */
  readonly pageSize?: number | undefined;
  /** Rows a second at most; default: as fast as the broker takes them. */
  readonly rate?: number | undefined;
  /**
   * Rows begin a new incarnation on the master, so that they replace what replicas have, even a later state: for a master that
   * was restored from a backup or has lost commits. Not with `queue`. Default false: a later state stays.
   */
  readonly newIncarnation?: boolean | undefined;
  readonly onProgress?: ((progress: SyncResult) => void) | undefined;
  /** Is told of a row whose serializer or hook fails, and the others go on; default: the sync rejects. */
  readonly onFailure?: SyncFailure | undefined;
  /** Aborted: the page in hand is finished, or left to the relay if the broker does not take it within some seconds. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * How many rows the broker has as SYNC, how many as DELETE since they no longer match, how many no queue would take, and
 * how many the broker refuses, or wait behind others of their row that it does: `cqrs refused list` says why.
 */
export interface SyncResult {
  readonly synced: number;
  readonly withdrawn: number;
  readonly unroutable: number;
  readonly refused: number;
  /** Up to which key the broker has all rows; null when it has none, and for chosen `keys`. */
  readonly lastKey: readonly string[] | null;
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
  readonly refused: number;
}

const PAGE = 1_000;

/** Sends rows that nobody has changed, and follows them until the broker has them. */
export class RowSender {
  constructor(
    private readonly sync: MasterSync,
    private readonly drain: Drain,
  ) {}

  async send(definition: MasterDefinition, options: SyncOptions): Promise<SyncResult> {
    const { filter, keys, after, queue = null, rate, newIncarnation, onProgress, onFailure, signal } = options;
    if (newIncarnation && queue !== null) {
      throw new InputError('A new incarnation is for all replicas, not for one queue.', 'Leave out the queue.');
    }
    if (keys && after) throw new InputError('There are keys to choose rows, or a key to begin behind, not both.');
    if (rate !== undefined && !(rate > 0)) throw new InputError(`The rate must be greater than 0, not ${rate}.`);
    // A page a second at least: small steps, and no long silence.
    const pageSize = Math.min(options.pageSize ?? PAGE, Math.max(1, Math.floor(rate ?? Infinity)));
    const result: { -readonly [K in keyof SyncResult]: SyncResult[K] } = {
      synced: 0,
      withdrawn: 0,
      unroutable: 0,
      refused: 0,
      lastKey: null,
    };
    const pages = (turn: Turn): AsyncGenerator<SyncPage> =>
      this.sync.pages(definition, {
        where: filter,
        keys,
        after,
        queue,
        pageSize,
        newIncarnation,
        turn,
        onFailure,
      });
    await this.drain.run(pages, {
      signal,
      rate,
      onRelayed: (page, unroutable, refused) => {
        result.unroutable += unroutable;
        result.refused += refused;
        result.synced += page.synced;
        result.withdrawn += page.withdrawn;
        result.lastKey = page.lastKey ?? result.lastKey;
        onProgress?.({ ...result });
      },
    });
    return result;
  }

  async repair(definition: MasterDefinition, options: RepairOptions): Promise<RepairResult> {
    const result = { messages: 0, bytes: 0, unroutable: 0, refused: 0 };
    await this.drain.run((turn) => this.#repairs(definition, options, turn), {
      signal: options.signal,
      onRelayed: (page, unroutable, refused) => {
        result.messages += page.outboxIds.length;
        result.bytes += page.bytes;
        result.refused += refused;
        result.unroutable += unroutable;
      },
    });
    return result;
  }

  async *#repairs(
    definition: MasterDefinition,
    { keys, withdrawals, queue, onFailure }: RepairOptions,
    turn: Turn,
  ): AsyncGenerator<SyncPage> {
    if (keys.length > 0) yield* this.sync.pages(definition, { keys, queue, pageSize: PAGE, turn, onFailure });
    if (withdrawals.length > 0 && (await turn())) yield await this.sync.withdraw(definition, withdrawals, queue);
  }
}
