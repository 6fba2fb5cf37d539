/**
 * Several statements as one query of `pg`: their messages are written together, and one Sync ends them all.
 *
 *   bind, execute · bind, execute · … · sync ─▶ answer · answer · … · ready
 *
 * PostgreSQL does them one after another and answers once. At the first error it passes over all that is left up to the
 * Sync: a COMMIT at the end is not reached then, where one that was sent by itself would be answered with ROLLBACK, which is
 * an error to nobody. (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING)
 *
 * `pg` itself sends a Sync for each query. Here its own queries write their messages to a connection whose Sync does
 * nothing, and read their own answers.
 */
export class StatementBatch {
  /** The answers of all statements, in their order; or the error of the first that failed. */
  readonly answer: Promise<readonly unknown[]>;
  /** Called at the end. `pg` puts its own in front of it when it has a limit of time. */
  callback!: (error: Error | null) => void;
  /** Of the statement that is under way, or has failed. */
  declare readonly text: string;
  readonly #answers: unknown[] = [];
  #at = 0;
  #unfit?: Error;

  private constructor(private readonly queries: readonly PgQuery[]) {
    this.answer = new Promise((resolve, reject) => {
      this.callback = (error) => (error ? reject(error) : resolve(this.#answers));
    });
    // Its own, and not to be changed: instrumentations that give a query a text of their own would freeze the first one's,
    // and `pg` would remember it for the names of all.
    Object.defineProperty(this, 'text', { get: () => this.#current.text });
    for (const query of queries) {
      query.callback = (error, answer) => void (error ? (this.#unfit ??= error) : this.#answers.push(answer));
    }
  }

  /** Undefined when the client is not one that can do it, or does not look like one that is known. */
  static of(client: BatchingClient, statements: readonly BatchedStatement[]): StatementBatch | undefined {
    const { Query } = client.constructor as { Query?: new (config: object) => PgQuery };
    if (!Query || !client.connection?.stream?.cork) return undefined;
    const queries: PgQuery[] = [];
    for (const statement of statements) {
      const query = new Query({ ...statement, queryMode: 'extended' });
      if (query.requiresPreparation?.() !== true || !query._result) return undefined;
      query._result._types = client._types;
      if (client.binary) query.binary = true;
      queries.push(query);
    }
    return new StatementBatch(queries);
  }

  /** Of the statement that is under way, or has failed. */
  get name(): string | undefined {
    return this.#current.name;
  }

  submit(connection: PgConnection): null {
    const withoutSync = Object.create(connection, { sync: { value: () => {} } }) as PgConnection;
    connection.stream.cork();
    try {
      for (const query of this.queries) {
        const error = query.submit(withoutSync);
        if (error) this.#unfit = error;
        // What could not be sent is not followed by anything, least of all by a COMMIT.
        if (this.#unfit) break;
      }
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
    return null;
  }

  handleRowDescription(message: unknown): void {
    this.#current.handleRowDescription(message);
  }

  handleDataRow(message: unknown): void {
    this.#current.handleDataRow(message);
  }

  handleCommandComplete(message: unknown, connection: PgConnection): void {
    this.#current.handleCommandComplete(message, connection);
    this.#next();
  }

  handleEmptyQuery(connection: PgConnection): void {
    this.#current.handleEmptyQuery(connection);
    this.#next();
  }

  handleCopyInResponse(connection: PgConnection): void {
    this.#current.handleCopyInResponse(connection);
  }

  handleCopyData(message: unknown, connection: PgConnection): void {
    this.#current.handleCopyData(message, connection);
  }

  handleError(error: Error, connection: PgConnection): void {
    // Nobody has parsed what was passed over.
    for (const { name } of this.queries.slice(this.#at)) {
      if (name !== undefined) delete connection.submittedNamedStatements?.[name];
    }
    this.callback(error);
  }

  handleReadyForQuery(connection: PgConnection): void {
    // `pg` has it forgotten on the server, and remembers it.
    if (this.#unfit && this.name !== undefined) delete connection.parsedStatements?.[this.name];
    for (const query of this.queries.slice(0, this.#at)) query.handleReadyForQuery(connection);
    this.callback(this.#unfit ?? null);
  }

  get #current(): PgQuery {
    return this.queries[Math.min(this.#at, this.queries.length - 1)]!;
  }

  #next(): void {
    this.#at++;
  }
}

/** One statement; what has a name is parsed once a connection. */
export interface BatchedStatement {
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
  readonly name?: string | undefined;
}

/** The parts of a `pg` client that it takes. */
export interface BatchingClient {
  readonly constructor: unknown;
  readonly connection?: { readonly stream?: { cork?(): void } };
  readonly binary?: boolean;
  readonly _types?: unknown;
}

interface PgConnection {
  readonly stream: { cork(): void; uncork(): void };
  readonly submittedNamedStatements?: Record<string, string>;
  readonly parsedStatements?: Record<string, string>;
  sync(): void;
}

interface PgQuery {
  readonly name?: string;
  readonly text: string;
  readonly _result?: { _types?: unknown };
  callback: (error: Error | null, answer?: unknown) => void;
  binary?: boolean;
  requiresPreparation?(): boolean;
  submit(connection: PgConnection): Error | null;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: PgConnection): void;
  handleEmptyQuery(connection: PgConnection): void;
  handleCopyInResponse(connection: PgConnection): void;
  handleCopyData(message: unknown, connection: PgConnection): void;
  handleReadyForQuery(connection: PgConnection): void;
}
