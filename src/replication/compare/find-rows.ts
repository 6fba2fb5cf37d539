import { quoted } from '../../postgres/identifiers.js';
import type { KeyedTable } from './keyed-table.js';

/** Whatever runs a bound statement and reads each value as text. */
export interface TextSession {
  run(statement: {
    readonly text: string;
    readonly parameters: readonly unknown[];
  }): Promise<Record<string, string | null>[]>;
}

/** The rows with these keys, in the same order: the values of the expressions as text, undefined where there is no row. */
export async function findRows(
  session: TextSession,
  table: KeyedTable,
  keys: readonly (readonly string[])[],
  expressions: readonly string[],
): Promise<((string | null)[] | undefined)[]> {
  if (keys.length === 0) return [];
  const types = await keyTypes(session, table);
  const width = types.length;
  const arrays = types.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = types.map((_, index) => `"cqrs:c${index}"`).join(', ');
  const same = table.keyColumns
    .map(({ field }, index) => `t.${quoted(field)} = u."cqrs:c${index}"::${types[index]}`)
    .join(' and ');
  const rows = await session.run({
    text: `select ${[`t.${quoted(table.keyColumns[0]!.field)} is not null`, ...expressions].map((expression, index) => `(${expression})::text as "v${index}"`).join(', ')}
      from unnest(${arrays}) with ordinality as u(${names}, "cqrs:n") left join ${table.name} t on ${same} order by u."cqrs:n"`,
    parameters: Array.from({ length: width }, (_, index) => keys.map((key) => key[index])),
  });
  return rows.map((row) =>
    row['v0'] === 'true' ? expressions.map((_, index) => row[`v${index + 1}`] ?? null) : undefined,
  );
}

/**
 * A condition for the rows with keys that are bound as `keyArrays`, whatever their number and their columns. PostgreSQL
 * takes a third of a second to plan a list of a thousand pairs.
 * @param types of `keyTypes`.
 */
export function amongKeys({ keyColumns }: Pick<KeyedTable, 'keyColumns'>, types: readonly string[]): string {
  const fields = keyColumns.map(({ field }) => quoted(field)).join(', ');
  const parts = types.map((type, index) => `u.c${index}::${type}`).join(', ');
  const arrays = types.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = types.map((_, index) => `c${index}`).join(', ');
  return `(${fields}) in (select ${parts} from unnest(${arrays}) as u(${names}))`;
}

/** The parameters of `amongKeys`. */
export function keyArrays(keys: readonly (readonly string[])[], types: readonly string[]): string[][] {
  return types.map((_, index) => keys.map((key) => key[index]!));
}

/** The types of the key's columns as the database has them, in a form that a text can be cast to. */
export async function keyTypes(
  session: TextSession,
  { name, keyColumns }: Pick<KeyedTable, 'name' | 'keyColumns'>,
): Promise<string[]> {
  const rows = await session.run({
    // -1: `bpchar` and `bit` with a length of their own would otherwise mean a length of one.
    text: `select format_type(a.atttypid, -1) as type from unnest($2::text[]) with ordinality as u(field, n)
      join pg_attribute a on a.attrelid = $1::regclass and a.attname = u.field order by u.n`,
    parameters: [name, keyColumns.map(({ field }) => field)],
  });
  return rows.map((row) => row['type'] as string);
}
