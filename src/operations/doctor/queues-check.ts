import { unreadableQueueOf } from '../../kernel/queue-names.js';
import type { Check } from './check.js';

/** What the broker would drop by itself, by the arguments and policies of this service's queues. */
export const queuesCheck: Check = {
  name: 'queues',
  about: 'arguments and policies of the queues at the broker: what would drop messages',
  async run(cqrs) {
    const { queue } = cqrs.settings;
    if (queue === null) return { findings: [] };
    const deadLetterQueue = cqrs.deadLetterQueueOf(queue);
    const queues = { queue, deadLetterQueue, unreadableQueue: unreadableQueueOf(queue) };
    const { findings, notExamined } = (await cqrs.transport.examineQueues?.(queues)) ?? NOTHING;
    return { findings, notChecked: notExamined === null ? null : `${notExamined}. ${BY_HAND}` };
  },
};

const NOTHING = { findings: [], notExamined: null };
const BY_HAND = 'What to look for by hand: docs/operating.md, What the broker drops by itself.';
