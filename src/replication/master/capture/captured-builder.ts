import { type EntityMetadata, QueryFlag } from '@mikro-orm/core';
import { QueryType } from '@mikro-orm/sql';
import { UnsupportedWriteError } from '../../../kernel/errors.js';
import type { CapturedRun } from './captured-run.js';
import { Returning } from './captured-statement.js';
import type { MasterTable } from '../definition/master-table.js';
import type {
  CapturedDriver,
  CapturedQueryBuilder,
  NativeQuery,
  QueryResult,
  Row,
  TransactionContext,
} from '../mikro-orm-internals.js';
import { type NativeWrite, prepareWrite, refuseWritingCtes } from './native-write.js';
import { OWN_FIELDS, reveal } from './own-columns.js';
import { concealOwnColumns } from '../definition/own-properties.js';

/** What a captured query builder needs of capture. */
export interface BuilderHost {
  readonly driver: CapturedDriver;
  isMuted(): boolean;
  isMasterTable(name: string): boolean;
  /** Runs `work` in the transaction `context`, or in one of its own. */
  run<T>(
    where: {
      context: TransactionContext | undefined;
      table: MasterTable;
      sqlName: string;
      loggerContext?: object;
      sessionContext?: object;
    },
    work: (run: CapturedRun) => Promise<T>,
  ): Promise<T>;
}

/** How a statement is to be answered. */
type Method = 'all' | 'get' | 'run';

/**
 * Captures the query builders of masters. What a builder sends is known only when it is compiled: a condition over a
 * relation becomes a sub-query then. So its native query is what is prepared, run and read back, whether the builder runs it,
 * streams it, or gives it away for `em.execute()`.
 */
export class CapturedBuilders {
  /** Native queries that write masters. */
  readonly #natives = new WeakMap<object, { write: NativeWrite; table: MasterTable }>();

  constructor(private readonly host: BuilderHost) {}

  wrap(
    builder: CapturedQueryBuilder,
    meta: EntityMetadata,
    table: MasterTable,
    /** What it was told of signals; it keeps that to itself. */
    abort?: object,
  ): CapturedQueryBuilder {
    const stock = {
      execute: builder.execute.bind(builder),
      stream: builder.stream.bind(builder),
      clone: builder.clone.bind(builder),
      getNativeQuery: builder.getNativeQuery.bind(builder),
      setAbortOptions: builder.setAbortOptions.bind(builder),
    };
    const execute = (): Promise<QueryResult> => this.#execute(builder, table, abort);
    const mapResult = (row: Row): Row | null => this.host.driver.mapResult(row, meta);

    builder.setAbortOptions = (options) => {
      abort = options;
      return stock.setAbortOptions(options);
    };
    builder.clone = (...args) => this.wrap(stock.clone(...args), meta, table, abort);
    // Our columns join the statement when it is compiled, so that `getQuery()` shows what will run.
    builder.getNativeQuery = (...args) => {
      const native = stock.getNativeQuery(...args);
      if (!this.#natives.has(native)) this.#prepare(native, table);
      return native;
    };
    builder.execute = async (method, options) => {
      if (builder.state.type === QueryType.TRUNCATE && !this.host.isMuted()) throw truncated(table);
      if (!writes(builder)) return stock.execute(method, options);
      const wanted = method ?? (builder.type === QueryType.SELECT ? 'all' : 'run');
      const result = await execute();
      if (wanted === 'run') return result;
      const mapped = typeof options === 'object' ? options.mapResults !== false : options !== false;
      const answer = mapped ? (result.rows ?? []).map(mapResult) : (result.rows ?? []);
      return wanted === 'get' ? answer[0] : answer;
    };
    builder.stream = (options = {}) => {
      if (!writes(builder)) return stock.stream(options);
      return (async function* () {
        for (const row of (await execute()).rows ?? []) {
          yield options.rawResults ? row : builder.mapResult(mapResult(row), options.mapResults !== false);
        }
      })();
    };
    return builder;
  }

  /** Runs a native query that a builder has given away; undefined when it writes no master. */
  executeNative(
    native: object,
    method: Method,
    context: TransactionContext | undefined,
    loggerContext?: object,
  ): Promise<unknown> | undefined {
    const known = this.#natives.get(native);
    if (!known) return undefined;
    const answer = (result: QueryResult): unknown =>
      method === 'run' ? result : method === 'get' ? result.rows?.[0] : (result.rows ?? []);
    return this.#run(native as NativeQuery, { ...known, context, loggerContext, entityRow: false }).then(answer);
  }

  #prepare(native: NativeQuery, table: MasterTable): void {
    const write = prepareWrite(native, table);
    if (write) this.#natives.set(native, { write, table });
  }

  async #execute(builder: CapturedQueryBuilder, table: MasterTable, abort?: object): Promise<QueryResult> {
    const native = builder.getNativeQuery();
    const { write } = this.#natives.get(native)!;
    const { em, context } = builder;
    const result = await this.#run(native, {
      write,
      table,
      context,
      loggerContext: { id: em?.id, ...builder.loggerContext, ...abort },
      sessionContext: context ? undefined : em?.getTransactionSessionContext(),
      entityRow: !em && write.target !== undefined,
    });
    if (em) concealOwnColumns(builder, result);
    return result;
  }

  #run(
    native: NativeQuery,
    how: {
      write: NativeWrite;
      table: MasterTable;
      context: TransactionContext | undefined;
      loggerContext?: object;
      sessionContext?: object;
      /** MikroORM reads the row into an entity: em.upsert() asks for what it misses, but not for version columns. */
      entityRow: boolean;
    },
  ): Promise<QueryResult> {
    const { write, table, loggerContext, entityRow } = how;
    return this.host.run({ ...how, sqlName: write.sqlName }, async (run) => {
      refuseWritingCtes(write, table, (name) => this.host.isMasterTable(name));
      await run.lockFound(write);
      const { sql, params, returning: ours } = run.compile(write, native);
      const returning = new Returning(ours);
      const images: (readonly (string | null)[])[] = [];
      const { connection, transaction } = run.place;
      const result = await run.capture(
        () => connection.execute<QueryResult>(returning.apply(sql), params, 'run', transaction, loggerContext),
        (rows, changes) => {
          for (const row of rows) images.push(run.note(write, row, changes));
        },
      );
      if (!entityRow) {
        await run.finish(withOwnColumns(result.rows), images);
        returning.restore(result);
        return result;
      }
      for (const [index, row] of result.rows!.entries()) reveal(table, images[index]!, row);
      await run.finish(result.rows, images);
      return result;
    });
  }
}

/** Before it is compiled: a builder with a condition over a relation says SELECT until then. */
function writes({ state, type }: CapturedQueryBuilder): boolean {
  const now = state.type ?? type;
  if (now === QueryType.INSERT || now === QueryType.UPDATE || now === QueryType.DELETE) return true;
  return state.flags.has(QueryFlag.UPDATE_SUB_QUERY) || state.flags.has(QueryFlag.DELETE_SUB_QUERY);
}

function withOwnColumns(rows: readonly Row[] | undefined): readonly Row[] {
  return rows?.[0] && OWN_FIELDS.some((field) => field in rows[0]!) ? rows : [];
}

function truncated(table: MasterTable): Error {
  return new UnsupportedWriteError(
    table.root.className,
    'TRUNCATE does not say which rows it removed',
    'Use nativeDelete(), or cqrs.withoutReplication() when replicas need not know.',
  );
}
