import fc from 'fast-check';
import type { Applier } from '../../../../src/replication/replica/applier.js';
import { isTransient } from '../../../../src/messaging/inbox/faults.js';
import type { Received } from '../../../../src/messaging/inbox/handler.js';
import { type Announced, ROWS, type Step, STEPS } from './masters.js';

/** What a broker may do to messages: order, repetition, and how they are cut into batches for two workers. */
export interface Delivery {
  /** A rank for each message, and how often it comes. */
  readonly ranks: readonly { readonly rank: number; readonly times: number }[];
  /** Sizes of batches and the worker that takes them. */
  readonly batches: readonly { readonly size: number; readonly worker: 0 | 1 }[];
}

export interface History {
  readonly steps: readonly Step[];
  readonly delivery: Delivery;
  /** Before which batch a backup of the replica is made, and how many batches later it is restored. */
  readonly backup: { readonly at: number; readonly restored: number };
}

/**
 * The same histories for every change, so that a failure is one of the change; `npm run test:nightly` looks for new ones.
 * `SEED=` replays a run, whose seed is printed.
 */
export const seed = Number(process.env['SEED'] ?? 867_431_440);

const worker = fc.constantFrom(0 as const, 1 as const);
const row = fc.nat({ max: ROWS - 1 });

export const histories: fc.Arbitrary<History> = fc.record({
  steps: fc
    .array(
      fc.record({
        kind: fc.constantFrom(...STEPS),
        row,
        other: row,
        writer: worker,
        gap: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5_000_000 })),
        wait: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20 })),
      }),
      { minLength: 2, maxLength: 16, size: 'max' },
    )
    .map((steps) => [{ kind: 'create' as const, row: 0, other: 0, writer: 0 as const, gap: 1, wait: 0 }, ...steps]),
  backup: fc.record({ at: fc.nat({ max: 8 }), restored: fc.integer({ min: 1, max: 8 }) }),
  delivery: fc.record({
    ranks: fc.array(fc.record({ rank: fc.nat({ max: 1_000 }), times: fc.integer({ min: 1, max: 3 }) }), {
      minLength: 40,
      maxLength: 40,
    }),
    batches: fc.array(fc.record({ size: fc.integer({ min: 1, max: 8 }), worker }), { minLength: 1, maxLength: 6 }),
  }),
});

/**
 * What becomes of the order: any at all, for two workers at once; that of the commits; two publishers at once, within 0.3 s;
 * some messages up to 20 s late, as after a retry. In all of them messages come repeatedly.
 */
export type Ordering = 'any' | 'in order' | 'race' | 'retried';

/**
 * Hands the messages to two appliers at once, or one after another, as the delivery says. With `between`, which is called
 * before each batch, to one alone.
 */
export async function deliver(
  { messages, times }: Pick<Announced, 'messages' | 'times'>,
  { ranks, batches }: Delivery,
  applier: Applier,
  ordering: Ordering = 'any',
  between?: (batch: number) => Promise<void>,
): Promise<void> {
  const placeOf = (index: number, rank: number, time: number): number => {
    if (ordering === 'any') return (rank + time * 389) % 1_009;
    const late = ordering === 'race' ? rank * 300 : ordering === 'retried' && rank < 150 ? rank * 133_000 : 0;
    return times![index]! + late + time * rank * 5_000;
  };
  const ordered = messages
    .flatMap((message, index) => {
      const { rank, times: count } = ranks[index % ranks.length]!;
      return Array.from({ length: count }, (_, time) => ({ message, place: placeOf(index, rank, time) }));
    })
    .toSorted((a, b) => a.place - b.place)
    .map(({ message }) => message);
  const queues: [Received[][], Received[][]] = [[], []];
  for (let at = 0, index = 0; at < ordered.length; index++) {
    const { size, worker: which } = batches[index % batches.length]!;
    queues[ordering === 'any' && !between ? which : 0].push(ordered.slice(at, at + size));
    at += size;
  }
  await Promise.all(
    queues.map(async (queue) => {
      for (const [index, batch] of queue.entries()) {
        await between?.(index);
        await untilHandled(applier, batch);
      }
    }),
  );
}

/** As the consumer does: what fails for no fault of the batch is tried again. */
export async function untilHandled(applier: Applier, batch: readonly Received[]): Promise<void> {
  for (;;) {
    try {
      const outcomes = await applier.handle(batch);
      const failed = outcomes.find((outcome) => outcome.kind === 'failed');
      if (failed) throw new Error('a message failed', { cause: failed });
      return;
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
  }
}
