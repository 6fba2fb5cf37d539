import type { EntityMetadata, TransactionEventType } from '@mikro-orm/core';
import { QueryType } from '@mikro-orm/sql';
import type { Problem } from '../../kernel/errors.js';

/**
 * The parts of MikroORM that capture leans on and that its public types do not promise, in one place. `checkInternals`
 * looks for each of them at start, so that a MikroORM which has changed is refused instead of silently not captured.
 */

export type Row = Record<string, unknown>;

/** Kysely's, over a client of the pool. */
export interface DatabaseConnection {
  executeQuery(query: { readonly sql: string }, ...rest: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** What Kysely's transactions have. */
export interface HasExecutor {
  getExecutor?(): { provideConnection<T>(use: (connection: DatabaseConnection) => Promise<T>): Promise<T> };
}

/** What MikroORM calls a transaction: the object that travels as `ctx`. Those of savepoints are others. */
export type TransactionContext = object & HasExecutor & { savepointName?: string };

/** What sends the events of a transaction to their subscribers. */
export interface Broadcaster {
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

export interface QueryResult {
  affectedRows: number;
  insertId?: unknown;
  insertedIds?: unknown[];
  row?: Row;
  rows?: Row[];
}

export interface DriverOptions {
  ctx?: TransactionContext;
  schema?: string;
  upsert?: boolean;
  loggerContext?: object;
  [option: string]: unknown;
}

export interface SqlConnection extends TransactionalConnection {
  execute<T>(
    sql: string | object,
    params?: readonly unknown[],
    method?: 'all' | 'get' | 'run',
    ctx?: TransactionContext,
    loggerContext?: object,
  ): Promise<T>;
  transactional<T>(work: (transaction: TransactionContext) => Promise<T>, options?: ImplicitTransaction): Promise<T>;
}

/** What MikroORM begins a transaction with that nobody asked for: the user's session variables, role and log context. */
export interface ImplicitTransaction {
  readonly sessionContext?: object | undefined;
  readonly loggerContext?: object | undefined;
  readonly isolationLevel?: 'read committed';
}

/** The part of an EntityManager that says so. */
export interface SessionOwner {
  getLoggerContext?(): object;
  getTransactionSessionContext?(): object | undefined;
}

/**
 * For a transaction that is begun for an EntityManager which has none: row security, above all, must see the same session
 * as without us. MikroORM does the same where it begins one by itself.
 */
export function implicitTransaction(em: SessionOwner | undefined): ImplicitTransaction {
  return { sessionContext: em?.getTransactionSessionContext?.(), loggerContext: em?.getLoggerContext?.() };
}

export interface CapturedDriver {
  readonly metadata: { find(entityName: unknown): EntityMetadata | undefined };
  createQueryBuilder(entityName: unknown, ...rest: unknown[]): CapturedQueryBuilder;
  nativeInsertMany(
    entityName: unknown,
    data: Row[],
    options?: DriverOptions,
    transform?: (sql: string) => string,
  ): Promise<QueryResult>;
  nativeUpdateMany(
    entityName: unknown,
    where: unknown[],
    data: Row[],
    options?: DriverOptions,
    transform?: (sql: string, params: unknown[]) => string,
  ): Promise<QueryResult>;
  getTableName(meta: EntityMetadata, options: DriverOptions, quote?: boolean): string;
  convertException(error: unknown): Error;
  getConnection(type: 'write'): SqlConnection;
  mapResult(row: Row, meta: EntityMetadata): Row | null;
}

/** What a query builder holds until it is compiled. */
export interface QueryBuilderState {
  readonly finalized: boolean;
  readonly type?: string;
  readonly flags: ReadonlySet<string>;
  readonly returning?: readonly unknown[];
}

/** What a query builder has decided to send: relations in conditions have become sub-queries, properties columns. */
export interface NativeQuery {
  readonly type?: string;
  readonly options: {
    /** Quoted, with its schema, and with its alias behind ` as `; a fragment where the table is a sub-query. */
    tableName?: string | object;
    where?: { sql: string; params: unknown[] };
    ctes?: { sql: string }[];
    data?: Row | Row[];
    insertSubQuery?: { sql: string; params: readonly unknown[]; columns: string[] };
    returning?: unknown[];
    onConflict?: { fields: string[] | object; ignore?: boolean; merge?: (string | object)[] | Row };
  };
  /** The pieces of the text, while it is compiled. */
  readonly parts: string[];
  compileUpdate(): void;
  addOnConflictClause(): void;
  compile(): { sql: string; params: unknown[] };
}

export interface CapturedQueryBuilder {
  readonly state: QueryBuilderState;
  readonly type: string;
  readonly context?: TransactionContext;
  readonly loggerContext?: object;
  /** Undefined where the driver itself made the builder. */
  readonly em?: { readonly id?: unknown; getTransactionSessionContext(): object | undefined };
  clone(...args: unknown[]): CapturedQueryBuilder;
  execute(method?: 'all' | 'get' | 'run', options?: boolean | { mapResults?: boolean }): Promise<unknown>;
  stream(options?: { rawResults?: boolean; mapResults?: boolean }): AsyncIterable<unknown>;
  mapResult(row: Row | null, map: boolean): unknown;
  setAbortOptions(options: object | undefined): unknown;
  getNativeQuery(...args: unknown[]): NativeQuery;
}

/** Problems when this MikroORM is not one that capture knows how to follow; `entity` is any discovered entity. */
export function checkInternals(driver: CapturedDriver, entity: Function): Problem[] {
  const missing: string[] = [];
  const expectFunction = (owner: object, name: string): void => {
    if (typeof (owner as Record<string, unknown>)[name] !== 'function') missing.push(name);
  };
  for (const name of [
    'createQueryBuilder',
    'nativeInsertMany',
    'nativeUpdateMany',
    'getTableName',
    'mapResult',
    'convertException',
  ]) {
    expectFunction(driver, name);
  }
  for (const name of ['begin', 'commit', 'rollback', 'transactional', 'execute']) {
    expectFunction(driver.getConnection('write'), name);
  }
  if (missing.length === 0) missing.push(...checkBuilder(() => driver.createQueryBuilder(entity)));
  if (missing.length === 0) return [];
  return [
    {
      where: 'MikroORM',
      what: `this version cannot be captured: ${missing.join(', ')} is not what it was.`,
      cure: 'Use a version of @mikro-orm/postgresql that the README names, or a newer mikro-orm-cqrs.',
    },
  ];
}

// Compiles statements that are never run, and looks where the parts are that will be read.
function checkBuilder(create: () => CapturedQueryBuilder): string[] {
  try {
    const builder = create();
    for (const name of ['stream', 'mapResult', 'clone', 'setAbortOptions'] as const) {
      if (typeof builder[name] !== 'function') return [`QueryBuilder.${name}`];
    }
    (builder as unknown as { update(data: Row): { where(condition: Row): void } }).update({}).where({});
    const probe = builder.state;
    if (typeof probe !== 'object' || !('finalized' in probe) || !('type' in probe) || !(probe.flags instanceof Set)) {
      return ['QueryBuilder.state'];
    }
    const native = builder.getNativeQuery();
    if (typeof native.options?.tableName !== 'string' || native.type !== QueryType.UPDATE) {
      return ['NativeQueryBuilder.options'];
    }
    for (const name of ['compileUpdate', 'addOnConflictClause'] as const) {
      if (typeof native[name] !== 'function') return [`NativeQueryBuilder.${name}`];
    }
    // what is replaced where rows are read before they are changed
    native.compile();
    if (!native.parts.some((part) => part.includes('"cqrs_revision" = '))) return ['NativeQueryBuilder.parts'];
    return [];
  } catch (error) {
    return [`QueryBuilder (${(error as Error).name})`];
  }
}
