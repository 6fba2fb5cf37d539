import type { Outcome } from './handler.js';
import type { Message } from './message.js';

/**
 * Messages that were passed over for a newer one, in a batch where one of their id failed. It may have been their
 * winner: they are not settled with the rest but handled anew, without it.
 */
export function supersededInVain(batch: readonly Message[], outcomes: readonly Outcome[]): ReadonlySet<Message> {
  const failed = new Set(
    batch
      .filter((_, index) => outcomes[index]!.kind === 'failed' || outcomes[index]!.kind === 'dead-letter')
      .map((message) => message.payload.cqrsId),
  );
  return new Set(
    batch.filter((message, index) => {
      const outcome = outcomes[index]!;
      return outcome.kind === 'skipped' && outcome.reason === 'superseded' && failed.has(message.payload.cqrsId);
    }),
  );
}
