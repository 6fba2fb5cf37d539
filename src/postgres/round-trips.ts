import { asCopyIn, isCopyIn } from './copy-in.js';
import { StatementBatch, type BatchedStatement, type BatchingClient } from './statement-batch.js';
import { PreparedStatements } from './prepared-statements.js';

/**
 * Saves the round trips at both ends of a transaction, in which a small one spends much of its time:
 *
 *   begin ─▶ update … ─▶ insert into cqrs_outbox … ─▶ commit      becomes
 *   begin; update …   ─▶ insert into cqrs_outbox …; commit
 *
 * BEGIN, and a statement marked by `withNext`, is held back until the next statement; one marked by `withCommit` until the
 * COMMIT. They travel with it: in one simple query where none has parameters, else as a `StatementBatch`, where `pg` can. Either
 * way PostgreSQL does them one after another and stops at the first error. When the insert fails there is no COMMIT, the
 * promise of the commit rejects, and MikroORM rolls back.
 *
 * It watches the `pg` clients of MikroORM's own pool as they are taken from it, and keeps those out of it that no longer
 * answer. On any other driver everything is sent as it comes.
 * @returns what whoever begins transactions by the pool itself has to call before.
 */
export function saveRoundTrips(connection: NativeConnection): () => Promise<void> {
  const begin = connection.begin.bind(connection);
  let watching: Promise<boolean> | undefined;
  const watch = async (): Promise<void> => {
    if (!(await (watching ??= watchPool(connection)))) watching = undefined;
  };
  connection.begin = async (...args) => {
    await watch();
    return begin(...args);
  };
  return watch;
}

/**
 * Marks a statement as one of the last of its transaction: it may wait for the COMMIT. Its answer is empty until the
 * transaction is committed; then its rows are in the array that it was answered with.
 */
export function withCommit(sql: string): string {
  return WITH_COMMIT + sql;
}

/**
 * Marks a statement that may wait for the next one of its transaction. Its answer is empty until that one's is there; then
 * its rows are in the array that it was answered with.
 */
export function withNext(sql: string): string {
  return WITH_NEXT + sql;
}

/** Whether the clients of a connection are watched, and so know statements marked by `copyIn`. */
export function isWatched(connection: object): boolean {
  return watchedConnections.has(connection);
}

const watchedConnections = new WeakSet<object>();

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
    const statements = new PreparedStatements();
    pool.on('acquire', (client) => {
      const known = watched.get(client);
      if (known) known.forget();
      else watched.set(client, new WatchedClient(client, statements));
    });
    watchedConnections.add(connection);
    return true;
  } catch {
    return false; // whoever uses the connection will hear why; a dialect of the user's own keeps its client to itself
  }
}

const BEGIN = /^(?:begin|start transaction isolation level [a-z ]+)$/;
/** A comment: whoever does not know it just runs the statement. */
const WITH_COMMIT = '/* cqrs: with commit */ ';
const WITH_NEXT = '/* cqrs: with next */ ';
/** The state of a transaction that ran into `idle_in_transaction_session_timeout`. */
const STOOD_STILL = '25P03';
const nothingDone = (): Answer => ({ command: '', rowCount: null, rows: [], fields: [] });

interface Answer {
  readonly command: string;
  readonly rowCount: number | null;
  readonly rows: unknown[];
  readonly fields: readonly unknown[];
}

/** A statement that was held back, and where the rows of its answer go. */
interface Held {
  readonly args: QueryArguments;
  readonly rows: unknown[];
}

class WatchedClient {
  readonly #stock: PgClient['query'];
  #heldFirst: Held[] = [];
  #heldLast: Held[] = [];
  /** What PostgreSQL said when it ended the connection. */
  #farewell?: PgError;

