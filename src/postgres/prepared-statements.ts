import { createHash } from 'node:crypto';

/**
 * Lets PostgreSQL parse a statement once a connection instead of each time, which for a small batch is a good part of its
 * work. A statement is told by a comment in front of it; a client that does not know the comment just runs it.
 *
 *   marked text ─▶ named ─▶ parsed by this connection's first use of it, then only bound
 *       └─▶ as it is: too many different ones, or the names got lost
 *
 * Names belong to a session of the database. A pooler that gives each transaction another one, and does not carry names
 * over, answers `26000` (no such statement) or `42P05` (it is there already): from then on nothing is named for these
 * connections, and the transaction is to be tried again. A user's own EXECUTE of what nobody has prepared is told with the
 * same states, and stays what it is.
 */
export class PreparedStatements {
  readonly #names = new Map<string, string>();
  #lost = false;

  /** What `pg` is to be asked for a marked text; undefined when it is to be sent as it is. */
  named<V>(text: unknown, values: V): { name: string; text: string; values: V } | undefined {
    if (this.#lost || typeof text !== 'string' || !text.startsWith(PREPARED)) return undefined;
    const name = this.#nameOf(text);
    return name === undefined ? undefined : { name, text, values };
  }

  /** What to throw for the error of a statement that was named here. */
  failed(error: unknown): unknown {
    const code: unknown = Reflect.get(error as object, 'code');
    if (code !== '26000' && code !== '42P05') return error;
    this.#lost = true;
    return new NamesLostError({ cause: error });
  }

  #nameOf(text: string): string | undefined {
    const known = this.#names.get(text);
    if (known !== undefined || this.#names.size >= MOST_NAMES) return known;
    // By its text, so that sessions which processes share have one name for one statement.
    const name = `cqrs_${createHash('sha256').update(text).digest('hex').slice(0, 40)}`;
    this.#names.set(text, name);
    return name;
  }
}

/** Marks a statement that is worth a name: its text is one of few, and it runs often. */
export function prepared(sql: string): string {
  return PREPARED + sql;
}

/** The session in which a statement got its name is not the one in which it is used. */
export class NamesLostError extends Error {
  override readonly name = 'NamesLostError';
  /** A serialization failure: whoever knows that one tries the transaction again. */
  readonly code = '40001';

  constructor(options: ErrorOptions) {
    super('A pooler gave the transaction another session. From now on no statement has a name.', options);
  }
}

/**
 * In SQL, for the FROM of a transaction's first statement: until it ends, each prepared statement keeps the one plan that
 * PostgreSQL has made for it, and reads by index. A plan that was fit for an empty table would read a full one from end to
 * end. (Where a trigger has no index to read by, the penalty for that must not set the compiler of expressions to work.)
 */
export const STEADY_PLANS = Object.entries({ plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', jit: 'off' })
  .map(([name, value]) => `set_config('${name}', '${value}', true) as ${name}, `)
  .join('');

/** The same where a transaction needs nothing else at its beginning. */
export const KEEP_PLANS_STEADY = `select from ${STEADY_PLANS}(select) as nothing`;

const PREPARED = '/* cqrs: prepared */ ';
/** Each takes some ten kilobytes of each connection's backend. */
const MOST_NAMES = 500;
