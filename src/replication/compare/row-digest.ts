import { quoted } from '../../postgres/identifiers.js';
import type { WireKind } from '../../wire/values.js';

/**
 * Rows → slots → sums, in SQL that means the same on both ends.
 *
 *   slot of a row   the first bits of md5(its key)
 *   hash of a row   64 bits of md5(key, revision, incarnation, fields)
 *   hash of a slot  the sum of its rows' hashes
 *
 * Slots are ranges of hashed keys, not of keys: they need no order that two databases agree on, and so no collation, and
 * any key will do. A sum has no order either. These hashes only choose what is looked at closely: rows that are equal
 * although their hashes differ cost traffic, and are never taken for a difference.
 */

/** One column of a row, here and on the other end. */
export interface DigestColumn {
  /** In SQL; the table is called `t`. */
  readonly expression: string;
  readonly kind: WireKind;
  /** How the other end has it. */
  readonly other: string;
}

/** The rows of one end, and how they are hashed. */
export interface DigestPlan {
  /** Quoted, with its schema. */
  readonly table: string;
  readonly keys: readonly DigestColumn[];
  readonly fields: readonly DigestColumn[];
  /** There are 2^bits slots. */
  readonly bits: number;
  /** Whether incarnations are part of the hash: only if every row of both ends has one. */
  readonly incarnations: boolean;
  /** The value that marks these rows in a table shared with others. */
  readonly discriminator?: { readonly field: string; readonly value: string } | undefined;
}

export interface DigestStatement {
  readonly text: string;
  readonly parameters: readonly unknown[];
}

/** Settings under which a value prints the same in every session; for the open transaction. */
export const CANONICAL_SETTINGS: DigestStatement = {
  text: `select set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
    set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),
    set_config('bytea_output', 'hex', true), set_config('work_mem', '32MB', true)`,
  parameters: [],
};

/**
 * `slot`, `count` and `sum` of every slot that has rows, inside the given groups of slots, of rows last changed until
 * `settledAt` (as PostgreSQL reads it). One pass over the table.
 */
export function digestStatement(
  plan: DigestPlan,
  { groupBits, groups, settledAt }: { groupBits: number; groups: readonly number[]; settledAt: string },
): DigestStatement {
  const { sql, parameters } = restriction(plan, 3);
  const inside =
    groupBits === 0
      ? '$2::bigint[] is not null'
      : `${slotExpression({ ...plan, bits: groupBits })} = any($2::bigint[])`;
  return {
    text: `select slot::text, count(*)::text as count, sum(hash)::text as sum from (
        select ${slotExpression(plan)} as slot, ${hashExpression(plan)} as hash from ${plan.table} t
        where (t.cqrs_updated > $1::timestamptz) is not true and ${inside}${sql}) r group by slot`,
    parameters: [settledAt, groups, ...parameters],
  };
}

/** The expressions of all rows in these slots, `v0`, `v1` …, but no more than `limit`. One pass over the table. */
export function rowsStatement(
  plan: DigestPlan,
  slots: readonly number[],
  expressions: readonly string[],
  limit: number,
): DigestStatement {
  const { sql, parameters } = restriction(plan, 3);
  return {
    text: `select ${expressions.map((expression, index) => `(${expression})::text as "v${index}"`).join(', ')}
      from ${plan.table} t where ${slotExpression(plan)} = any($1::bigint[])${sql} limit $2::text::int`,
    parameters: [slots, String(limit), ...parameters],
  };
}

export function slotExpression({ keys, bits }: Pick<DigestPlan, 'keys' | 'bits'>): string {
  if (bits === 0) return '0::bigint';
  return `(('x' || substr(md5(${joined(keys)}), 1, 8))::bit(32)::bigint >> ${32 - bits})`;
}

export function hashExpression({ keys, fields, incarnations }: DigestPlan): string {
  const own = incarnations ? ['t.cqrs_revision', 't.cqrs_incarnation'] : ['t.cqrs_revision'];
  const text = [joined(keys), ...own.map((column) => `coalesce(${column}::text, '')`), joined(fields)]
    .filter((part) => part !== '')
    .join(` || E'\\x1e' || `);
  return `('x' || substr(md5(${text}), 1, 16))::bit(64)::bigint`;
}

function restriction({ discriminator }: DigestPlan, position: number): { sql: string; parameters: string[] } {
  if (!discriminator) return { sql: '', parameters: [] };
  return { sql: ` and t.${quoted(discriminator.field)} = $${position}`, parameters: [discriminator.value] };
}

function joined(columns: readonly DigestColumn[]): string {
  return columns.map((column) => `coalesce('=' || ${canonical(column)}, '')`).join(` || E'\\x1f' || `);
}

const NUMBERS: ReadonlySet<string> = new Set(['integer', 'float', 'decimal']);

/** What `json` may hold and `jsonb` refuses: U+0000, half a character, a number beyond all bounds. */
const NOT_BINARY = '\\\\u(0000|d[89a-f])|e[+-]?[0-9]{4}';

/** One text for one value, however its column is declared. */
function canonical({ expression, kind, other }: DigestColumn): string {
  const text = `(${expression})::text`;
  switch (kind) {
    case 'integer':
      return text;
    case 'decimal':
      return `trim_scale(${expression})::text`;
    case 'float':
      // Through its text: the cast of a double to numeric keeps fifteen digits.
      return `(case when ${expression} in ('NaN', 'Infinity', '-Infinity') then ${text} else trim_scale(${text}::numeric)::text end)`;
    case 'datetime':
      return `(${expression} at time zone 'UTC')::text`;
    case 'json':
      return `(case when pg_typeof(${expression}) = 'json'::regtype and ${text} ~* '${NOT_BINARY}' then ${text} else (${expression})::jsonb::text end)`;
    case 'text':
      if (!NUMBERS.has(other)) return text;
      return `(case when ${text} ~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' then trim_scale(${text}::numeric)::text else ${text} end)`;
    default:
      return text;
  }
}
