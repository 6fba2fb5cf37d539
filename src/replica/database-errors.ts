import { sqlState } from '../core/describe-error.js';
import { faultOf } from '../inbox/faults.js';

/**
 * What an error of the database says about the message that was being written:
 *
 * - `transient`: nothing; the same will work later.
 * - `foreign-key-missing`: the row it points to has not arrived, or a row still points to the one it deletes.
 * - `bad-data`: its values do not fit the columns, now and for ever.
 * - `other`: cannot be told.
 */
export type DatabaseFault = 'transient' | 'foreign-key-missing' | 'bad-data' | 'other';

/** SQLSTATEs, or their beginning, of values that no retry makes fit. */
const BAD_DATA = [
  '22', // out of range, too long, unreadable
  '23502', // null where none may be
  '42804', // of another type
];

/** @see DatabaseFault */
export function classifyDatabaseError(error: unknown): DatabaseFault {
  const fault = faultOf(error);
  if (fault === 'conflict' || fault === 'unavailable') return 'transient';
  const state = sqlState(error);
  // A referenced row that ON DELETE RESTRICT protects has a state of its own.
  if (fault === 'foreign-key' || state === '23001') return 'foreign-key-missing';
  return state !== undefined && BAD_DATA.some((beginning) => state.startsWith(beginning)) ? 'bad-data' : 'other';
}
