import { MOST_INCARNATION } from '../kernel/incarnations.js';
import type { Cqrs } from '../cqrs.js';
import { ReplicaEnd } from './reconcile/replica-end.js';

export interface RaiseIncarnationsOptions {
  readonly cqrsId: string;
  /** The queues of the replicas that are asked. */
  readonly queues: readonly string[];
  /** How long each may take; default 60. */
  readonly timeoutSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes the incarnations that a master gives from now on greater than all that these replicas have of it, deletions
 * included: for a master that was restored from a backup, or whose clock was ahead. `reconcile` does the same.
 * @returns the greatest that they have; null: none.
 * @throws UnknownCqrsIdError, and ReplicaAnswerError when a replica does not answer.
 * @example await raiseIncarnations(cqrs, { cqrsId: 'account', queues: ['shop'] });
 */
export async function raiseIncarnations(cqrs: Cqrs, options: RaiseIncarnationsOptions): Promise<number | null> {
  const { cqrsId, queues, timeoutSeconds = 60, signal } = options;
  cqrs.masters.get(cqrsId);
  await cqrs.connect();
  const told: (number | null)[] = [];
  for (const queue of queues) {
    const end = new ReplicaEnd(cqrs, { cqrsId, queue, timeoutMs: timeoutSeconds * 1_000, signal });
    told.push(await greatestTold(end));
  }
  const known = told.filter((one) => one !== null);
  if (known.length === 0) return null;
  const greatest = Math.max(...known);
  await cqrs.masterRuntime.raiseIncarnations(greatest);
  return greatest;
}

/** The greatest incarnation that a replica has. @throws ReplicaAnswerError */
export async function greatestTold(end: ReplicaEnd): Promise<number | null> {
  const { greatest } = await end.ask('incarnations', {});
  if (greatest !== null && greatest > MOST_INCARNATION) throw end.nonsense('an incarnation of after the year 2200');
  return greatest;
}
