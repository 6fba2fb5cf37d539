import type { EntityMetadata, EntityProperty } from '@mikro-orm/core';
import { ConfigurationError, CqrsError, UnsupportedWriteError } from '../../../kernel/errors.js';
import { quoted } from '../../../postgres/identifiers.js';
import { bringBefore } from './before-images.js';
import { CapturedBuilders } from './captured-builder.js';
import { CapturedRun } from './captured-run.js';
import { Returning } from './captured-statement.js';
import { INCARNATION, type MasterTable, type RowImage } from '../definition/master-table.js';
import {
  type CapturedDriver,
  checkInternals,
  type DriverOptions,
  type QueryResult,
  type Row,
  type TransactionContext,
} from '../mikro-orm-internals.js';
import { newIncarnationWhen, nextOwnAssignments, withoutOwnProperties } from './own-columns.js';
import { PendingChanges, type PendingChange } from './pending-changes.js';
import { abort, SessionSettingError } from '../checks/session-settings.js';
import type { TransactionLog } from './transaction-log.js';

/**
 * Sees every write of a master at the driver, below flush, `em.insert … nativeDelete`, repositories, upserts and query
 * builders, so that none escapes and the user's own EntityManager stays free. Each captured statement
 *
 *   1. runs in a transaction (one is opened when there is none),
 *   2. moves `cqrs_revision` and `cqrs_updated` in the same statement,
 *   3. returns the rows as the database has them, as text, next to what MikroORM asked for,
 *   4. is noted in the transaction's pending changes; MikroORM gets back only what it had asked for.
 */
export class WriteCapture {
  readonly #tables = new Map<EntityMetadata, MasterTable>();
  readonly #names = new Set<string>();
  readonly #builders: CapturedBuilders;
  #checked = false;

