import type { Options, Values } from './arguments.js';
import { UsageError } from './arguments.js';
import { Exit } from './command.js';
import { LOG_OPTIONS, loadService, SERVICE_OPTIONS, startLog } from './service.js';
import { aborted, onShutdown } from './shutdown.js';

export const RELAY_OPTIONS = { ...SERVICE_OPTIONS, ...LOG_OPTIONS } as const satisfies Options;

/** `cqrs relay`: carries the outbox to the broker until it is told to stop. */
export async function relay(values: Values<typeof RELAY_OPTIONS>): Promise<number> {
  const stop = onShutdown();
  await using service = await loadService(values);
  const { cqrs } = service;
  if (cqrs.masters.size === 0) throw new UsageError('This service has no masters, so there is nothing to relay.');
  using _ = startLog(cqrs, values);
  await cqrs.check();
  await using running = cqrs.createRelay();
  await running.start();
  cqrs.events.emit('cqrs.worker.stopping', { reason: await aborted(stop) });
  return Exit.done;
}