  constructor(
    private readonly client: PgClient,
    private readonly statements: PreparedStatements,
  ) {
    const stock = client.query.bind(client);
    this.#stock = (...args) => {
      const own = args[0] instanceof StatementBatch ? args[0] : asCopyIn(args);
      if (own) stock(own);
      return this.#explaining(own ? own.answer : stock(...args));
    };
    client.on?.('error', (error) => void (this.#farewell ??= error));
    client.query = (...args) => this.#query(args);
  }

  /** What a former holder of the client has left behind. */
  forget(): void {
    this.#heldFirst = [];
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
    const [text, ...rest] = args;
    const sql = simpleText(args);
    if (sql !== undefined && BEGIN.test(sql)) return hold(this.#heldFirst, args);
    if (typeof text === 'string' && text.startsWith(WITH_NEXT)) {
      return hold(this.#heldFirst, [text.slice(WITH_NEXT.length), ...rest]);
    }
    if (typeof text === 'string' && text.startsWith(WITH_COMMIT)) {
      return hold(this.#heldLast, [text.slice(WITH_COMMIT.length), ...rest]);
    }
    const first = this.#heldFirst;
    const last = this.#heldLast;
    this.forget();
    if (sql === 'rollback') return begins(first) ? Promise.resolve(nothingDone()) : this.#rollBack();
    // A transaction in which nothing happened never was.
    if (sql === 'commit' && begins(first) && last.length === 0) return Promise.resolve(nothingDone());
    const held = [...first, ...last];
    return held.length === 0 ? this.#sendNamed(args) : this.#behind(held, args);
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
      return nothingDone();
    }
  }

  /** The statement, and before it what was held back. */
  #behind(held: readonly Held[], args: QueryArguments): unknown {
    const sql = simpleText(args);
    const texts = held.map((one) => simpleText(one.args));
    if (sql !== undefined && texts.every((text) => text !== undefined)) return this.#together(held, [...texts, sql]);
    const own = asStatement(args);
    // Several statements may be in one text of a user's, and only in a query of its own; so is COPY.
    const alone = (sql !== undefined && sql !== 'commit') || isCopyIn(args);
    if (own && !alone) return this.#sendBatch(held, own);
    const ahead = this.#sendBatch(held);
    if (own) return ahead.then(() => this.#stock(...args));
    // A cursor or a callback waits in the client's own queue, behind the batch. If that fails, so does it.
    ahead.catch(() => {});
    return this.#stock(...args);
  }

  /** One message, of which the last statement is asked for. */
  async #together(held: readonly Held[], texts: readonly string[]): Promise<unknown> {
    const own = fill(held, (await this.#stock(texts.join('; '))) as readonly Answer[]);
    return own.length === 1 ? own[0] : own;
  }

  /** One message as well. @returns the answer to the last */
  async #sendBatch(held: readonly Held[], last?: BatchedStatement): Promise<unknown> {
    const statements = [...held.map(({ args }) => asStatement(args)!), ...(last ? [last] : [])].map(
      (statement) => this.statements.named(statement.text, statement.values) ?? statement,
    );
    const batch = StatementBatch.of(this.client, statements);
    const answers = batch ? await this.#answersOf(batch) : await this.#inTurn(statements);
    return fill(held, answers)[0];
  }

  async #answersOf(batch: StatementBatch): Promise<readonly Answer[]> {
    try {
      return (await this.#stock(batch)) as readonly Answer[];
    } catch (error) {
      throw batch.name === undefined ? error : this.statements.failed(error);
    }
  }

  async #inTurn(statements: readonly BatchedStatement[]): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    for (const { text, values } of statements) answers.push((await this.#stock(text, values)) as Answer);
    return answers;
  }

  /** With its name, if it has one. */
  #sendNamed(args: QueryArguments): unknown {
    const [text, values, callback] = args;
    const named = callback === undefined ? this.statements.named(text, values) : undefined;
    if (!named) return this.#stock(...args);
    return (this.#stock(named) as Promise<unknown>).catch((error: unknown) => {
      throw this.statements.failed(error);
    });
  }
}

function hold(into: Held[], args: QueryArguments): Promise<unknown> {
  const answer = nothingDone();
  into.push({ args, rows: answer.rows });
  return Promise.resolve(answer);
}

/** Gives those who were held back their rows. @returns the answers that nobody was held back for */
function fill(held: readonly Held[], answers: readonly Answer[]): readonly Answer[] {
  for (const [index, { rows }] of held.entries()) for (const row of answers[index]!.rows) rows.push(row);
  return answers.slice(held.length);
}

function begins([first]: readonly Held[]): boolean {
  return typeof first?.args[0] === 'string' && BEGIN.test(first.args[0]);
}

// The text of a query that the server reads as text: no parameters, no name, a promise for an answer.
function simpleText([query, parameters, callback]: QueryArguments): string | undefined {
  if (typeof query !== 'string' || callback !== undefined) return undefined;
  const bare = parameters === undefined || (Array.isArray(parameters) && parameters.length === 0);
  return bare ? query : undefined;
}

/** The same for one that may have parameters. */
function asStatement([text, values, callback]: QueryArguments): BatchedStatement | undefined {
  if (typeof text !== 'string' || callback !== undefined) return undefined;
  return { text, values: values as readonly unknown[] | undefined };
}

type QueryArguments = [query: unknown, parameters?: unknown, callback?: unknown];

type PgError = Error & { readonly code?: string };

interface PgClient extends BatchingClient {
  query(...args: QueryArguments): unknown;
  end?(): Promise<void>;
  on?(event: 'error', listener: (error: PgError) => void): void;
  readonly connection?: { readonly stream?: { destroy(): void; cork?(): void } };
}

interface PgPool {
  readonly totalCount?: unknown;
  on?(event: 'acquire', listener: (client: PgClient) => void): void;
}
