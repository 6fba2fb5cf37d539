import { UnsupportedWriteError } from '../../../src/index.js';

/** What the campaign and its writers say to each other. */
export interface Task {
  readonly seed: number;
  readonly client: number;
  readonly from: number;
  readonly count: number;
}

/** How a program ended. */
export interface End {
  readonly end: 'committed' | 'rolled back' | 'refused' | 'failed';
  /** What ended it, by its kind. */
  readonly why?: string;
  /** An error that no right program gets. */
  readonly strange?: string;
}

export interface FromWriter {
  readonly ready?: true;
  /** `at`: milliseconds since 1970. */
  readonly begun?: { readonly client: number; readonly transaction: number; readonly at: number };
  readonly ended?: End & { readonly client: number; readonly transaction: number; readonly milliseconds: number };
  readonly strange?: string;
  readonly finished?: number;
}

/**
 * What PostgreSQL answers to right programs that meet: duplicate keys, missing parents, serialization failures, deadlocks,
 * a savepoint that ended with another one, statements after an error that the program passed over.
 */
const ORDINARY = new Set(['23505', '23503', '40001', '40P01', '25P02', '3B001', '25P01', '55P03']);
const LOST = /terminat|connection|ECONN|socket|client has encountered|not queryable|57P01|08\w{3}/i;

export async function endOf(work: () => Promise<boolean>): Promise<End> {
  try {
    return { end: (await work()) ? 'committed' : 'rolled back' };
  } catch (error) {
    return classify(error as Error & { code?: string });
  }
}

/** MikroORM's own: after an upsert that ignores a row it reads this, which a neighbour may have rolled back or deleted. */
function readOfNothing({ name, stack = '' }: Error): boolean {
  return name === 'TypeError' && /ObjectHydrator\.hydrate.*EntityManager\.upsert/s.test(stack);
}

function classify(error: Error & { code?: string }): End {
  const name = error.constructor.name;
  if (error instanceof UnsupportedWriteError) return { end: 'refused', why: error.message.slice(0, 200) };
  const kind = error.code ? `${name} ${error.code}` : name;
  if (error.code && ORDINARY.has(error.code)) return { end: 'failed', why: kind };
  // a neighbour has rolled back what was to be read
  if (name === 'NotFoundError') return { end: 'failed', why: name };
  if (readOfNothing(error)) return { end: 'failed', why: 'em.upsert() reads a row that is gone' };
  if (LOST.test(error.message) || LOST.test(String(error.code))) return { end: 'failed', why: 'connection lost' };
  return {
    end: 'failed',
    why: kind,
    strange: `${kind}: ${error.message.slice(0, 600)}\n${(error.stack ?? '').split('\n    at ').slice(1, 5).join(' < ')}`,
  };
}
