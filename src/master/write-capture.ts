import type { EntityMetadata } from '@mikro-orm/core';
import { QueryType } from '@mikro-orm/sql';
import { ConfigurationError, UnsupportedWriteError } from '../core/errors.js';
import { quoted } from '../core/identifiers.js';
import { type BeforeImages, readByColumns, readWhere } from './before-images.js';
import { Returning } from './captured-statement.js';
import { keyTexts, keyTextsAfter } from './entity-keys.js';
import { type MasterTable, REVISION, type RowImage } from './master-table.js';
import {
  type CapturedDriver,
  type CapturedQueryBuilder,
  checkInternals,
  type QueryResult,
  type Row,
  type SqlConnection,
} from './mikro-orm-internals.js';
import { OwnColumns } from './own-columns.js';
import { concealOwnColumns } from './own-properties.js';
import { PendingChanges, type PendingChange } from './pending-changes.js';
import type { TransactionContext, TransactionLog } from './transaction-log.js';

/**
 * Sees every write of a master at the driver, below flush, `em.insert … nativeDelete`, repositories, upserts and query
 * builders, so that none escapes and the user's own EntityManager stays free. Three methods of the driver instance are
 * wrapped; each captured statement
 *
 *   1. runs in a transaction (one is opened when there is none),
 *   2. moves `cqrs_revision` and `cqrs_updated` in the same statement,
 *   3. returns the rows as the database has them, as text, next to what MikroORM asked for,
 *   4. is noted in the transaction's pending changes; MikroORM gets back only what it had asked for.
 */
