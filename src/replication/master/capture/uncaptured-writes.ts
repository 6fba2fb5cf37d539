import { AsyncLocalStorage } from 'node:async_hooks';
import type { CqrsEvents, Events } from '../../../kernel/events.js';
import { type SqlWrite, sqlStatements } from '../../../postgres/sql-statements.js';
import { truncated } from '../../../postgres/sql-tokens.js';
import { CAPTURED } from './captured-statement.js';
import type { MasterTable } from '../definition/master-table.js';

/**
 * Speaks up about statements that write masters without capture. Every text that MikroORM or Kysely sends passes
 * through a connection of Kysely's driver, so that is where they are heard:
 *
 *   em.execute, connection.stream, executeDump   name themselves ─┐
 *   em.getKysely()                               has no name      ├─▶ driver connection ─▶ heard, sent ─▶ event
 *   capture                                      bears its mark   ┘                        passed by
 *
 * Where the service brings a Kysely or a dialect of its own, its driver is not seen; then the named ways alone are heard.
 */
export class UncapturedWrites {
  readonly #tables = new Map<string, MasterTable[]>();
  readonly #schemas = new Map<MasterTable, string>();
  readonly #way = new AsyncLocalStorage<string>();
  readonly #heard = new WeakSet<DriverConnection>();
  #names = /(?!)/;
  /** Whether the driver's connections are heard. */
  #atDriver = false;

  constructor(
    private readonly parts: {
      readonly tables: readonly MasterTable[];
      readonly events: Events;
      readonly isMuted: () => boolean;
    },
  ) {
    for (const table of parts.tables) {
      this.know(table, table.root.tableName);
      if (table.root.schema !== undefined && table.root.schema !== '*') this.#schemas.set(table, table.root.schema);
    }
  }

  /** Another name under which a master is written: a partition, a view. */
  know(table: MasterTable, name: string): void {
    const stored = truncated(name);
    const known = this.#tables.get(stored) ?? [];
    if (!known.includes(table)) this.#tables.set(stored, [...known, table]);
    const names = [...this.#tables.keys()].map((one) => escaped(one.replaceAll('"', '""')));
    // Unicode escapes may spell any of them.
    this.#names = new RegExp(String.raw`(?<![\w$])(?:${names.join('|')})(?![\w$])|u&"`, 'i');
  }

  /** The schema in which the database has found a master. */
  locate(table: MasterTable, schema: string): void {
    this.#schemas.set(table, schema);
  }

  /** The masters that a statement means by what it writes. */
  tablesOf({ schema, table }: SqlWrite): readonly MasterTable[] {
    return (this.#tables.get(table) ?? []).filter((one) => {
      const own = this.#schemas.get(one);
      return schema === undefined || own === undefined || own === schema || one.root.tableName !== table;
    });
  }

  install(connection: HeardConnection): void {
    const dialect = connection.createKyselyDialect.bind(connection);
    connection.createKyselyDialect = (overrides) => {
      this.#atDriver = true;
      const made = dialect(overrides);
      return made instanceof Promise ? made.then((one) => this.#hearDialect(one)) : this.#hearDialect(made);
    };
    const execute = connection.execute.bind(connection);
    connection.execute = (query, ...rest) =>
      this.#named(textOf(query), wayOf(query, rest[3]), () => execute(query, ...rest));
    const dump = connection.executeDump.bind(connection);
    connection.executeDump = (text) => this.#named(text, 'by executeDump()', () => dump(text));
    const stream = connection.stream.bind(connection);
    connection.stream = (query, ...rest) => this.#streamed(stream(query, ...rest), textOf(query));
  }

  /** Runs what sends a text, which is told under the name of its way. */
  async #named<T>(text: string, way: string, send: () => Promise<T>): Promise<T> {
    if (!MAY_WRITE.test(text)) return send();
    const told = this.#listen(text, way);
    const result = await this.#way.run(way, send);
    // Only now it is known: the first statement connects.
    if (!this.#atDriver) told?.();
    return result;
  }

  async *#streamed<T>(answers: AsyncIterable<T>, text: string): AsyncGenerator<T> {
    const told = this.#listen(text, STREAM);
    yield* answers;
    if (!this.#atDriver) told?.();
  }

  #hearDialect(dialect: Dialect): Dialect {
    const createDriver = dialect.createDriver.bind(dialect);
    dialect.createDriver = () => {
      const driver = createDriver();
      const acquire = driver.acquireConnection.bind(driver);
      driver.acquireConnection = async (...options) => {
        const connection = await acquire(...options);
        if (!this.#heard.has(connection)) this.#hearConnection(connection);
        return connection;
      };
      return driver;
    };
    return dialect;
  }

  #hearConnection(connection: DriverConnection): void {
    this.#heard.add(connection);
    const execute = connection.executeQuery.bind(connection);
    connection.executeQuery = async (query, ...rest) => {
      const told = this.#listen(query.sql, this.#way.getStore());
      const result = await execute(query, ...rest);
      told?.(result);
      return result;
    };
    const stream = connection.streamQuery.bind(connection);
    connection.streamQuery = (query, ...rest) => {
      const told = this.#listen(query.sql, STREAM);
      return told ? afterwards(stream(query, ...rest), told) : stream(query, ...rest);
    };
  }

