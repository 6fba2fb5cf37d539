import { INCARNATION, REVISION, UPDATED } from '../definition/replica-columns.js';
import { numberedSql } from '../rules/stored-version.js';

/**
 * When a row is written, whoever has written it since it was looked at: where it is not there or has a lower version, a
 * numbered one; the same or an equal one; where it is not there; where its version is the one that was seen.
 */
export type WriteCondition = 'older' | 'not-newer' | 'absent' | 'unchanged';

/** Whether the row `e` may be written over the row `t`, as `decide` has it of two that are numbered. */
export function olderText(t: string, e: string, condition: Exclude<WriteCondition, 'absent' | 'unchanged'>): string {
  const [stored, incoming] = [t, e].map((row) => `(${row}.${INCARNATION}, ${row}.${REVISION}, ${row}.${UPDATED})`);
  return `${numberedSql(`${t}.${INCARNATION}`)} and ${stored} ${condition === 'older' ? '<' : '<='} ${incoming}`;
}