export class WriteCapture {
  readonly #tables = new Map<EntityMetadata, MasterTable>();
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
  ) {}

  install(tables: readonly MasterTable[]): void {
    for (const table of tables) this.#tables.set(table.root, table);
    this.#wrapInsertMany();
    this.#wrapUpdateMany();
    this.#wrapQueryBuilder();
  }

  // flush and em.insertMany: one INSERT of many rows
  #wrapInsertMany(): void {
    const { driver } = this.parts;
    const stock = driver.nativeInsertMany.bind(driver);
    driver.nativeInsertMany = (entityName, data, options = {}, transform) => {
      const found = this.#find(entityName);
      if (!found) return stock(entityName, data, options, transform);
      return this.#run(options.ctx, found.table, driver.getTableName(found.meta, options), async (run) => {
        const returning = new Returning(run.table.returning);
        const rows = data.map((row) => OwnColumns.withoutProperties(row));
        const result = await stock(entityName, rows, { ...options, ctx: run.transaction }, (sql) =>
          returning.apply(sql),
        );
        const images = result.rows!.map((row) => run.table.takeImage(row));
        // MikroORM answers em.insertMany with the first key only, unless the driver names them all.
        result.insertedIds ??= rows.map((row, index) => insertedId(found.meta, row, result.rows![index]));
        for (const [index, image] of images.entries()) await run.noteInserted(image, result.rows![index]);
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
      const { meta, table } = found;
      return this.#run(options.ctx, table, driver.getTableName(meta, options), async (run) => {
        const oldKeys = where.map((condition) => keyTexts(meta, condition));
        const newKeys = where.map((condition, index) => keyTextsAfter(meta, condition, data[index]!));
        const movesKeys = oldKeys.some((key, index) => JSON.stringify(key) !== JSON.stringify(newKeys[index]));
        const before = await run.readBefore(movesKeys, (from) =>
          readByColumns(
            run,
            from,
            table.keyColumns.map((column) => column.field),
            oldKeys,
          ),
        );
        const own = new OwnColumns(table, run.pending, { movesKeys }).properties();
        const rows = data.map((row) => ({ ...OwnColumns.withoutProperties(row), ...own }));
        const returning = new Returning(table.returning);
        const result = await stock(entityName, where, rows, { ...options, ctx: run.transaction }, (sql) =>
          returning.apply(sql),
        );
        // A row that cannot be matched with its former key is still announced, only without what it was before.
        const formerKeys = new Map(newKeys.map((key, index) => [JSON.stringify(key), JSON.stringify(oldKeys[index])]));
        for (const image of result.rows!.map((row) => table.takeImage(row))) {
          const key = table.keyOf(image);
          run.noteUpdated(image, before?.get(formerKeys.get(key) ?? key));
        }
        returning.restore(result);
        return result;
      });
    };
  }

  // everything else: single-row flush, native calls, upserts, query builders, 1:M collections
  #wrapQueryBuilder(): void {
    const { driver } = this.parts;
    const stock = driver.createQueryBuilder.bind(driver);
    driver.createQueryBuilder = (entityName, ...rest) => {
      const builder = stock(entityName, ...rest);
      const found = this.#find(entityName);
      return found ? this.#wrapBuilder(builder, found.table) : builder;
    };
  }

  #wrapBuilder(builder: CapturedQueryBuilder, table: MasterTable): CapturedQueryBuilder {
    const stock = {
      execute: builder.execute.bind(builder),
      clone: builder.clone.bind(builder),
      getNativeQuery: builder.getNativeQuery.bind(builder),
    };
    let current: Run | undefined;
    let prepared = false;

    builder.clone = (...args) => this.#wrapBuilder(stock.clone(...args), table);
    // Our columns join the statement when it is compiled, so that `getQuery()` shows what will run.
    builder.getNativeQuery = (...args) => {
      if (!prepared && !builder.state.finalized) {
        prepared = true;
        new OwnColumns(table, current?.pending).prepare(builder);
      }
      return stock.getNativeQuery(...args);
    };
    builder.execute = (method, options) => {
      const type = builder.state.type ?? builder.type;
      if (type === QueryType.TRUNCATE && !this.parts.isMuted()) {
        return Promise.reject(
          new UnsupportedWriteError(
            table.root.className,
            'TRUNCATE does not say which rows it removed',
            'Use nativeDelete(), or cqrs.withoutReplication() when replicas need not know.',
          ),
        );
      }
      if (!isWrite(type)) return stock.execute(method, options);
      const compiledSqlName = (): string =>
        builder.getNativeQuery().options.tableName!.replace(/ as "(?:[^"]|"")*"$/, '');
      return this.#run(builder.context, table, undefined, async (run) => {
        current = run;
        run.sqlName = compiledSqlName();
        const wanted = method ?? 'run';
        const result = await this.#runBuilder(run, builder, type, wanted);
        if (builder.em) concealOwnColumns(builder, result);
        if (wanted === 'run') return result;
        const mapped = typeof options === 'object' ? options.mapResults !== false : options !== false;
        const rows = result.rows!.map((row) => (mapped ? this.parts.driver.mapResult(row, table.root) : row));
        return wanted === 'get' ? rows[0] : rows;
      });
    };
    return builder;
  }

  async #runBuilder(run: Run, builder: CapturedQueryBuilder, type: string, method: string): Promise<QueryResult> {
    const { table, connection, transaction } = run;
    const native = builder.getNativeQuery();
    const movesKeys = type === QueryType.UPDATE && OwnColumns.movesKeys(table, builder.state.data);
    const before = await run.readBefore(movesKeys, (from) => {
      if (type === QueryType.UPDATE) return readWhere(run, native.options.tableName!, native.options.where);
      const conflict = type === QueryType.INSERT ? OwnColumns.conflictTarget(builder.state) : undefined;
      return conflict ? readByColumns(run, from, conflict.fields, conflict.values) : Promise.resolve(new Map());
    });
    if (movesKeys && before!.size > 1) {
      throw new UnsupportedWriteError(
        table.root.className,
        `it changes the primary keys of ${before!.size} rows in one statement, and the database does not say which became which`,
        'Change keys one row at a time.',
      );
    }
    const returning = new Returning(
      (type === QueryType.DELETE ? table.returningDeleted : table.returning) +
        (type === QueryType.INSERT ? ', (xmax = 0) as "cqrs:created"' : ''),
    );
    const { sql, params } = native.compile();
    const result = await connection.execute<QueryResult>(returning.apply(sql), params, 'run', transaction, {
      id: builder.em?.id,
      ...builder.loggerContext,
    });
    for (const row of result.rows!) {
      const image = table.takeImage(row);
      const former = before?.get(table.keyOf(image));
      if (type === QueryType.DELETE) run.pending.deleted(table, run.sqlName, image);
      else if (type === QueryType.UPDATE) run.noteUpdated(image, movesKeys ? [...before!.values()][0] : former);
      else if (takeFlag(row)) await run.noteInserted(image, row, builder.state.insertSubQuery !== undefined);
      else run.noteUpdated(image, former);
      // em.upsert() asks for what it misses, but not for version columns.
      if (builder.state.onConflict && method === 'run') {
        OwnColumns.reveal(table, run.pending.find(table, table.keyOf(image))!.current!, row);
      }
    }
    if (!(builder.state.onConflict && method === 'run')) returning.restore(result);
    return result;
  }

  // MikroORM's parts are complete only after `MikroORM.init`; the first write finds out whether they are those we know.
  #checkOnce(table: MasterTable): void {
    if (this.#checked) return;
    this.#checked = true;
    const problems = checkInternals(this.parts.driver, table.root.class as Function);
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  #find(entityName: unknown): { meta: EntityMetadata; table: MasterTable } | undefined {
    const meta = this.parts.driver.metadata.find(entityName);
    const table = meta && this.#tables.get(meta.root);
    return table && { meta: meta!, table };
  }

  #run<T>(
    context: TransactionContext | undefined,
    table: MasterTable,
    sqlName: string | undefined,
    work: (run: Run) => Promise<T>,
  ): Promise<T> {
    this.#checkOnce(table);
    const connection = this.parts.driver.getConnection('write');
    const inside = async (transaction: TransactionContext): Promise<T> => {
      const muted = this.parts.isMuted();
      const followed = this.parts.log.changesOf(transaction);
      const run = new Run(
        connection,
        transaction,
        table,
        sqlName ?? '',
        muted || !followed ? new PendingChanges() : followed,
      );
      const result = await work(run);
      if (!muted && !followed) await this.parts.announceNow(transaction, run.pending.drain());
      return result;
    };
    return context ? inside(context) : connection.transactional(inside);
  }
}

