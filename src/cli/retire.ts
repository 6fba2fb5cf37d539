import { retireQueue } from '../operations/retire.js';
import { type Options, UsageError, type Values } from './arguments.js';
import { Exit } from './command.js';
import { loadService, SERVICE_OPTIONS } from './service.js';

export const RETIRE_OPTIONS = {
  queue: { type: 'string', short: 'q', value: '<queue>', help: 'The queue of the replica that is no more.' },
  force: { type: 'boolean', help: 'Remove it though messages are in it.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs retire`: removes a replica's queues; what waits for them waits no longer. */
export async function retire(values: Values<typeof RETIRE_OPTIONS>): Promise<number> {
  const { queue, force } = values;
  if (queue === undefined) throw new UsageError('--queue is missing: whose queues are to be removed?');
  await using service = await loadService(values);
  const { removed } = await retireQueue(service.cqrs, queue, { force });
  for (const { queue: name, messages } of removed) console.log(`${name} removed, with ${messages} messages.`);
  if (removed.length === 0) console.log(`There is no queue '${queue}'; what waited for one waits no longer.`);
  return Exit.done;
}
