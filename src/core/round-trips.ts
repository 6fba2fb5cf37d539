/**
 * Saves the round trips at both ends of a transaction, in which a small one spends much of its time:
 *
 *   begin ─▶ update … ─▶ insert into cqrs_outbox … ─▶ commit      becomes
 *   begin; update …   ─▶ insert into cqrs_outbox …; commit
 *
 * BEGIN is held back until the first statement, a statement marked by `withCommit` until the COMMIT. Two in one simple
 * query are not pipelined: PostgreSQL stops at the first error. When the insert fails there is no COMMIT, the promise of
 * the commit rejects, and MikroORM rolls back. (Pipelined, the COMMIT of the then aborted transaction would be answered
 * with ROLLBACK, which is an error to nobody.)
 *
 * It watches the `pg` clients of MikroORM's own pool as they are taken from it, and keeps those out of it that no longer
 * answer. On any other driver everything is sent as it comes.
 */
export function saveRoundTrips(connection: NativeConnection): void {
  const begin = connection.begin.bind(connection);
  let watching: Promise<boolean> | undefined;
  connection.begin = async (...args) => {
    if (!(await (watching ??= watchPool(connection)))) watching = undefined;
    return begin(...args);
  };
}

/** Marks a statement whose result nobody needs as the last one of its transaction: it may wait for the COMMIT. */
export function withCommit(sql: string): string {
  return WITH_COMMIT + sql;
}

/** What MikroORM's connections have. */
export interface NativeConnection {
  begin(...args: unknown[]): Promise<unknown>;
  getNativeClient?(): Promise<unknown>;
}

/** False when it may be tried again: the database was away. */
async function watchPool(connection: NativeConnection): Promise<boolean> {
  try {
    const pool = (await connection.getNativeClient?.()) as PgPool | undefined;
    if (typeof pool?.on !== 'function' || typeof pool.totalCount !== 'number') return true;
    const watched = new WeakMap<PgClient, WatchedClient>();
    pool.on('acquire', (client) => {
      const known = watched.get(client);
      if (known) known.forget();
      else watched.set(client, new WatchedClient(client));
    });
    return true;
  } catch {
    return false; // whoever uses the connection will hear why; a dialect of the user's own keeps its client to itself
  }
}

const BEGIN = /^(?:begin|start transaction isolation level [a-z ]+)$/;
/** A comment: whoever does not know it just runs the statement. */
const WITH_COMMIT = '/* cqrs: with commit */ ';
/** The state of a transaction that ran into `idle_in_transaction_session_timeout`. */
const STOOD_STILL = '25P03';
const NOTHING_DONE = { command: '', rowCount: null, rows: [], fields: [] };

class WatchedClient {
  readonly #stock: PgClient['query'];
  #heldBegin?: string;
  #heldLast: string[] = [];
  /** What PostgreSQL said when it ended the connection. */
  #farewell?: PgError;

  constructor(private readonly client: PgClient) {
    const stock = client.query.bind(client);
    this.#stock = (...args) => this.#explaining(stock(...args));
    client.on?.('error', (error) => void (this.#farewell ??= error));
    client.query = (...args) => this.#query(args);
  }

  /** What a former holder of the client has left behind. */
  forget(): void {
    this.#heldBegin = undefined;
    this.#heldLast = [];
  }

  /**
   * A query that ran into the driver's `query_timeout` is still under way, or its connection is dead: `pg` would put it back
   * into the pool as sound, and whoever gets it next would wait as long again.
   */
  #explaining(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error: unknown) => {
      if (error instanceof Error && error.message === 'Query read timeout') this.#discard();
      // Said to the query that was under way, or to none.
      if ((error as PgError).code === STOOD_STILL) this.#farewell = error as PgError;
      // `pg` says of the next query only that the connection is gone, as if the database were away.
      if (this.#farewell?.code === STOOD_STILL) throw this.#farewell;
      throw error;
    });
  }

  /** So that the pool throws it away: at once, though the end of its socket is seen later. */
  #discard(): void {
    void this.client.end?.();
    this.client.connection?.stream?.destroy();
  }

  #query(args: QueryArguments): unknown {
    const sql = simpleText(args);
    if (sql === undefined) return this.#releaseHeld(args);
    if (BEGIN.test(sql)) return this.#hold(() => (this.#heldBegin = sql));
    if (sql.startsWith(WITH_COMMIT)) return this.#hold(() => this.#heldLast.push(sql));
    const begin = this.#heldBegin === undefined ? [] : [this.#heldBegin];
    const last = sql === 'rollback' ? [] : this.#heldLast;
    this.forget();
    // A transaction in which nothing happened never was.
    if (begin.length > 0 && last.length === 0 && (sql === 'commit' || sql === 'rollback')) {
      return Promise.resolve(NOTHING_DONE);
    }
    return sql === 'rollback' ? this.#rollBack() : this.#together([...begin, ...last], sql);
  }

  /**
   * A connection that cannot roll back is lost, and the database rolls back by itself. Kysely gives a connection back to
   * the pool only after a ROLLBACK that worked: hearing of the failure, it would keep the place taken for ever.
   */
  async #rollBack(): Promise<unknown> {
    try {
      return await (this.#stock('rollback') as Promise<unknown>);
    } catch {
      this.#discard();
      return NOTHING_DONE;
    }
  }

  #hold(keep: () => void): Promise<unknown> {
    keep();
    return Promise.resolve(NOTHING_DONE);
  }

  /** A statement with parameters, a cursor or a callback shares its message with nobody; the client's queue keeps the order. */
  #releaseHeld(args: QueryArguments): unknown {
    const held = [...(this.#heldBegin === undefined ? [] : [this.#heldBegin]), ...this.#heldLast];
    this.forget();
    // If it fails, so does the one behind it: the connection is lost, or the transaction aborted.
    if (held.length > 0) (this.#stock(held.join('; ')) as Promise<unknown>).catch(() => {});
    return this.#stock(...args);
  }

  async #together(before: readonly string[], sql: string): Promise<unknown> {
    const result = await (this.#stock([...before, sql].join('; ')) as Promise<unknown>);
    if (before.length === 0 || !Array.isArray(result)) return result;
    const own = result.slice(before.length);
    return own.length === 1 ? own[0] : own;
  }
}

// The text of a query that the server reads as text: no parameters, no name, a promise for an answer.
function simpleText([query, parameters, callback]: QueryArguments): string | undefined {
  if (typeof query !== 'string' || callback !== undefined) return undefined;
  const bare = parameters === undefined || (Array.isArray(parameters) && parameters.length === 0);
  return bare ? query : undefined;
}

type QueryArguments = [query: unknown, parameters?: unknown, callback?: unknown];

type PgError = Error & { readonly code?: string };

interface PgClient {
  query(...args: QueryArguments): unknown;
  end?(): Promise<void>;
  on?(event: 'error', listener: (error: PgError) => void): void;
  readonly connection?: { readonly stream?: { destroy(): void } };
}

interface PgPool {
  readonly totalCount?: unknown;
  on?(event: 'acquire', listener: (client: PgClient) => void): void;
}
