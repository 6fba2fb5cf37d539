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
 *
 * @param idleMs PostgreSQL gives the transaction up, and with it the keys, when it stands still for so long: its host may be
 *   gone without its connection being told, and TCP alone finds out after hours. A limit of the connection itself stays.
 */
export function lockKeys(locks: Iterable<KeyLock>, idleMs?: number): Statement {
  const buckets = new Map<number, boolean>();
  for (const { cqrsId, key, alone } of locks) {
    const bucket = bucketOf(`${cqrsId}\u0000${key}`);
    buckets.set(bucket, alone || buckets.get(bucket) === true);
  }
  return lockBuckets(buckets, idleMs);
}

/** Locks every key there is, for who is about to work on a whole table; the others then wait, in the same order. */
export function lockAllKeys({ alone }: { alone: boolean }): Statement {
  return lockBuckets(new Map(Array.from({ length: BUCKETS }, (_, bucket) => [bucket, alone])));
}

function lockBuckets(buckets: ReadonlyMap<number, boolean>, idleMs?: number): Statement {
  const sorted = [...buckets].toSorted(([a], [b]) => a - b);
  const lease = idleMs === undefined ? '' : `${idleLimit(idleMs)} as lease, `;
  // Without parameters, so that it shares a round trip with the BEGIN before it.
  return {
    text: `select case when u.alone then pg_advisory_xact_lock(${LOCK_CLASS}, u.bucket)
        else pg_advisory_xact_lock_shared(${LOCK_CLASS}, u.bucket) end is null as locked
      from ${lease}unnest('{${sorted.map(([bucket]) => bucket).join()}}'::int[],
        '{${sorted.map(([, alone]) => (alone ? 't' : 'f')).join()}}'::bool[]) as u(bucket, alone)`,
    parameters: [],
  };
}

function idleLimit(milliseconds: number): string {
  const name = `'idle_in_transaction_session_timeout'`;
  const own = `current_setting(${name})`;
  return `set_config(${name}, case ${own} when '0' then '${Math.round(milliseconds)}' else ${own} end, true)`;
}

// FNV-1a: every process must come to the same bucket.
function bucketOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return ((hash ^ (hash >>> 16)) >>> 0) % BUCKETS;
}
