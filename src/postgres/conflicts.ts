import { setTimeout } from 'node:timers/promises';
import { sqlState } from '../kernel/describe-error.js';

/**
 * Conflicts with others at work: a deadlock, a serialization failure, a lock that was not to be had in time. PostgreSQL has
 * taken the whole transaction back, and the very same may work a moment later.
 */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (state.startsWith('40') || state === '55P03');
}

const MOST_ATTEMPTS = 10;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Does the work again, after a pause, when others were in its way; rejects with the last conflict after ten attempts.
 * @param work one transaction, which leaves nothing behind when it fails.
 */
export async function despiteConflicts<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isConflict(error) || attempt === MOST_ATTEMPTS) throw error;
      // Of random length: two that were in each other's way must not meet again.
      await setTimeout(Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt));
    }
  }
}
