import type { CompiledQuery } from 'kysely';
import type { TransactionContext } from './transaction-log.js';

/**
 * Sends a last statement of a transaction together with its COMMIT, as one message: a round trip less for every
 * transaction that leaves something in the outbox.
 *
 *   Query "insert into cqrs_outbox …; commit"
 *
 * PostgreSQL stops such a message at its first error. When the insert fails there is no COMMIT: the promise of the
 * commit rejects, and MikroORM rolls back. (Pipelined, the COMMIT of the then aborted transaction would be answered with
 * ROLLBACK, which is no error to anybody.)
 *
 * Only where it is sure to work: through MikroORM's own `pg` pool, on a connection whose COMMIT has been seen to pass
 * here before. Everybody else runs the statement by itself.
 */
export class CommitCompanion {
  readonly #links = new WeakMap<Link, WatchedLink>();
  #speaksPg?: Promise<boolean>;

  constructor(private readonly connection: NativeConnection) {}

  /** Takes the statement to be sent with the COMMIT that comes next; false when the caller has to run it. */
  async take(transaction: TransactionContext, sql: string): Promise<boolean> {
    if (!(await (this.#speaksPg ??= speaksPg(this.connection)))) return false;
    const link = await (transaction as unknown as Transaction).getExecutor().provideConnection(async (one) => one);
    let watched = this.#links.get(link);
    if (!watched) this.#links.set(link, (watched = new WatchedLink(link)));
    return watched.take(sql);
  }
}

/** One connection to the database, watched for its COMMIT. */
class WatchedLink {
  #commitPassesHere = false;
  #last?: string;

  constructor(link: Link) {
    const stock = link.executeQuery.bind(link);
    link.executeQuery = async (query, ...rest) => {
      const last = this.#last;
      this.#last = undefined;
      if (query.sql === 'commit') {
        this.#commitPassesHere = true;
        return stock(last === undefined ? query : { ...query, sql: `${last}; commit` }, ...rest);
      }
      // Somebody still works in a transaction that is being committed: nothing may get lost for it.
      if (last !== undefined && query.sql !== 'rollback') await stock({ ...query, sql: last, parameters: [] });
      return stock(query, ...rest);
    };
  }

  take(sql: string): boolean {
    if (this.#commitPassesHere) this.#last = sql;
    return this.#commitPassesHere;
  }
}

/** Kysely's connection. */
interface Link {
  executeQuery(query: CompiledQuery, ...rest: unknown[]): Promise<unknown>;
}

interface Transaction {
  getExecutor(): { provideConnection(consumer: (link: Link) => Promise<Link>): Promise<Link> };
}

/** The part of a MikroORM connection that tells what it speaks to. */
export interface NativeConnection {
  getNativeClient?(): Promise<unknown>;
}

// A `pg` statement without parameters is a simple query, which may hold several; other drivers refuse that.
async function speaksPg(connection: NativeConnection): Promise<boolean> {
  try {
    const pool = (await connection.getNativeClient?.()) as { Client?: { name?: string }; totalCount?: unknown } | undefined;
    return typeof pool?.totalCount === 'number' && pool.Client?.name === 'Client';
  } catch {
    return false; // a dialect of the user's own
  }
}
