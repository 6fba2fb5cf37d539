import { STEADY_PLANS } from '../../postgres/prepared-statements.js';
import type { Statement } from './rows/replica-table.js';

/** First half of the advisory locks' key: "cqra" in ASCII, so that it is recognised in pg_locks. */
const LOCK_CLASS = 0x63717261;
/** The same for locks of one key: "cqrk". */
const KEY_CLASS = 0x6371726b;
/** A batch locks at most this many; PostgreSQL has room for a few thousand in all. */
const BUCKETS = 512;

/**
 * How a message holds its key: `shared` beside other writers; `alone`, and with it all keys of its bucket; or `exactly`,
 * alone but nothing else with it, in a lock of its own.
 */
export type Hold = 'shared' | 'alone' | 'exactly';

/** What is set for a transaction that is ours alone. */
export interface OwnTransaction {
  /**
   * PostgreSQL gives the transaction up, and with it the keys, when it stands still for so long: its host may be gone
   * without its connection being told, and TCP alone finds out after hours. A limit of the connection itself stays.
   */
  readonly idleMs?: number | undefined;
  /** No code of a user runs in it, so that `STEADY_PLANS` may hold. */
  readonly steady?: boolean | undefined;
  /** PostgreSQL gives up waiting for one of the locks after so long, with `lock_timeout`. A limit of the connection stays. */
  readonly waitMs?: number | undefined;
}

/** One lock as PostgreSQL names it. */
export interface LockId {
  readonly kind: number;
  readonly id: number;
}

/**
 * Locks the buckets of keys until the transaction ends. It must be the first statement that looks at the keys,
 * and must stand alone: what another transaction deletes is seen only by statements that begin after the lock is had.
 * Everybody locks in the order of the buckets, and each bucket once, so that nobody waits in a circle.
 */
export class KeyLocks {
  readonly #buckets = new Map<number, boolean>();
  readonly #exact = new Set<number>();

  /** @returns the locks that the key is held by. */
  add(cqrsId: string, key: string, hold: Hold): readonly LockId[] {
    const hash = hashOf(cqrsId, key);
    const bucket = hash % BUCKETS;
    this.#buckets.set(bucket, hold === 'alone' || this.#buckets.get(bucket) === true);
    const locks = [{ kind: LOCK_CLASS, id: bucket }];
    if (hold !== 'exactly') return locks;
    // PostgreSQL's integers are signed.
    this.#exact.add(hash | 0);
    return [...locks, { kind: KEY_CLASS, id: hash | 0 }];
  }

  statement(own: OwnTransaction = {}): Statement {
    return lockBuckets(this.#buckets, this.#exact, own);
  }
}

/** Locks every key there is, for who is about to work on a whole table; the others then wait, in the same order. */
export function lockAllKeys({ alone }: { alone: boolean }): Statement {
  return lockBuckets(new Map(Array.from({ length: BUCKETS }, (_, bucket) => [bucket, alone])));
}

/** @param buckets of each whether it is held alone. */
function lockBuckets(
  buckets: ReadonlyMap<number, boolean>,
  exact: ReadonlySet<number> = new Set(),
  { idleMs, steady, waitMs }: OwnTransaction = {},
): Statement {
  const sorted = [
    ...[...buckets].toSorted(([a], [b]) => a - b).map(([id, alone]) => ({ kind: LOCK_CLASS, id, alone })),
    ...[...exact].toSorted((a, b) => a - b).map((id) => ({ kind: KEY_CLASS, id, alone: true })),
  ];
  const own = `${idleMs === undefined ? '' : `${idleLimit(idleMs)} as lease, `}${steady ? STEADY_PLANS : ''}`;
  const locks = `case when u.alone then pg_advisory_xact_lock(u.kind, u.id)
        else pg_advisory_xact_lock_shared(u.kind, u.id) end is null`;
  const list = 'unnest($1::int[], $2::int[], $3::bool[]) as u(kind, id, alone)';
  // For these locks alone: rows may be locked by an application, which must not fail a batch.
  const text =
    waitMs === undefined
      ? `select ${locks} as locked from ${own}${list}`
      : `select set_config('lock_timeout', l.own, true) as wait from (
          select min(w.own) as own, count(${locks}) as locked from (
            select current_setting('lock_timeout') as own, set_config('lock_timeout',
              case current_setting('lock_timeout') when '0' then '${Math.round(waitMs)}' else current_setting('lock_timeout') end, true)
            offset 0) w, ${own}${list}) l where l.locked >= 0`;
  return {
    text,
    parameters: [
      `{${sorted.map(({ kind }) => kind).join()}}`,
      `{${sorted.map(({ id }) => id).join()}}`,
      `{${sorted.map(({ alone }) => alone).join()}}`,
    ],
    steady: true,
  };
}

function idleLimit(milliseconds: number): string {
  const name = `'idle_in_transaction_session_timeout'`;
  const own = `current_setting(${name})`;
  return `set_config(${name}, case ${own} when '0' then '${Math.round(milliseconds)}' else ${own} end, true)`;
}

// FNV-1a of both with a zero in between: every process must come to the same number.
function hashOf(cqrsId: string, key: string): number {
  const hash = hashOn(Math.imul(hashOn(0x811c9dc5, cqrsId), PRIME), key);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hashOn(start: number, text: string): number {
  let hash = start;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), PRIME);
  return hash;
}

const PRIME = 0x01000193;
