import { CompiledQuery } from 'kysely';
import { withNext } from '../../../postgres/round-trips.js';
import { sqlStatements } from '../../../postgres/sql-statements.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';
import { MUTED } from './capture-triggers.js';
import type { SqlConnection, TransactionContext } from '../mikro-orm-internals.js';

/**
 * `cqrs.withoutReplication()` for masters that triggers capture: they look at a setting of the session, which is on for
 * each statement of MikroORM's that is sent inside, and for no other.
 *
 *   set on ─▶ statement ─▶ set off
 *
 * The statements of a transaction are sent one after another, so that none comes between. One that fails takes the setting
 * back with its transaction or savepoint.
 */
export function muteStatements(
  connection: SqlConnection,
  {
    isMuted,
    inTransaction,
    wrote,
  }: {
    readonly isMuted: () => boolean;
    /** Whether a statement that is sent outside of a transaction is given one, which says something of itself. */
    readonly inTransaction: (query: string | object) => boolean;
    /** A statement outside of a transaction was sent. */
    readonly wrote: () => void;
  },
): void {
  const stock = connection.execute.bind(connection);
  const turns = new WeakMap<TransactionContext, Promise<unknown>>();
  type Arguments = Parameters<SqlConnection['execute']>;

  const inTurn = <T>(transaction: TransactionContext, work: () => Promise<T>): Promise<T> => {
    const former = turns.get(transaction);
    const done = former ? former.then(work) : work();
    // Whether it fails is the business of whoever has sent it.
    const turn = done.then(
      () => {},
      () => {},
    );
    turns.set(transaction, turn);
    return done;
  };

  const muted = async <T>(args: Arguments, transaction: TransactionContext): Promise<T> => {
    const [query, params, method, , loggerContext] = args;
    await set(transaction, '1');
    const result = await stock<T>(query, params, method, transaction, loggerContext);
    await set(transaction, '');
    return result;
  };

  connection.execute = async <T>(...args: Arguments): Promise<T> => {
    const transaction = args[3];
    if (isMuted()) {
      return transaction
        ? inTurn(transaction, () => muted<T>(args, transaction))
        : connection.transactional((own) => muted<T>(args, own), { loggerContext: args[4] });
    }
    if (transaction) return inTurn(transaction, () => stock<T>(...args));
    if (inTransaction(args[0])) {
      const [query, params, method, , loggerContext] = args;
      return connection.transactional((own) => stock<T>(query, params, method, own, loggerContext), { loggerContext });
    }
    const result = await stock<T>(...args);
    wrote();
    return result;
  };
}

const WRITES = /\b(?:insert|update|delete|merge|truncate)\b/i;

/** Whether a text writes, and may do so in a transaction: of others (CALL, DO, COMMIT) that is not known. */
export function mayWriteByItself(query: string | object): boolean {
  const { sql, type } = typeof query === 'string' ? { sql: query } : (query as { sql?: unknown; type?: unknown });
  // A native query is compiled when it is sent.
  if (typeof sql !== 'string') return type !== 'SELECT' && type !== 'COUNT';
  if (!WRITES.test(sql)) return false;
  const statements = [...sqlStatements(sql)];
  return (
    statements.some(({ writes }) => writes.length > 0) &&
    statements.every(({ words: [first = ''] }) => PLAIN.has(first))
  );
}

const PLAIN = new Set(['insert', 'update', 'delete', 'merge', 'truncate', 'with', 'select']);

async function set(transaction: TransactionContext, value: '1' | ''): Promise<void> {
  const sql = withNext(`select set_config('${MUTED}', '${value}', true)`);
  await (transaction as unknown as Executor).executeQuery(CompiledQuery.raw(sql));
}
