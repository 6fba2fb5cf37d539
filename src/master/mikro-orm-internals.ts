import type { EntityMetadata } from '@mikro-orm/core';
import type { Problem } from '../core/errors.js';
import type { TransactionalConnection, TransactionContext } from './transaction-log.js';

/**
 * The parts of MikroORM that capture leans on and that its public types do not promise, in one place. `checkInternals`
 * looks for each of them at start, so that a MikroORM which has changed is refused instead of silently not captured.
 */

export type Row = Record<string, unknown>;

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
  [option: string]: unknown;
}

export interface SqlConnection extends TransactionalConnection {
  execute<T>(
    sql: string,
    params?: readonly unknown[],
    method?: 'all' | 'get' | 'run',
    ctx?: TransactionContext,
    loggerContext?: object,
  ): Promise<T>;
  transactional<T>(work: (transaction: TransactionContext) => Promise<T>): Promise<T>;
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
    transform?: (sql: string) => string,
  ): Promise<QueryResult>;
  getTableName(meta: EntityMetadata, options: DriverOptions, quote?: boolean): string;
  getConnection(type: 'write'): SqlConnection;
  mapResult(row: Row, meta: EntityMetadata): Row | null;
}

export interface OnConflict {
  fields: string[] | object;
  ignore?: boolean;
  merge?: string[] | Row;
}

export interface QueryBuilderState {
  finalized: boolean;
  type?: string;
  data?: Row | Row[];
  onConflict?: OnConflict[];
  returning?: unknown[];
  insertSubQuery?: object;
  explicitAlias?: boolean;
}

export interface NativeQuery {
  readonly options: {
    tableName?: string;
    where?: { sql: string; params: unknown[] };
    returning?: unknown[];
  };
  compile(): { sql: string; params: unknown[] };
}

export interface CapturedQueryBuilder {
  readonly state: QueryBuilderState;
  readonly type: string;
  readonly alias: string;
  readonly context?: TransactionContext;
  readonly loggerContext?: object;
  readonly em?: { id?: unknown };
  clone(...args: unknown[]): CapturedQueryBuilder;
  execute(method?: 'all' | 'get' | 'run', options?: boolean | { mapResults?: boolean }): Promise<unknown>;
  getNativeQuery(...args: unknown[]): NativeQuery;
}

/** Problems when this MikroORM is not one that capture knows how to follow; `entity` is any discovered entity. */
export function checkInternals(driver: CapturedDriver, entity: Function): Problem[] {
  const missing: string[] = [];
  const expectFunction = (owner: object, name: string): void => {
    if (typeof (owner as Record<string, unknown>)[name] !== 'function') missing.push(name);
  };
  for (const name of ['createQueryBuilder', 'nativeInsertMany', 'nativeUpdateMany', 'getTableName', 'mapResult']) {
    expectFunction(driver, name);
  }
  for (const name of ['begin', 'commit', 'rollback', 'transactional', 'execute']) {
    expectFunction(driver.getConnection('write'), name);
  }
  if (missing.length === 0) missing.push(...checkBuilder(driver.createQueryBuilder(entity)));
  if (missing.length === 0) return [];
  return [
    {
      where: 'MikroORM',
      what: `this version cannot be captured: ${missing.join(', ')} is not what it was.`,
      cure: 'Use a version of @mikro-orm/postgresql that the README names, or a newer mikro-orm-cqrs.',
    },
  ];
}

// Compiles a statement that is never run, and looks where the parts are that will be read.
function checkBuilder(builder: CapturedQueryBuilder): string[] {
  const update = builder as unknown as { update(data: Row): { where(condition: Row): void } };
  try {
    update.update({}).where({});
    const probe = builder.state;
    if (typeof probe !== 'object' || !('finalized' in probe) || !('type' in probe)) return ['QueryBuilder.state'];
    const native = builder.getNativeQuery();
    if (typeof native.options?.tableName !== 'string') return ['NativeQueryBuilder.options'];
    return [];
  } catch (error) {
    return [`QueryBuilder (${(error as Error).name})`];
  }
}
