import { describeError } from '../../kernel/describe-error.js';
import type { Cqrs } from '../../cqrs.js';
import type { QueueState } from '../../messaging/transport/transport.js';

/** What the broker says of a queue: null when there is none, or an error when it does not answer. */
export async function readQueue(
  cqrs: Cqrs,
  name: string,
): Promise<{ readonly state: QueueState | null; readonly error: string | null }> {
  try {
    await cqrs.connect();
    return { state: (await cqrs.transport.inspect(name)) ?? null, error: null };
  } catch (error) {
    return { state: null, error: describeError(error) };
  }
}
