import { sqlState } from '../../kernel/describe-error.js';
import type { Cqrs } from '../../cqrs.js';
import { inSnapshot, type Snapshot } from '../../operations/snapshot.js';
import { ApiProblem } from './api-problem.js';

/**
 * Reads in one short, read-only transaction that the database ends by itself when it takes too long: somebody who looks
 * must not hold up those who work.
 * @throws ApiProblem when it took too long, or a value that was given does not fit its column.
 */
export async function readSession<T>(
  cqrs: Cqrs,
  timeoutMs: number,
  work: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  try {
    return await inSnapshot(cqrs, async (snapshot) => {
      await snapshot.session.run({ text: `set local statement_timeout = ${Math.round(timeoutMs)}`, parameters: [] });
      return work(snapshot);
    });
  } catch (error) {
    const state = sqlState(error);
    if (state === '57014') {
      throw new ApiProblem('timeout', `The database took longer than ${timeoutMs / 1000} s.`, {
        cure: 'Narrow it with a filter, or sort by an indexed column.',
      });
    }
    if (state?.startsWith('22')) {
      throw new ApiProblem('bad-request', 'A value that was given does not fit its column.', {
        cure: 'Write it as PostgreSQL prints values of that column.',
      });
    }
    throw error;
  }
}
