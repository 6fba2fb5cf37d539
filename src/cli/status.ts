import { readStatus, type Status } from '../maintenance/status.js';
import type { Options, Values } from './arguments.js';
import { Exit } from './command.js';
import { loadService, SERVICE_OPTIONS } from './service.js';

export const STATUS_OPTIONS = {
  json: { type: 'boolean', help: 'Print one JSON object.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

/** `cqrs status`: what waits where, and how far the replicas are. Fails when the broker does not answer. */
export async function status(values: Values<typeof STATUS_OPTIONS>): Promise<number> {
  await using service = await loadService(values);
  await service.cqrs.check();
  const state = await readStatus(service.cqrs);
  console.log(values.json ? JSON.stringify(state, null, 2) : statusText(state));
  return state.broker.error === null ? Exit.done : Exit.failed;
}

/** The status as a table for people. */
export function statusText({ outbox, broker, queues, replicas }: Status): string {
  const rows: [string, string][] = [];
  if (outbox) {
    const oldest = outbox.oldestAgeMs === null ? '' : `, the oldest for ${seconds(outbox.oldestAgeMs)}`;
    const failed = outbox.failed === 0 ? '' : `, ${outbox.failed} that no queue would take`;
    rows.push(['outbox', `${outbox.depth} waiting${oldest}${failed}`]);
  }
  if (broker.error !== null) rows.push(['broker', broker.error]);
  for (const { role, name, state } of queues) {
    const consumers = role === 'queue' ? `, ${state?.consumers} consumers` : '';
    rows.push([role, `${name}: ${state === null ? 'does not exist yet' : `${state.messages} waiting${consumers}`}`]);
  }
  for (const { cqrsId, rows: count, lastUpdated } of replicas) {
    rows.push([`replica ${cqrsId}`, `${count} rows, last change of the master applied: ${lastUpdated ?? 'none'}`]);
  }
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`).join('\n');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
