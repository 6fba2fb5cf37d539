import fc from 'fast-check';
import type { Applier } from '../../../src/replica/applier.js';
import { isTransient } from '../../../src/inbox/faults.js';
import type { Received } from '../../../src/inbox/handler.js';
import { ROWS, type Step, STEPS } from './masters.js';

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
}

/** `SEED=` replays a run; the seed of every run is printed. */
export const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

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
      }),
      { minLength: 2, maxLength: 16, size: 'max' },
    )
    .map((steps) => [{ kind: 'create' as const, row: 0, other: 0, writer: 0 as const, gap: 1 }, ...steps]),
  delivery: fc.record({
    ranks: fc.array(fc.record({ rank: fc.nat({ max: 1_000 }), times: fc.integer({ min: 1, max: 3 }) }), {
      minLength: 40,
      maxLength: 40,
    }),
    batches: fc.array(fc.record({ size: fc.integer({ min: 1, max: 8 }), worker }), { minLength: 1, maxLength: 6 }),
  }),
});

/** Hands the messages to two appliers at once, as the delivery says. */
export async function deliver(
  messages: readonly Received[],
  { ranks, batches }: Delivery,
  applier: Applier,
): Promise<void> {
  const shuffled = messages
    .flatMap((message, index) => {
      const { rank, times } = ranks[index % ranks.length]!;
      return Array.from({ length: times }, (_, time) => ({ message, rank: (rank + time * 389) % 1_009 }));
    })
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ message }) => message);
  const queues: [Received[][], Received[][]] = [[], []];
  for (let at = 0, index = 0; at < shuffled.length; index++) {
    const { size, worker: which } = batches[index % batches.length]!;
    queues[which].push(shuffled.slice(at, at + size));
    at += size;
  }
  await Promise.all(
    queues.map(async (queue) => {
      for (const batch of queue) await untilHandled(applier, batch);
    }),
  );
}

/** As the consumer does: what fails for no fault of the batch is tried again. */
async function untilHandled(applier: Applier, batch: readonly Received[]): Promise<void> {
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
