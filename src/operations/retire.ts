import { unreadableQueueOf } from '../kernel/queue-names.js';
import { InputError } from '../kernel/errors.js';
import type { Cqrs } from '../cqrs.js';

/** What was removed at the broker. */
export interface RetireResult {
  /** Queues that were there, with how many messages each had. */
  readonly removed: readonly { readonly queue: string; readonly messages: number }[];
}

/**
 * Removes a replica that is no more: its queue, its dead letters and its unreadable bodies. Changes that wait for it in
 * the outbox of this service wait no longer, unless another queue takes them.
 * @param options.force removes it though messages are in it
 * @throws InputError when a worker still consumes it, or when messages are in it
 */
export async function retireQueue(cqrs: Cqrs, queue: string, { force = false } = {}): Promise<RetireResult> {
  await cqrs.connect();
  const removed: { queue: string; messages: number }[] = [];
  for (const name of [queue, cqrs.deadLetterQueueOf(queue), unreadableQueueOf(queue)]) {
    const state = await cqrs.transport.inspect(name);
    if (!state) continue;
    if (state.consumers > 0) {
      throw new InputError(
        `${state.consumers} workers still consume '${name}'.`,
        'Stop them first: they would make it again.',
      );
    }
    if (state.messages > 0 && !force) {
      throw new InputError(`${state.messages} messages are in '${name}'.`, 'With --force they are removed, too.');
    }
    removed.push({ queue: name, messages: state.messages });
  }
  for (const { queue: name } of removed) await cqrs.transport.removeQueue(name);
  await cqrs.refused.endWaits();
  return { removed };
}
