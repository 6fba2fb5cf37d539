import { EventType, type TransactionEventType } from '@mikro-orm/core';
import type { Broadcaster, TransactionalConnection, TransactionContext } from '../mikro-orm-internals.js';
import { UnsupportedWriteError } from '../../../kernel/errors.js';
import { PendingChanges, type PendingChange } from './pending-changes.js';
import { type CapturedRows, SessionWatch, type WatchedTransaction } from './session-watch.js';

/**
 * Follows every transaction of one connection, from begin to its end, and hands its changes over just before COMMIT.
 *
 *   begin ──▶ open ──commit──▶ subscribers' beforeTransactionCommit ──▶ announce (in the transaction) ──▶ COMMIT ──▶ committed
 *               │                                                          └ throws: the commit rejects, nothing is kept
 *               ├─rollback──▶ forgotten
 *               └─savepoints: `SessionWatch` follows them, for the connection they are on
 *
 * It wraps `begin`, `commit` and `rollback` of the connection instead of subscribing to events: it then also sees
 * transactions that no EntityManager began, runs after every subscriber of the user's, and a subscriber that flushes
 * late cannot slip a change past it.
 */

export class TransactionLog {
  readonly #open = new WeakMap<TransactionContext, OpenTransaction>();
  readonly #watch = new SessionWatch();

  constructor(
    private readonly on: {
      /** Writes the messages of these changes in the transaction; answers what is to be done after COMMIT. */
      readonly announce: (transaction: TransactionContext, changes: readonly PendingChange[]) => Promise<() => void>;
      /** What a transaction that is about to begin says of itself, as JSON; null for nothing. */
      readonly context?: () => string | null;
      /** Called in a transaction that says something of itself, before all else. */
      readonly begun?: (transaction: TransactionContext, context: string) => Promise<void>;
      /** Called once changes are committed, before what `announce` answered. */
      readonly committed?: () => Promise<void> | undefined;
    },
  ) {}

  /**
   * The changes of an open transaction; undefined when it was begun behind MikroORM's back.
   * @throws UnsupportedWriteError when SQL of the user's own has ended it.
   */
  changesOf(transaction: TransactionContext): PendingChanges | undefined {
    const open = this.#open.get(transaction);
    if (open?.endedBy === undefined) return open?.changes;
    throw new UnsupportedWriteError(
      'a master',
      `its transaction was ended by ${open.endedBy} as SQL of your own, so that it would be written without its message`,
      'End transactions by em.commit() or em.rollback(), and begin another one.',
    );
  }

  /** What a transaction says of itself, as JSON. */
  contextOf(transaction: TransactionContext): string | null {
    return this.#open.get(transaction)?.context ?? null;
  }

  /** Runs one captured statement; its rows are noted for its transaction when PostgreSQL has answered. */
  capture<T>(rows: CapturedRows, statement: () => Promise<T>): Promise<T> {
    return this.#watch.run(rows, statement);
  }

  /** Runs `work` after COMMIT, never after a rollback; at once when the transaction's end cannot be seen. */
  afterCommit(transaction: TransactionContext, work: () => void): void {
    const open = this.#open.get(transaction);
    if (open) open.changes.afterCommit.push(work);
    else work();
  }

  install(connection: TransactionalConnection): void {
    const begin = connection.begin.bind(connection);
    const commit = connection.commit.bind(connection);
    const rollback = connection.rollback.bind(connection);

    connection.begin = async (options = {}) => {
      const parent = options.ctx && this.#open.get(options.ctx);
      // Before a connection is taken, which nobody would give back.
      const context = options.ctx ? null : (this.on.context?.() ?? null);
      const opened = async (transaction: TransactionContext): Promise<void> => {
        if (this.#open.has(transaction)) return;
        // A savepoint of a transaction that nobody follows is not followed either.
        if (parent) this.#open.set(transaction, parent);
        else if (!options.ctx) this.#open.set(transaction, await this.#follow(transaction, context));
      };
      const transaction = await begin({
        ...options,
        eventBroadcaster: around(options.eventBroadcaster, {
          before: async (event, started) => {
            if (event === EventType.afterTransactionStart && started) await opened(started);
          },
        }),
      });
      await opened(transaction);
      return transaction;
    };

    connection.commit = async (transaction, broadcaster, context) => {
      const open = this.#open.get(transaction);
      if (!open || transaction !== open.outermost) return commit(transaction, broadcaster, context);
      const announceLast = around(broadcaster, {
        after: async (event) => {
          if (event === EventType.beforeTransactionCommit) await this.#announce(transaction, open);
        },
      });
      await commit(transaction, announceLast, context);
      this.#end(transaction, open);
      const { afterCommit } = open.changes;
      if (afterCommit.length > 0) await this.on.committed?.();
      for (const work of afterCommit) work();
    };

    connection.rollback = async (transaction, broadcaster, context) => {
      const open = this.#open.get(transaction);
      try {
        await rollback(transaction, broadcaster, context);
      } finally {
        if (open && transaction === open.outermost) this.#end(transaction, open);
      }
    };
  }

  async #follow(transaction: TransactionContext, context: string | null): Promise<OpenTransaction> {
    const open: OpenTransaction = {
      outermost: transaction,
      context,
      changes: new PendingChanges(),
      unfollow: () => {},
    };
    open.unfollow = await this.#watch.follow(transaction, open);
    if (context !== null) await this.on.begun?.(transaction, context);
    return open;
  }

  async #announce(transaction: TransactionContext, open: OpenTransaction): Promise<void> {
    const { doubt } = open.changes;
    const changes = open.changes.drain();
    if (changes.length === 0) return;
    if (doubt !== undefined) {
      throw new UnsupportedWriteError(
        changes[0]!.table.root.className,
        `it cannot be told which writes the transaction has kept: ${doubt}`,
        'Run the transaction again; use em.transactional() for savepoints.',
      );
    }
    open.changes.afterCommit.push(await this.on.announce(transaction, changes));
  }

  #end(transaction: TransactionContext, open: OpenTransaction): void {
    this.#open.delete(transaction);
    open.unfollow();
  }
}

/** Calls `work` once a transaction is committed, not one of its savepoints. */
export function afterEachCommit(connection: TransactionalConnection, work: () => void): void {
  const commit = connection.commit.bind(connection);
  connection.commit = async (transaction, broadcaster, context) => {
    await commit(transaction, broadcaster, context);
    if (transaction.savepointName === undefined) work();
  };
}

interface OpenTransaction extends WatchedTransaction {
  /** Not one of its savepoints. */
  readonly outermost: TransactionContext;
  readonly context: string | null;
  unfollow: () => void;
}

// Works without a broadcaster too: connections can be used without an EntityManager.
function around(
  inner: Broadcaster | undefined,
  hooks: {
    before?: (event: TransactionEventType, transaction?: TransactionContext) => Promise<void>;
    after?: (event: TransactionEventType) => Promise<void>;
  },
): Broadcaster {
  return {
    dispatchEvent: async (event, transaction) => {
      await hooks.before?.(event, transaction);
      await inner?.dispatchEvent(event, transaction);
      await hooks.after?.(event);
    },
  };
}
