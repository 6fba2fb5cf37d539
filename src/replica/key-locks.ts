import type { Statement } from './replica-table.js';

/** First half of the advisory locks' key: "cqra" in ASCII, so that it is recognised in pg_locks. */
const LOCK_CLASS = 0x63717261;
/** A batch locks at most this many; PostgreSQL has room for a few thousand in all. */
const BUCKETS = 512;

/** How a message holds its key: shared beside other writers, or alone. */
export interface KeyLock {
  readonly cqrsId: string;
  readonly key: string;
  readonly alone: boolean;
}

/**
 * Locks the buckets of these keys until the transaction ends. It must be the first statement that looks at the keys,
 * and must stand alone: what another transaction deletes is seen only by statements that begin after the lock is had.
 * Everybody locks in the order of the buckets, and each bucket once, so that nobody waits in a circle.
 */
export function lockKeys(locks: Iterable<KeyLock>): Statement {
  const buckets = new Map<number, boolean>();
  for (const { cqrsId, key, alone } of locks) {
    const bucket = bucketOf(`${cqrsId}\u0000${key}`);
    buckets.set(bucket, alone || buckets.get(bucket) === true);
  }
  return lockBuckets(buckets);
}

/** Locks every key there is, for who is about to work on a whole table; the others then wait, in the same order. */
export function lockAllKeys({ alone }: { alone: boolean }): Statement {
  return lockBuckets(new Map(Array.from({ length: BUCKETS }, (_, bucket) => [bucket, alone])));
}

function lockBuckets(buckets: ReadonlyMap<number, boolean>): Statement {
  const sorted = [...buckets].toSorted(([a], [b]) => a - b);
  // Without parameters, so that it shares a round trip with the BEGIN before it.
  return {
    text: `select case when u.alone then pg_advisory_xact_lock(${LOCK_CLASS}, u.bucket)
        else pg_advisory_xact_lock_shared(${LOCK_CLASS}, u.bucket) end is null as locked
      from unnest('{${sorted.map(([bucket]) => bucket).join()}}'::int[],
        '{${sorted.map(([, alone]) => (alone ? 't' : 'f')).join()}}'::bool[]) as u(bucket, alone)`,
    parameters: [],
  };
}

// FNV-1a: every process must come to the same bucket.
function bucketOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return ((hash ^ (hash >>> 16)) >>> 0) % BUCKETS;
}
