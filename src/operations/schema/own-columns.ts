import type { Column } from '@mikro-orm/sql';
import { quoted } from '../../postgres/identifiers.js';

/** The three columns of masters and replicas on tables that have rows: added so that no row is rewritten. */

interface OwnColumn {
  /** What rows that are there get: one value for all, which PostgreSQL need not write into any. */
  readonly first: string;
  /** The types that do. */
  readonly type: RegExp;
}

const OWN_COLUMNS: Readonly<Record<string, OwnColumn>> = {
  cqrs_revision: { first: '0', type: /^(smallint|int2?|int4|integer|bigint|int8)$/ },
  cqrs_updated: { first: 'now()', type: /^(timestamptz|timestamp with time zone)(\(6\))?$/ },
  cqrs_incarnation: { first: '(extract(epoch from now()) * 1000000)::bigint', type: /^(bigint|int8)$/ },
};

export function isOwnColumn(column: string): boolean {
  return Object.hasOwn(OWN_COLUMNS, column);
}

/**
 * @param table as SQL names it
 * @param lacking columns that it has not
 * @param bare columns that it has with another default, or without
 */
export function ownColumnStatements(table: string, lacking: readonly Column[], bare: readonly Column[]): string[] {
  const added = lacking.map(({ name, type, nullable }) => {
    const rest = nullable ? '' : ` not null default ${OWN_COLUMNS[name]!.first}`;
    return `add column ${quoted(name)} ${type}${rest}`;
  });
  // A default that may be another one for every row is set when the rows that are there have theirs.
  const defaults = [...lacking.filter((column) => column.default !== OWN_COLUMNS[column.name]!.first), ...bare]
    .filter((column) => column.default !== undefined && column.default !== null)
    .map((column) => `alter column ${quoted(column.name)} set default ${column.default}`);
  return [added, defaults].flatMap((clauses) =>
    clauses.length > 0 ? `alter table ${table}\n  ${clauses.join(',\n  ')};` : [],
  );
}

/** What is wrong with a column of ours that the table has: nobody but its owner can mend that. */
export function ownColumnTrouble(declared: Column, found: Column): string | undefined {
  if (!OWN_COLUMNS[declared.name]!.type.test(found.type)) return `is ${found.type}, and has to be ${declared.type}`;
  if (found.nullable && !declared.nullable) return 'may be null, and has to be NOT NULL';
  if (!found.nullable && declared.nullable) return 'is NOT NULL, and messages of Python masters have none';
  return undefined;
}
