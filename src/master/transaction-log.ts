import { EventType, type TransactionEventType } from '@mikro-orm/core';
import { PendingChanges, type PendingChange } from './pending-changes.js';

/**
 * Follows every transaction of one connection, from begin to its end, and hands its changes over just before COMMIT.
 *
 *   begin ──▶ open ──commit──▶ subscribers' beforeTransactionCommit ──▶ announce (in the transaction) ──▶ COMMIT ──▶ committed
 *               │                                                          └ throws: the commit rejects, nothing is kept
 *               ├─rollback──▶ forgotten
 *               └─savepoint─▶ open (child) ──release──▶ merged into its parent
 *                                          └─rollback──▶ forgotten
 *
 * It wraps `begin`, `commit` and `rollback` of the connection instead of subscribing to events: it then also sees
 * transactions that no EntityManager began, runs after every subscriber of the user's, and a subscriber that flushes
 * late cannot slip a change past it.
 */

/** What MikroORM calls a transaction: the object that travels as `ctx`. Only its identity matters here. */
export type TransactionContext = object & { savepointName?: string };

interface Broadcaster {
  dispatchEvent(event: TransactionEventType, transaction?: TransactionContext): unknown;
}

interface BeginOptions {
  ctx?: TransactionContext;
  eventBroadcaster?: Broadcaster;
}

/** The part of a MikroORM connection that is wrapped. */
export interface TransactionalConnection {
  begin(options?: BeginOptions): Promise<TransactionContext>;
  commit(ctx: TransactionContext, broadcaster?: Broadcaster, context?: unknown): Promise<void>;
  rollback(ctx: TransactionContext, broadcaster?: Broadcaster, context?: unknown): Promise<void>;
}

export class TransactionLog {
  readonly #open = new WeakMap<TransactionContext, OpenTransaction>();

  constructor(
    private readonly on: {
      /** Writes the messages of these changes in the transaction; answers what is to be done after COMMIT. */
      readonly announce: (transaction: TransactionContext, changes: readonly PendingChange[]) => Promise<() => void>;
      /** Called once changes are committed, before what `announce` answered. */
      readonly committed?: () => Promise<void> | undefined;
    },
  ) {}

  /** The changes of an open transaction; undefined when it was begun behind MikroORM's back. */
  changesOf(transaction: TransactionContext): PendingChanges | undefined {
    return this.#open.get(transaction)?.changes;
  }

  /** Runs `work` after COMMIT, never after a rollback; at once when the transaction's end cannot be seen. */
  afterCommit(transaction: TransactionContext, work: () => void): void {
    const open = this.#open.get(transaction);
    if (open) open.afterCommit.push(work);
    else work();
  }

  install(connection: TransactionalConnection): void {
    const begin = connection.begin.bind(connection);
    const commit = connection.commit.bind(connection);
    const rollback = connection.rollback.bind(connection);

    connection.begin = async (options = {}) => {
      const parent = options.ctx && this.#open.get(options.ctx);
      const opened = (transaction: TransactionContext): void => {
        if (this.#open.has(transaction)) return;
        this.#open.set(transaction, { parent, changes: new PendingChanges(parent?.changes), afterCommit: [] });
      };
      const transaction = await begin({
        ...options,
        eventBroadcaster: around(options.eventBroadcaster, {
          before: (event, started) => {
            if (event === EventType.afterTransactionStart && started) opened(started);
          },
        }),
      });
      opened(transaction);
      return transaction;
    };

    connection.commit = async (transaction, broadcaster, context) => {
      const open = this.#open.get(transaction);
      const announceLast = around(broadcaster, {
        after: async (event) => {
          if (event !== EventType.beforeTransactionCommit || !open || open.parent) return;
          const changes = open.changes.drain();
          if (changes.length > 0) open.afterCommit.push(await this.on.announce(transaction, changes));
        },
      });
      await commit(transaction, announceLast, context);
      this.#open.delete(transaction);
      if (open?.parent) {
        open.changes.mergeIntoParent();
        open.parent.afterCommit.push(...open.afterCommit);
      } else {
        if (open && open.afterCommit.length > 0) await this.on.committed?.();
        for (const work of open?.afterCommit ?? []) work();
      }
    };

    connection.rollback = async (transaction, broadcaster, context) => {
      this.#open.delete(transaction);
      await rollback(transaction, broadcaster, context);
    };
  }
}

interface OpenTransaction {
  /** The transaction that this savepoint is in. */
  readonly parent?: OpenTransaction;
  readonly changes: PendingChanges;
  readonly afterCommit: (() => void)[];
}

// Works without a broadcaster too: connections can be used without an EntityManager.
function around(
  inner: Broadcaster | undefined,
  hooks: {
    before?: (event: TransactionEventType, transaction?: TransactionContext) => void;
    after?: (event: TransactionEventType) => Promise<void>;
  },
): Broadcaster {
  return {
    dispatchEvent: async (event, transaction) => {
      hooks.before?.(event, transaction);
      await inner?.dispatchEvent(event, transaction);
      await hooks.after?.(event);
    },
  };
}