  constructor(
    private readonly parts: {
      readonly driver: CapturedDriver;
      readonly log: TransactionLog;
      /** True while `cqrs.withoutReplication()` runs: revisions move, nothing is announced. */
      readonly isMuted: () => boolean;
      /** For transactions begun behind MikroORM's back: their end is not seen, so each write speaks at once. */
      readonly announceNow: (transaction: TransactionContext, changes: readonly PendingChange[]) => Promise<void>;
    },
  ) {
    this.#builders = new CapturedBuilders({
      driver: parts.driver,
      isMuted: parts.isMuted,
      isMasterTable: (name) => this.#names.has(name),
      run: (where, work) => this.#run(where, work),
    });
  }

  install(tables: readonly MasterTable[]): void {
    for (const table of tables) {
      this.#tables.set(table.root, table);
      this.#names.add(table.root.tableName);
    }
    this.#keepOwnErrors();
    this.#wrapInsertMany();
    this.#wrapUpdateMany();
    this.#wrapQueryBuilder();
    this.#wrapNativeQueries();
  }

  // MikroORM would make an error of the driver of whatever a statement throws.
  #keepOwnErrors(): void {
    const { driver } = this.parts;
    const stock = driver.convertException.bind(driver);
    driver.convertException = (error) => (error instanceof CqrsError ? error : stock(error));
  }

  // flush and em.insertMany: one INSERT of many rows
  #wrapInsertMany(): void {
    const { driver } = this.parts;
    const stock = driver.nativeInsertMany.bind(driver);
    driver.nativeInsertMany = (entityName, data, options = {}, transform) => {
      const found = this.#find(entityName);
      if (!found) return stock(entityName, data, options, transform);
      return this.#run(this.#where(found, options), async (run) => {
        run.begins();
        const returning = new Returning(run.table.returning);
        const rows = data.map((row) => withoutOwnProperties(row));
        const images: RowImage[] = [];
        const result = await run.capture(
          () => stock(entityName, rows, { ...options, ctx: run.place.transaction }, (sql) => returning.apply(sql)),
          (answered, changes) => {
            for (const row of answered) {
              const image = run.table.takeImage(row);
              images.push(image);
              run.noteInserted(image, changes);
            }
          },
        );
        await run.finish(result.rows, images);
        returning.restore(result);
        return result;
      });
    };
  }

  // flush of two or more changed rows: one UPDATE with a CASE for each column
  #wrapUpdateMany(): void {
    const { driver } = this.parts;
    const stock = driver.nativeUpdateMany.bind(driver);
    driver.nativeUpdateMany = (entityName, where, data, options = {}, transform) => {
      const found = this.#find(entityName);
      // Its upserts end up in a query builder, which is captured below.
      if (!found || options.upsert) return stock(entityName, where, data, options, transform);
      const rows = data.map((row) => withoutOwnProperties(row));
      if (rows.every((row) => Object.keys(row).length === 0)) return Promise.resolve({ affectedRows: 0, rows: [] });
      return this.#run(this.#where(found, options), async (run) => {
        const update = (indexes: readonly number[]): Promise<QueryResult> =>
          this.#updateTogether(run, found.meta, {
            where: indexes.map((index) => where[index]),
            rows: indexes.map((index) => rows[index]!),
            send: (conditions, values, apply) =>
              stock(entityName, conditions, values, { ...options, ctx: run.place.transaction }, apply),
          });
        // Each has a key of its own to be compared with, and the order in which they move is that of the flush.
        const moving = rows.map((row) => found.meta.primaryKeys.some((name) => name in row));
        const all = [...rows.keys()];
        const staying = all.filter((index) => !moving[index]);
        const results = staying.length > 0 ? [await update(staying)] : [];
        for (const index of all.filter((one) => moving[one])) results.push(await update([index]));
        await run.finish();
        return joined(results);
      });
    };
  }

  async #updateTogether(
    run: CapturedRun,
    meta: EntityMetadata,
    statement: {
      where: unknown[];
      rows: Row[];
      send: (
        where: unknown[],
        rows: Row[],
        transform: (sql: string, params: unknown[]) => string,
      ) => Promise<QueryResult>;
    },
  ): Promise<QueryResult> {
    const { table, sqlName } = run;
    const moved = meta.getPrimaryProps().filter(({ name }) => name in statement.rows[0]!);
    const movesKeys = moved.length > 0;
    const kind = table.kindProperty;
    const movesKind = kind !== undefined && statement.rows.some((row) => kind in row);
    const prefix = `update ${sqlName} set `;
    const first = run.begins();
    let returning: Returning | undefined;
    const result = await run.capture(
      () =>
        statement.send(statement.where, statement.rows, (sql, params) => {
          const own = [nextOwnAssignments({ first }), ...incarnationOf(table, moved, statement.rows[0]!, params)].join(
            ', ',
          );
          const text = `${prefix}${own}, ${sql.slice(prefix.length)}`;
          if (!run.needsBefore({ movesKeys, movesKind }))
            return (returning = new Returning(table.returning)).apply(text);
          // its condition, the keys and nothing else, is the last
          const [update, rest] = splitLast(text, ' where ');
          const [where, asked] = splitLast(rest, ' returning ');
          const { source, returning: before } = bringBefore(table, {
            from: sqlName,
            qualifier: sqlName,
            where,
            movesKeys,
          });
          returning = new Returning(`${table.returning}, ${before}`);
          return returning.apply(`${update} ${source}${asked === '' ? '' : ` returning ${asked}`}`);
        }),
      (answered, changes) => {
        for (const row of answered) run.noteUpdated(row, changes);
      },
    );
    returning?.restore(result);
    return result;
  }

  // everything else: single-row flush, native calls, upserts, query builders, 1:M collections
  #wrapQueryBuilder(): void {
    const { driver } = this.parts;
    const stock = driver.createQueryBuilder.bind(driver);
    driver.createQueryBuilder = (entityName, ...rest) => {
      const builder = stock(entityName, ...rest);
      const found = this.#find(entityName);
      return found ? this.#builders.wrap(builder, found.meta, found.table) : builder;
    };
  }

  // em.execute(qb.getNativeQuery())
  #wrapNativeQueries(): void {
    const connection = this.parts.driver.getConnection('write');
    const stock = connection.execute.bind(connection);
    connection.execute = (<T>(...args: Parameters<typeof stock>): Promise<T> => {
      const [query, , method = 'all', context, loggerContext] = args;
      const captured =
        typeof query === 'object' ? this.#builders.executeNative(query, method, context, loggerContext) : undefined;
      return (captured as Promise<T> | undefined) ?? stock<T>(...args);
    }) as typeof connection.execute;
  }

  // MikroORM's parts are complete only after `MikroORM.init`; the first write finds out whether they are those we know.
  #checkOnce(table: MasterTable): void {
    if (this.#checked) return;
    const problems = checkInternals(this.parts.driver, table.root.class as Function);
    if (problems.length > 0) throw new ConfigurationError(problems);
    this.#checked = true;
  }

  #find(entityName: unknown): { meta: EntityMetadata; table: MasterTable } | undefined {
    const meta = this.parts.driver.metadata.find(entityName);
    const table = meta && this.#tables.get(meta.root);
    return table && { meta: meta!, table };
  }

  #where(
    { meta, table }: { meta: EntityMetadata; table: MasterTable },
    options: DriverOptions,
  ): { context: TransactionContext | undefined; table: MasterTable; sqlName: string; loggerContext?: object } {
    const { ctx: context, loggerContext } = options;
    return { context, table, sqlName: this.parts.driver.getTableName(meta, options), loggerContext };
  }

  async #run<T>(
    where: {
      context: TransactionContext | undefined;
      table: MasterTable;
      sqlName: string;
      loggerContext?: object;
      sessionContext?: object;
    },
    work: (run: CapturedRun) => Promise<T>,
  ): Promise<T> {
    const { context, table, sqlName, loggerContext, sessionContext } = where;
    const { driver, log, announceNow } = this.parts;
    this.#checkOnce(table);
    const muted = this.parts.isMuted();
    if (!muted) this.#refuseOtherSchema(table, sqlName);
    const connection = driver.getConnection('write');
    const inside = async (transaction: TransactionContext): Promise<T> => {
      const followed = log.changesOf(transaction);
      const apart = muted || !followed ? new PendingChanges() : undefined;
      const run = new CapturedRun({ driver, connection, transaction, table, loggerContext }, sqlName, { log, apart });
      const result = await work(run).catch(async (error: unknown) => {
        if (error instanceof SessionSettingError) await abort(connection, transaction);
        throw error;
      });
      if (apart && !muted) await announceNow(transaction, apart.drain());
      return result;
    };
    return context ? inside(context) : connection.transactional(inside, { sessionContext, loggerContext });
  }

  #refuseOtherSchema(table: MasterTable, sqlName: string): void {
    const home = this.parts.driver.getTableName(table.root, {});
    if (sqlName === home) return;
    throw new UnsupportedWriteError(
      table.root.className,
      `it goes to ${sqlName}, and the master is ${home}: replicas cannot tell rows of several schemas apart`,
      'Write it without `schema`, declare a master of its own for the other schema, or write inside cqrs.withoutReplication().',
    );
  }
}

/** The incarnation of the only row, as an assignment; its parameters come first. */
function incarnationOf(table: MasterTable, moved: readonly EntityProperty[], row: Row, params: unknown[]): string[] {
  if (moved.length === 0) return [];
  const parts = moved.flatMap(({ name, fieldNames }) =>
    fieldNames.map((field, index) => ({
      field,
      value: fieldNames.length > 1 ? (row[name] as unknown[])[index] : row[name],
    })),
  );
  params.unshift(...parts.map(({ value }) => value));
  const condition = parts.map(({ field }) => `${quoted(field)} is distinct from ?`).join(' or ');
  return [`${quoted(INCARNATION)} = ${newIncarnationWhen(condition, table)}`];
}

/** The text before and behind the last of these. */
function splitLast(text: string, by: string): [string, string] {
  const at = text.lastIndexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + by.length)];
}

function joined(results: readonly QueryResult[]): QueryResult {
  const [first, ...others] = results;
  if (others.length === 0) return first!;
  const rows = results.flatMap((result) => result.rows ?? []);
  return {
    ...first!,
    affectedRows: results.reduce((sum, { affectedRows }) => sum + affectedRows, 0),
    rows,
    row: rows[0],
  };
}
