import type { Health } from '../activity/verdict.js';
import { type Options, type Values, UsageError } from './arguments.js';
import { Exit } from './command.js';
import { HEALTH_OPTIONS, healthPort, serveHealth } from './health-server.js';
import { measure } from './metrics.js';
import { LOG_OPTIONS, loadService, SERVICE_OPTIONS, startLog } from './service.js';
import { aborted, onShutdown } from './shutdown.js';

export const RELAY_OPTIONS = { ...HEALTH_OPTIONS, ...SERVICE_OPTIONS, ...LOG_OPTIONS } as const satisfies Options;

/** `cqrs relay`: carries the outbox to the broker until it is told to stop. */
export async function relay(values: Values<typeof RELAY_OPTIONS>): Promise<number> {
  const stop = onShutdown();
  const port = healthPort(values['health-port']);
  await using service = await loadService(values);
  const { cqrs } = service;
  if (cqrs.masters.size === 0) throw new UsageError('This service has no masters, so there is nothing to relay.');
  using _ = startLog(cqrs, values);
  const health = (): Health => cqrs.health({ roles: ['relay'] });
  await using _probes =
    port === undefined ? undefined : await serveHealth(port, { events: cqrs.events, health, ...(await measure(cqrs)) });
  await cqrs.check();
  await using running = cqrs.createRelay();
  await running.start();
  cqrs.events.emit('cqrs.worker.stopping', { reason: await aborted(stop) });
  return Exit.done;
}
