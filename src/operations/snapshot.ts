import { type FilterQuery, IsolationLevel, raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { quoted } from '../postgres/identifiers.js';
import type { Cqrs } from '../cqrs.js';
import { SqlSession } from '../replication/replica/rows/sql-session.js';
import type { KeyedTable } from '../replication/compare/keyed-table.js';

/** The database as it was at one moment, for reading. */
export interface Snapshot {
  readonly em: SqlEntityManager;
  readonly session: SqlSession;
  /** That moment by the database's clock, in microseconds since 1970. */
  readonly takenAt: number;
}

/** What a page says of one row: its key as PostgreSQL prints it, and the values asked for. */
export interface KeyedRow {
  readonly key: readonly string[];
  readonly values: readonly (string | null)[];
}

/** Runs the work in one read-only transaction, all of whose statements see the same state. */
export function inSnapshot<T>(cqrs: Cqrs, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const fork = cqrs.orm.em.fork() as SqlEntityManager;
  return fork.transactional(
    async (em) => {
      const session = new SqlSession(em);
      // Keys with a time zone must print the same on both ends.
      await session.run({ text: `set local time zone 'UTC'`, parameters: [] });
      const [row] = await session.run({
        text: `select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now`,
        parameters: [],
      });
      return work({ em: em as SqlEntityManager, session, takenAt: Number(row!['now']) });
    },
    { isolationLevel: IsolationLevel.REPEATABLE_READ, readOnly: true },
  );
}

/** How many rows match. */
export async function countRows(
  { em }: Snapshot,
  { meta }: KeyedTable,
  where: FilterQuery<object> = {},
): Promise<number> {
  const builder = em.createQueryBuilder(meta.class as never, undefined, 'write');
  builder.select(raw('count(*)::text as "cqrs:count"') as never).where(where as never);
  const [row] = (await builder.execute('all', { mapResults: false } as never)) as { 'cqrs:count': string }[];
  return Number(row!['cqrs:count']);
}

/**
 * Every matching row in the order of the keys, page by page; each page begins after the last key of the one before, so
 * that the millionth costs what the first does.
 * @param options.where MikroORM's query syntax. `columns`: what else to read of each row, as text.
 */
export async function* keyPages(
  { em }: Pick<Snapshot, 'em'>,
  { meta, keyColumns }: KeyedTable,
  {
    where = {},
    pageSize,
    columns = [],
  }: { where?: FilterQuery<object> | undefined; pageSize: number; columns?: readonly string[] },
): AsyncGenerator<readonly KeyedRow[]> {
  for (let after: readonly string[] | undefined; ;) {
    const builder = em.createQueryBuilder(meta.class as never, undefined, 'write');
    const own = (field: string): string => `${quoted(builder.alias)}.${quoted(field)}`;
    const keys = keyColumns.map(({ field }) => own(field));
    const read = [...keys, ...columns.map(own)].map((field, index) => raw(`${field}::text as "cqrs:${index}"`));
    builder.select(read as never).where(where as never);
    if (after) builder.andWhere(raw(`(${keys.join(', ')}) > (${keys.map(() => '?').join(', ')})`, [...after]) as never);
    builder.orderBy(Object.fromEntries(meta.primaryKeys.map((key) => [key, 'asc'])) as never).limit(pageSize);
    const rows = (await builder.execute('all', { mapResults: false } as never)) as Record<string, string | null>[];
    const page = rows.map((row): KeyedRow => {
      const values = read.map((_, index) => row[`cqrs:${index}`]!);
      return { key: values.slice(0, keys.length) as string[], values: values.slice(keys.length) };
    });
    if (page.length > 0) yield withoutRepeats(page);
    if (page.length < pageSize) return;
    after = page.at(-1)!.key;
  }
}

// A filter over a to-many relation finds a row several times, always side by side.
function withoutRepeats(page: readonly KeyedRow[]): readonly KeyedRow[] {
  return page.filter((row, index) => index === 0 || row.key.some((part, at) => part !== page[index - 1]!.key[at]));
}
