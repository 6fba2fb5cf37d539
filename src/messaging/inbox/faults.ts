import { isConflict } from '../../postgres/conflicts.js';
import { causes, sqlState } from '../../kernel/describe-error.js';
import { TransportError } from '../../kernel/errors.js';

/**
 * Whose fault an error is, as far as it can be told from the outside:
 *
 * - `conflict`: of others at work. Deadlock, serialization failure, lock not available: the next try may work.
 * - `unavailable`: of the surroundings. The database is away, full, or changing over.
 * - `foreign-key`: of the order. The row it points to has not arrived (or, for a deletion, a row still points to it).
 * - `message`: everything else, to be held against the message itself.
 */
export type Fault = 'conflict' | 'unavailable' | 'foreign-key' | 'message';

/** SQLSTATEs, or their beginning. */
const STATES: readonly [string, Fault][] = [
  ['23503', 'foreign-key'],
  ['23001', 'foreign-key'], // ON DELETE RESTRICT
  ['08', 'unavailable'],
  ['53', 'unavailable'], // out of memory, disk or connections
  ['57P', 'unavailable'], // shutting down, starting up
  ['25006', 'unavailable'], // read-only: a stand-by during a fail-over
  ['58030', 'unavailable'], // I/O error
];

const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EMFILE',
]);

// The pool of `pg` says these without any code.
const LOST_CONNECTION =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Cannot use a pool after|Client was closed)/;

/**
 * Whether the driver has given a query up (`query_timeout` of `pg`). The database may be gone without a word, or the query
 * may take so long every time: which of them cannot be told from one such error.
 */
export function isUnanswered(error: unknown): boolean {
  return [...causes(error)].some(({ message }) => message === 'Query read timeout'); // it has no code
}

/** Whether it took longer than the driver or PostgreSQL's `statement_timeout` allows, for whoever has only asked. */
export function isOutOfTime(error: unknown): boolean {
  return isUnanswered(error) || sqlState(error) === '57014';
}

/** @see Fault */
export function faultOf(error: unknown): Fault {
  if (isConflict(error)) return 'conflict';
  const state = sqlState(error);
  if (state !== undefined) return STATES.find(([beginning]) => state.startsWith(beginning))?.[1] ?? 'message';
  for (const cause of causes(error)) {
    const code: unknown = Reflect.get(cause, 'code');
    const network = typeof code === 'string' && NETWORK_CODES.has(code);
    if (network || cause instanceof TransportError || LOST_CONNECTION.test(cause.message)) return 'unavailable';
  }
  return 'message';
}

/** Whether trying the very same again, after a pause, is all that is needed. */
export function isTransient(error: unknown): boolean {
  const fault = faultOf(error);
  return fault === 'conflict' || fault === 'unavailable';
}
