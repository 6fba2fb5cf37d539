import { CompiledQuery } from 'kysely';
import { INCARNATION_LEAD, MOST_INCARNATION } from '../../kernel/incarnations.js';
import { type Executor, BUCKETS, LOCK_CLASS } from './outbox.js';

/**
 * Where incarnations come from, in SQL: `greatest(clock, sequence)`, and every query on that sequence. It is the outbox's
 * own: its numbers only grow, and whoever writes messages may use it already.
 *
 *   INSERT, a key that changes, a new incarnation ──▶ greatest(clock in µs, nextval)
 *   relay, every second                           ──▶ sequence at least clock + 2 s
 *   reconcile                                     ──▶ sequence above what a replica tells
 *
 * So numbers grow whatever the clock does, in as far as a relay has run within the two seconds before it went back.
 */

/** The sequence of the outbox, as SQL names it. */
export function sequenceOf(outboxTable: string): string {
  return `${outboxTable.slice(0, -1)}_id_seq"`;
}

/** A new incarnation. To the letter as PostgreSQL prints a default, else each `schema:update` would set it anew. */
export function nextIncarnation(sequence: string): string {
  return `greatest(${CLOCK}, nextval(${regclass(sequence)}))`;
}

const CLOCK = '((extract(epoch from clock_timestamp()) * (1000000)::numeric))::bigint';

function regclass(sequence: string): string {
  const plain = sequence.replaceAll(/"([a-z_][a-z0-9_$]*)"/g, '$1');
  return `'${plain.replaceAll("'", "''")}'::regclass`;
}

/** What the sequence was and the clock is, in microseconds since 1970. */
export interface Lift {
  readonly sequence: number;
  readonly clock: number;
}

/** A step that is worth its writing. */
const LEAST_STEP = 250_000;

/** Lifts the sequence above the clock, unless it is there or another relay does it just now; it never goes back. */
export async function liftSequence(executor: Executor, sequence: string): Promise<Lift> {
  // Read behind the lock: a lift by another relay between the two would be taken back.
  const { rows } = await executor.executeQuery<{ sequence: string; clock: string }>(
    CompiledQuery.raw(
      `with lock as materialized (select pg_try_advisory_xact_lock(${LOCK_CLASS}, ${LIFTS}) as held),
            seen as materialized (select held, ${lastOf(sequence)} as last, ${CLOCK} as clock from lock)
       select last::text as sequence, clock::text as clock,
              case when held and last < clock + ${INCARNATION_LEAD - LEAST_STEP} and clock < ${MOST_INCARNATION}
                   then setval(${regclass(sequence)}, clock + ${INCARNATION_LEAD}) end as lifted
         from seen`,
    ) as CompiledQuery<{ sequence: string; clock: string }>,
  );
  return { sequence: Number(rows[0]!.sequence), clock: Number(rows[0]!.clock) };
}

/** Makes every incarnation from now on greater than this one, which replicas know. @returns whether it had to */
export async function raiseSequence(transaction: Executor, sequence: string, over: number): Promise<boolean> {
  await transaction.executeQuery(CompiledQuery.raw(`select pg_advisory_xact_lock(${LOCK_CLASS}, ${LIFTS})`));
  const { rows } = await transaction.executeQuery(
    CompiledQuery.raw(
      `select setval(${regclass(sequence)}, $1::bigint) from (select ${lastOf(sequence)} as last) as seen where last < $1::bigint`,
      [over],
    ),
  );
  return rows.length > 0;
}

/** Beside the buckets of the outbox. */
const LIFTS = BUCKETS;

function lastOf(sequence: string): string {
  return `coalesce(pg_sequence_last_value(${regclass(sequence)}), 0)`;
}
