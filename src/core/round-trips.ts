import { asCopyIn } from './copy-in.js';
import { PreparedStatements } from './prepared-statements.js';

/**
 * Saves the round trips at both ends of a transaction, in which a small one spends much of its time:
 *
 *   begin ─▶ update … ─▶ insert into cqrs_outbox … ─▶ commit      becomes
 *   begin; update …   ─▶ insert into cqrs_outbox …; commit
 *
 * BEGIN, and a statement marked by `withNext`, is held back until the next statement; one marked by `withCommit` until the
 * COMMIT. Those without parameters travel in one simple query: PostgreSQL stops at the first error. When the insert fails
 * there is no COMMIT, the promise of the commit rejects, and MikroORM rolls back.
 *
 * Those with parameters are pipelined, where `pg` can (8.23 and later): sent without waiting for the one before, and done
 * one after another all the same. When one fails, so do those behind it, and the first tells why. A COMMIT is never
 * pipelined: that of an aborted transaction is answered with ROLLBACK, which is an error to nobody.
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

/** Marks a statement whose result nobody needs as the last one of its transaction: it may wait for the COMMIT. */
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

/** One or several of them, as they are sent. */
interface Message {
  readonly args: QueryArguments;
  readonly rows: readonly unknown[][];
}

class WatchedClient {
  readonly #stock: PgClient['query'];
  #heldFirst: Held[] = [];
  #heldLast: string[] = [];
  /** What PostgreSQL said when it ended the connection. */
  #farewell?: PgError;

  constructor(
    private readonly client: PgClient,
    private readonly statements: PreparedStatements,
  ) {
    const stock = client.query.bind(client);
    this.#stock = (...args) => {
      const copy = asCopyIn(args);
      if (copy) stock(copy);
      return this.#explaining(copy ? copy.answer : stock(...args));
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
    if (sql !== undefined && BEGIN.test(sql)) return this.#holdFirst(args);
    if (typeof text === 'string' && text.startsWith(WITH_NEXT)) {
      return this.#holdFirst([text.slice(WITH_NEXT.length), ...rest]);
    }
    if (sql?.startsWith(WITH_COMMIT)) return this.#holdLast(sql);
    const first = this.#heldFirst;
    const last = this.#heldLast;
    this.forget();
    if (sql === 'rollback') return begins(first) ? Promise.resolve(nothingDone()) : this.#rollBack();
    // A transaction in which nothing happened never was.
    if (sql === 'commit' && begins(first) && last.length === 0) return Promise.resolve(nothingDone());
    const held = [...first, ...last.map((one): Held => ({ args: [one], rows: [] }))];
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

  #holdFirst(args: QueryArguments): Promise<unknown> {
    const answer = nothingDone();
    this.#heldFirst.push({ args, rows: answer.rows });
    return Promise.resolve(answer);
  }

  #holdLast(sql: string): Promise<unknown> {
    this.#heldLast.push(sql);
    return Promise.resolve(nothingDone());
  }

  /** The statement, and before it what was held back. */
  #behind(held: readonly Held[], args: QueryArguments): unknown {
    const sql = simpleText(args);
    const messages = joinTexts(held);
    const [first, ...others] = messages;
    const text = first && others.length === 0 ? simpleText(first.args) : undefined;
    if (sql !== undefined && text !== undefined) return this.#together({ ...first!, args: [`${text}; ${sql}`] });
    if (typeof args[0] === 'string' && args[2] === undefined) return this.#pipelined(messages, args);
    // A cursor or a callback waits in the client's own queue. If what is before it fails, so does it.
    for (const one of messages) this.#fill(one).catch(() => {});
    return this.#stock(...args);
  }

  /** One message, of which the last statement is asked for. */
  async #together(message: Message): Promise<unknown> {
    const results = (await this.#fill(message)).slice(message.rows.length);
    return results.length === 1 ? results[0] : results;
  }

  async #pipelined(messages: readonly Message[], args: QueryArguments): Promise<unknown> {
    const { pipeline, connection } = this.client;
    if (pipeline === undefined || !connection?.stream) {
      for (const one of messages) await this.#fill(one);
      return this.#sendNamed(args);
    }
    const { stream } = connection;
    this.client.pipeline = true;
    stream.cork?.();
    const before = messages.map((one) => this.#fill(one));
    // Behind a failure a COMMIT would only seem to work.
    const own = simpleText(args) === undefined ? (this.#sendNamed(args) as Promise<unknown>) : undefined;
    stream.uncork?.();
    // All of them: the client must be idle before it does again as it was told.
    const settled = await Promise.allSettled([...before, own]);
    this.client.pipeline = pipeline;
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
    return own ?? this.#stock(...args);
  }

  /** Sends a message, and gives those who were held back their rows. @returns the answers of all its statements */
  async #fill({ args, rows }: Message): Promise<readonly unknown[]> {
    const result = await (this.#sendNamed(args) as Promise<unknown>);
    const answers = (Array.isArray(result) ? result : [result]) as readonly Partial<Answer>[];
    for (const [index, into] of rows.entries()) for (const row of answers[index]?.rows ?? []) into.push(row);
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

// Texts that follow one another share a message.
function joinTexts(held: readonly Held[]): Message[] {
  const messages: Message[] = [];
  for (const { args, rows } of held) {
    const last = messages.at(-1);
    const [before, text] = [last && simpleText(last.args), simpleText(args)];
    if (before === undefined || text === undefined) messages.push({ args, rows: [rows] });
    else messages[messages.length - 1] = { args: [`${before}; ${text}`], rows: [...last!.rows, rows] };
  }
  return messages;
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

type QueryArguments = [query: unknown, parameters?: unknown, callback?: unknown];

type PgError = Error & { readonly code?: string };

interface PgClient {
  /** Whether statements are sent while others are under way; versions that cannot do not have it. */
  pipeline?: boolean;
  query(...args: QueryArguments): unknown;
  end?(): Promise<void>;
  on?(event: 'error', listener: (error: PgError) => void): void;
  readonly connection?: { readonly stream?: { destroy(): void; cork?(): void; uncork?(): void } };
}

interface PgPool {
  readonly totalCount?: unknown;
  on?(event: 'acquire', listener: (client: PgClient) => void): void;
}