  /** What is to be told once a text has been sent; undefined when it writes no master, or capture does it. */
  #listen(text: string, way = 'by Kysely'): Told | undefined {
    if (text.includes(CAPTURED) || !MAY_WRITE.test(text) || !this.#names.test(text) || this.parts.isMuted()) {
      return undefined;
    }
    const writes = [...sqlStatements(text)].flatMap((statement) => statement.writes);
    const found = new Map<string, CqrsEvents['cqrs.master.uncaptured']>();
    for (const write of writes) {
      for (const table of this.tablesOf(write)) {
        found.set(`${table.root.className} ${write.verb}`, uncaptured(table, write, way));
      }
    }
    if (found.size === 0) return undefined;
    return (answer) => {
      // A single statement that met no row has written nothing.
      if (writes.length === 1 && answer?.numAffectedRows === 0n) return;
      for (const event of found.values()) this.parts.events.emit('cqrs.master.uncaptured', event);
    };
  }
}

type Told = (answer?: { readonly numAffectedRows?: bigint }) => void;

/** The ways out of a MikroORM connection. */
export interface HeardConnection {
  execute(query: string | object, ...rest: never[]): Promise<unknown>;
  executeDump(text: string): Promise<unknown>;
  stream(query: string | object, ...rest: never[]): AsyncIterable<unknown>;
  createKyselyDialect(overrides: object): Dialect | Promise<Dialect>;
}

interface Dialect {
  createDriver(): { acquireConnection(...options: unknown[]): Promise<DriverConnection> };
}

/** Kysely's, over a client of the pool. */
interface DriverConnection {
  executeQuery(query: { readonly sql: string }, ...rest: unknown[]): Promise<{ readonly numAffectedRows?: bigint }>;
  streamQuery(query: { readonly sql: string }, ...rest: unknown[]): AsyncIterable<unknown>;
}

const STREAM = 'as a stream';
const MAY_WRITE = /\b(?:insert|update|delete|merge|truncate|copy)\b/i;

async function* afterwards<T>(answers: AsyncIterable<T>, told: Told): AsyncGenerator<T> {
  yield* answers;
  told();
}

function textOf(query: unknown): string {
  if (typeof query === 'string') return query;
  const { sql } = query as { sql?: unknown };
  // A native query is compiled when it is sent.
  return typeof sql === 'string' ? sql : NATIVE;
}

function wayOf(query: unknown, loggerContext: unknown): string {
  // A builder says which EntityManager it belongs to. It writes a master past capture in a common table expression only.
  if (typeof loggerContext === 'object' && loggerContext && 'id' in loggerContext) return 'by a query builder, in WITH';
  return typeof query === 'string' || 'sql' in (query as object) ? 'as raw SQL' : 'as a native query';
}

/** Passes for a text that may write. */
const NATIVE = 'update';

const CURES: Readonly<Record<SqlWrite['verb'], string>> = {
  insert:
    'Use the EntityManager or a query builder of its own, or announce the rows in the same transaction by callPostBulkCreate().',
  update:
    'Use the EntityManager or a query builder of its own, or announce the rows in the same transaction by callPostUpdate().',
  delete: 'Use nativeDelete() or a query builder of its own; cqrs reconcile finds rows that replicas have too many.',
  merge: 'Use em.upsertMany() and nativeDelete(); cqrs reconcile finds rows that differ.',
  truncate: 'Use nativeDelete(); cqrs reconcile finds rows that replicas have too many.',
  copy: 'Use bulkCreate(), or send the rows by cqrs sync afterwards.',
};

function uncaptured(table: MasterTable, { verb }: SqlWrite, way: string): CqrsEvents['cqrs.master.uncaptured'] {
  const reason = `${verb.toUpperCase()} of its table was sent ${way}`;
  return { entity: table.root.className, reason, cure: CURES[verb] };
}

function escaped(name: string): string {
  return name.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}
