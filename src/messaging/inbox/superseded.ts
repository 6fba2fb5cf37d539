import type { Outcome } from './handler.js';
import type { Message } from './message.js';

/**
 * Messages that were passed over for a newer one, in a batch where one of their id failed. It may have been their
 * winner: they are not settled with the rest but handled anew, without it.
 */
export function supersededInVain(batch: readonly Message[], outcomes: readonly Outcome[]): ReadonlySet<Message> {
  const failed = new Set<string>();
  outcomes.forEach(({ kind }, index) => {
    if (kind === 'failed' || kind === 'dead-letter') failed.add(batch[index]!.payload.cqrsId);
  });
  if (failed.size === 0) return new Set();
  return new Set(
    batch.filter((message, index) => {
      const outcome = outcomes[index]!;
      return outcome.kind === 'skipped' && outcome.reason === 'superseded' && failed.has(message.payload.cqrsId);
    }),
  );
}
