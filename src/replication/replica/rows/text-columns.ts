/** The separator of packed texts, for SQL that packs its answer the same way. */
export const SEPARATOR_SQL = `E'\\x1e'`;

/**
 * Columns of texts as parameters of a statement. One long text a column travels faster than an array: nothing in it has
 * to be quoted here and unquoted by PostgreSQL. Where a value holds one of the two control characters that this takes,
 * arrays do.
 */
export interface TextColumns {
  readonly parameters: readonly unknown[];
  /** The first of them in SQL, as `text[]`. */
  readonly sql: (index: number) => string;
  /** Tells statements of the one form from those of the other. */
  readonly form: 'packed' | 'arrays';
}

const SEPARATOR = '\x1e';
const NULL = '\x1f';

export function textColumns(columns: readonly (readonly (string | null)[])[]): TextColumns {
  const packed: string[] = [];
  for (const column of columns) {
    const text = pack(column);
    if (text === undefined) return { parameters: columns, form: 'arrays', sql: (index) => `$${index + 1}::text[]` };
    packed.push(text);
  }
  return { parameters: packed, form: 'packed', sql: (index) => `string_to_array($${index + 1}, E'\\x1e', E'\\x1f')` };
}

/** Such parameters as rows: `u`, with the columns `c0`, `c1` … and `n`. @param sql a parameter as `text[]`. */
export function unnest(width: number, sql = (index: number): string => `$${index + 1}::text[]`): string {
  const arrays = Array.from({ length: width }, (_, index) => sql(index));
  const names = Array.from({ length: width }, (_, index) => `c${index}`);
  return `unnest(${arrays.join(', ')}) with ordinality as u(${names.join(', ')}, n)`;
}

/** Rows → columns. */
export function transpose(rows: readonly (readonly (string | null)[])[], width: number): (string | null)[][] {
  return Array.from({ length: width }, (_, index) => rows.map((row) => row[index]!));
}

/** What `string_agg(…, SEPARATOR_SQL)` answered with; null when there was nothing. */
export function unpack(text: string | null): string[] {
  return text === null ? [] : text.split(SEPARATOR);
}

function pack(column: readonly (string | null)[]): string | undefined {
  let nulls = 0;
  for (const value of column) if (value === null) nulls++;
  const text = (nulls === 0 ? column : column.map((value) => value ?? NULL)).join(SEPARATOR);
  // An empty text is read as an array without elements.
  if (text === '' || count(text, SEPARATOR) !== column.length - 1 || count(text, NULL) !== nulls) return undefined;
  return text;
}

function count(text: string, character: string): number {
  let found = 0;
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) found++;
  return found;
}