/** One captured statement in its transaction, and what it did. */
class Run {
  constructor(
    readonly connection: SqlConnection,
    readonly transaction: TransactionContext,
    readonly table: MasterTable,
    /** The table as SQL names it, with its schema. */
    public sqlName: string,
    readonly pending: PendingChanges,
  ) {}

  /** Rows before the statement, where somebody needs them. */
  async readBefore(needed: boolean, read: (from: string) => Promise<BeforeImages>): Promise<BeforeImages | undefined> {
    return needed || this.table.needsBefore ? read(this.sqlName) : undefined;
  }

  noteUpdated(image: RowImage, before: RowImage | undefined): void {
    const { table, pending, sqlName } = this;
    if (before && table.keyOf(before) !== table.keyOf(image)) pending.moved(table, sqlName, before, image);
    else pending.updated(table, sqlName, image, before);
  }

  /** `row` is what MikroORM will read; it follows when our columns have to be set again. */
  async noteInserted(image: RowImage, row: Row | undefined, copied = false): Promise<void> {
    const { table, pending, sqlName } = this;
    const former = pending.find(table, table.keyOf(image))?.deleted;
    const assignments = former ? OwnColumns.replacing(table, former) : copied ? OwnColumns.fresh() : undefined;
    const final = assignments ? await this.#assign(image, assignments) : image;
    if (assignments && row && Object.hasOwn(row, REVISION)) OwnColumns.reveal(table, final, row);
    pending.inserted(table, sqlName, final);
  }

  async #assign(image: RowImage, assignments: readonly string[]): Promise<RowImage> {
    const { table } = this;
    const where = table.keyColumns.map((column) => `${quoted(column.field)} = ?`).join(' and ');
    const [row] = await this.connection.execute<Row[]>(
      new Returning(table.returning).apply(`update ${this.sqlName} set ${assignments.join(', ')} where ${where}`),
      table.keyValues(image),
      'all',
      this.transaction,
    );
    return table.takeImage(row!);
  }
}

// Whether an upsert's row is new: PostgreSQL leaves xmax at 0 only when it inserted.
function takeFlag(row: Row): boolean {
  const created = row['cqrs:created'];
  delete row['cqrs:created'];
  return created === true;
}

function isWrite(type: string): boolean {
  return type === QueryType.INSERT || type === QueryType.UPDATE || type === QueryType.DELETE;
}

function insertedId(meta: EntityMetadata, data: Row, row: Row | undefined): unknown {
  const ids = meta.getPrimaryProps().map((property) => data[property.name] ?? row?.[property.fieldNames[0]!]);
  return ids.length === 1 ? ids[0] : ids;
}
