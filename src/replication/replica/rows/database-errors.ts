import { causes, describeError, sqlState } from '../../../kernel/describe-error.js';
import { schemaText } from '../../../kernel/schema-text.js';
import { faultOf, isUnanswered } from '../../../messaging/inbox/faults.js';

/**
 * What an error of the database says about the message that was being written:
 *
 * - `transient`: nothing; the same will work later.
 * - `foreign-key-missing`: the row it points to has not arrived, or a row still points to the one it deletes.
 * - `bad-data`: its values do not fit the columns, now and for ever.
 * - `kept-back`: a policy of row security forbids the row.
 * - `other`: cannot be told.
 */
export type DatabaseFault = 'transient' | 'foreign-key-missing' | 'bad-data' | 'kept-back' | 'other';

/** SQLSTATEs, or their beginning, of values that no retry makes fit. */
const BAD_DATA = [
  '22', // out of range, too long, unreadable
  '23502', // null where none may be
  '54000', // too long for an index
];

/** Where PostgreSQL finds that a row violates a policy: it has no SQLSTATE of its own for that. */
const POLICY_CHECK = 'ExecWithCheckOptions';

/** @see DatabaseFault */
export function classifyDatabaseError(error: unknown): DatabaseFault {
  const fault = faultOf(error);
  if (fault === 'conflict' || fault === 'unavailable') return 'transient';
  const state = sqlState(error);
  // A referenced row that ON DELETE RESTRICT protects has a state of its own.
  if (fault === 'foreign-key' || state === '23001') return 'foreign-key-missing';
  if (state === '42501' && [...causes(error)].some((cause) => Reflect.get(cause, 'routine') === POLICY_CHECK)) {
    return 'kept-back';
  }
  return state !== undefined && BAD_DATA.some((beginning) => state.startsWith(beginning)) ? 'bad-data' : 'other';
}

/**
 * Whether nothing more can be done in the transaction, whatever the error says about the message. A query that the driver
 * no longer waits for may still be under way, or its connection gone without a word: all that follows would wait as long.
 */
export function endsTransaction(error: unknown): boolean {
  return isUnanswered(error) || classifyDatabaseError(error) === 'transient';
}

/** An error of the database, told by its state and the part of the schema it names: PostgreSQL's own quotes values. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';

  constructor(
    message: string,
    /** The SQLSTATE. */
    readonly code: string,
    readonly severity: string,
    readonly table?: string,
    readonly column?: string,
    readonly constraint?: string,
    /** Which line of its data COPY stumbled over, from 1. Unknown where PostgreSQL speaks another language. */
    readonly copyLine?: number,
    /** Where in PostgreSQL's source it was raised. */
    readonly routine?: string,
  ) {
    super(message);
  }
}

const COPY_LINE = /^COPY .*?, line (\d+)/m;

/** The same error without any value of a row; errors of another kind stay as they are. */
export function withoutValues(error: unknown): unknown {
  const state = sqlState(error);
  const origin = [...causes(error)].at(-1);
  if (state === undefined || origin instanceof DatabaseError) return error;
  const [table, column, constraint, routine] = ['table', 'column', 'constraint', 'routine'].map(
    (fact): string | undefined => {
      const value: unknown = Reflect.get(origin!, fact);
      return typeof value === 'string' ? value : undefined;
    },
  );
  const copyLine = COPY_LINE.exec(String(Reflect.get(origin!, 'where')))?.[1];
  return new DatabaseError(
    schemaText(state, origin!) ?? describeError(error),
    state,
    'ERROR',
    table,
    column,
    constraint,
    copyLine === undefined ? undefined : Number(copyLine),
    routine,
  );
}
