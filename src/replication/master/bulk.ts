import { setImmediate } from 'node:timers/promises';
import type {
  EntityData,
  EntityManager,
  FilterOptions,
  FilterQuery,
  Primary,
  RequiredEntityData,
} from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { inTransaction } from './in-transaction.js';
import type { TransactionContext } from './mikro-orm-internals.js';

/** What a bulk operation really changed. */
export interface BulkResult<Entity> {
  readonly count: number;
  /** The keys of the rows that changed, in no particular order. */
  readonly keys: readonly Primary<Entity>[];
}

/**
 * Bulk operations on a master: one transaction each (that of the EntityManager, if it has one open), one message for
 * every row that really changed, with previous values where fields are tracked. What waits unflushed in the
 * EntityManager stays there.
 */
export class MasterManager<Entity extends object> {
  constructor(
    private readonly entity: abstract new (...args: never[]) => Entity,
    private readonly em: EntityManager,
    private readonly chunkSize = 1_000,
  ) {}

  /** Inserts rows; property initialisers, `onCreate` and column defaults apply. */
  async bulkCreate(rows: readonly RequiredEntityData<Entity>[]): Promise<BulkResult<Entity>> {
    return this.#inTransaction(async (em) => {
      const keys: Primary<Entity>[] = [];
      // While the database stores one chunk the entities of the next one are made.
      let storing: Promise<void> = Promise.resolve();
      const store = async (entities: readonly object[]): Promise<void> => {
        for (const key of await em.insertMany(entities as never[])) keys.push(key as Primary<Entity>);
      };
      try {
        for (const chunk of chunks(rows, this.chunkSize)) {
          const entities = chunk.map((row) => em.create(this.entity as never, row as never, { persist: false }));
          await storing;
          storing = store(entities);
          storing.catch(() => {}); // told by the await that follows
          await setImmediate(); // let it leave before the next one takes the thread
        }
      } finally {
        await storing; // nothing is left behind in a transaction that ends
      }
      return { count: keys.length, keys };
    });
  }

  /**
   * Changes every row that matches. `data` may hold `raw()` expressions.
   * @param options.filters as for `em.nativeUpdate`: those of the EntityManager that are active by default hold.
   */
  async bulkUpdate(
    where: FilterQuery<Entity>,
    data: EntityData<Entity>,
    { filters }: { filters?: FilterOptions } = {},
  ): Promise<BulkResult<Entity>> {
    return this.#inTransaction(async (em) => {
      const builder = em
        .createQueryBuilder(this.entity as never)
        .update(data as never)
        .where(where as never);
      const condition = await this.#filters(em, filters, 'update');
      if (condition) builder.andWhere(condition as never);
      return this.#result(await builder.returning(this.#keyNames(em) as never).execute('all'), em);
    });
  }

  /** Inserts rows, or changes those whose key (or `onConflictFields`) is there already. All rows have the same columns. */
  async bulkUpsert(
    rows: readonly EntityData<Entity>[],
    options: { onConflictFields?: readonly (keyof Entity & string)[] } = {},
  ): Promise<BulkResult<Entity>> {
    return this.#inTransaction(async (em) => {
      const results: object[] = [];
      for (const chunk of chunks(rows, this.chunkSize)) {
        const target = options.onConflictFields ?? this.#keyNames(em);
        const builder = em
          .createQueryBuilder(this.entity as never)
          .insert(chunk as never)
          .onConflict([...target] as never)
          .merge();
        results.push(...((await builder.returning(this.#keyNames(em) as never).execute('all')) as object[]));
      }
      return this.#result(results, em);
    });
  }

  /**
   * Deletes every row that matches.
   * @param options.filters as for `em.nativeDelete`: those of the EntityManager that are active by default hold.
   */
  async bulkDelete(
    where: FilterQuery<Entity>,
    { filters }: { filters?: FilterOptions } = {},
  ): Promise<BulkResult<Entity>> {
    return this.#inTransaction(async (em) => {
      const builder = em.createQueryBuilder(this.entity as never).delete(where as never);
      const condition = await this.#filters(em, filters, 'delete');
      if (condition) builder.andWhere(condition as never);
      // `delete().returning()` is ignored by MikroORM's own builder.
      const fields = em
        .getMetadata()
        .get(this.entity as never)
        .getPrimaryProps()
        .flatMap((property) => property.fieldNames);
      builder.getNativeQuery().returning(fields);
      return this.#result(await builder.execute('all' as never), em);
    });
  }

  /** What MikroORM adds to the condition of a native call, and not to that of a query builder. */
  async #filters(
    em: SqlEntityManager,
    filters: FilterOptions | undefined,
    type: 'update' | 'delete',
  ): Promise<object | undefined> {
    const condition = await em.applyFilters(this.entity as never, {} as never, filters ?? {}, type);
    return Object.keys(condition ?? {}).length > 0 ? (condition as object) : undefined;
  }

  #keyNames(em: SqlEntityManager): string[] {
    return em.getMetadata().get(this.entity as never).primaryKeys as string[];
  }

  #result(rows: unknown, em: SqlEntityManager): BulkResult<Entity> {
    const names = this.#keyNames(em);
    const keys = (rows as Record<string, unknown>[]).map((row) => {
      const key = names.map((name) => row[name]);
      return (key.length === 1 ? key[0] : key) as Primary<Entity>;
    });
    return { count: keys.length, keys };
  }

  // Not `em.transactional()`: that would flush whatever is pending in the EntityManager.
  async #inTransaction<T>(work: (em: SqlEntityManager) => Promise<T>): Promise<T> {
    const run = (transaction: TransactionContext): Promise<T> => {
      const fork = this.em.fork() as SqlEntityManager;
      fork.setTransactionContext(transaction);
      return work(fork);
    };
    return inTransaction(this.em, run);
  }
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
