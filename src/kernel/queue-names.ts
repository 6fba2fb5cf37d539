import type { Settings } from './settings.js';

/** Names of the queues beside a service's own. */

/** Where dead letters of a queue go: as the settings say for the service's own, `dead_letter_<queue>` for any other. */
export function deadLetterQueueOf(
  { queue: own, deadLetterQueue }: Pick<Settings, 'queue' | 'deadLetterQueue'>,
  queue: string,
): string {
  return (queue === own ? deadLetterQueue : null) ?? `dead_letter_${queue}`;
}

/** Where bodies of a queue go that cannot be read. */
export function unreadableQueueOf(queue: string): string {
  return `unreadable_${queue}`;
}
