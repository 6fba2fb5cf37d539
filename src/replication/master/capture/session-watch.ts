import { AsyncLocalStorage } from 'node:async_hooks';
import { UnsupportedWriteError } from '../../../kernel/errors.js';
import type { SqlControl } from '../../../postgres/sql-control.js';
import { sqlStatements } from '../../../postgres/sql-statements.js';
import type { DatabaseConnection, HasExecutor } from '../mikro-orm-internals.js';
import { CAPTURED } from './captured-statement.js';
import type { PendingChanges } from './pending-changes.js';

/**
 * A savepoint belongs to the connection, not to the EntityManager that has asked for it: what is written while it is open
 * is undone with it, whoever wrote it. So what a transaction has done is followed where all of its statements pass, in the
 * order in which PostgreSQL answers them:
 *
 *   SAVEPOINT, RELEASE, ROLLBACK TO    move the savepoints of the pending changes, whoever has sent them
 *   a captured statement               its rows are noted at once, before the next answer
 *   COMMIT in the user's own SQL       is refused while changes wait: nothing could announce them any more
 *   ROLLBACK in the user's own SQL     forgets them; a write behind it is refused, for it would be on its own
 */

/** The rows of a captured statement, and what takes them. */
export interface CapturedRows {
  /** Called once, with the changes of its transaction. */
  note(rows: Record<string, unknown>[], changes: PendingChanges): void;
  noted: boolean;
}

/** A transaction that is open on a connection. */
export interface WatchedTransaction {
  readonly changes: PendingChanges;
  /** The user's own statement that has ended it. */
  endedBy?: string;
}

export class SessionWatch {
  readonly #sessions = new WeakMap<DatabaseConnection, { open?: WatchedTransaction }>();
  readonly #statement = new AsyncLocalStorage<CapturedRows>();

  /** Follows a transaction that has just begun. @returns what is to be called at its end. */
  async follow(context: HasExecutor, transaction: WatchedTransaction): Promise<() => void> {
    const connection = await context.getExecutor!().provideConnection((one) => Promise.resolve(one));
    const session = this.#sessions.get(connection) ?? this.#watch(connection);
    session.open = transaction;
    return () => {
      if (session.open === transaction) session.open = undefined;
    };
  }

  /** Runs one captured statement; its rows are noted when PostgreSQL has answered. */
  run<T>(rows: CapturedRows, statement: () => Promise<T>): Promise<T> {
    return this.#statement.run(rows, statement);
  }

  #watch(connection: DatabaseConnection): { open?: WatchedTransaction } {
    const session: { open?: WatchedTransaction } = {};
    const execute = connection.executeQuery.bind(connection);
    connection.executeQuery = (query, ...rest) => {
      const { open } = session;
      if (!open) return execute(query, ...rest);
      const captured = this.#statement.getStore();
      if (captured && !captured.noted && query.sql.endsWith(CAPTURED)) {
        return execute(query, ...rest).then((result) => {
          captured.note(result.rows as Record<string, unknown>[], open.changes);
          return result;
        });
      }
      const control = transactionControl(query.sql);
      if (control.length === 0) return execute(query, ...rest);
      const refusal = refused(control, open);
      return refusal ? Promise.reject(refusal) : this.#controlled(control, open, execute(query, ...rest));
    };
    this.#sessions.set(connection, session);
    return session;
  }

  async #controlled<T>(control: readonly SqlControl[], open: WatchedTransaction, answer: Promise<T>): Promise<T> {
    try {
      const result = await answer;
      for (const one of control) follow(one, open);
      return result;
    } catch (error) {
      // PostgreSQL has done some of them.
      if (control.length > 1) open.changes.doubt = 'a text of several statements with savepoints has failed half-way';
      throw error;
    }
  }
}

const MAY_CONTROL = /\b(?:savepoint|release|rollback|abort|commit|end|begin|start|prepare)\b/i;

/** What a text does to its transaction. */
function transactionControl(sql: string): SqlControl[] {
  if (!MAY_CONTROL.test(sql)) return [];
  const found: SqlControl[] = [];
  for (const { control } of sqlStatements(sql)) {
    if (control && control.kind !== 'set' && control.kind !== 'reset') found.push(control);
  }
  return found;
}

function refused(control: readonly SqlControl[], open: WatchedTransaction): Error | undefined {
  const ends = control.find(({ kind }) => kind === 'commit' || kind === 'prepare transaction');
  const [first] = ends && open.endedBy === undefined ? open.changes.list() : [];
  if (!ends || !first) return undefined;
  return new UnsupportedWriteError(
    first.table.root.className,
    `${ends.kind.toUpperCase()} as SQL of your own would end the transaction before its messages are written`,
    'Call em.commit(), or let em.transactional() end it.',
  );
}

function follow(control: SqlControl, open: WatchedTransaction): void {
  const { changes } = open;
  switch (control.kind) {
    case 'savepoint':
      changes.savepoint(control.savepoint);
      break;
    case 'release':
      if (!changes.release(control.savepoint)) changes.doubt = 'RELEASE of a savepoint that was not seen';
      break;
    case 'rollback to':
      if (!changes.rollbackTo(control.savepoint)) changes.doubt = 'ROLLBACK TO a savepoint that was not seen';
      break;
    case 'commit':
    case 'rollback':
    case 'prepare transaction':
      changes.forget();
      open.endedBy = 'chain' in control && control.chain ? undefined : control.kind.toUpperCase();
      break;
    case 'begin':
      open.endedBy = undefined;
      break;
    default:
  }
}
