import type { ProcessActivity } from '../activity/read-activity.js';
import { span } from '../activity/verdict.js';
import { pause } from '../kernel/service.js';
import { nameOf } from '../operations/service-health.js';
import { readStatus } from '../operations/status.js';
import type { Status } from '../operations/service-status.js';
import type { Options, Values } from './arguments.js';
import { Exit } from './command.js';
import { loadService, SERVICE_OPTIONS } from './service.js';
import { onShutdown } from './shutdown.js';

export const STATUS_OPTIONS = {
  json: { type: 'boolean', help: 'Print one JSON object; with --watch one a line.' },
  watch: { type: 'boolean', help: 'Go on, and show it anew every two seconds, until SIGINT.' },
  ...SERVICE_OPTIONS,
} as const satisfies Options;

const WATCH_MS = 2_000;
const CLEAR = '\u001b[H\u001b[J';

/** `cqrs status`: whether all is well, what waits where, who runs, how fast. The exit code is 1 when it is not. */
export async function status(values: Values<typeof STATUS_OPTIONS>): Promise<number> {
  await using service = await loadService(values);
  const { cqrs } = service;
  const stop = values.watch ? onShutdown() : undefined;
  // Tables that are missing are a mistake to be told as such; a database that is away is a state to be shown.
  await cqrs.check().catch(rethrowSetup);
  for (;;) {
    const state = await readStatus(cqrs);
    if (values.json) console.log(JSON.stringify(state, null, values.watch ? undefined : 2));
    else console.log(`${values.watch && process.stdout.isTTY ? CLEAR : ''}${statusText(state)}`);
    if (stop) await pause(WATCH_MS, stop);
    if (!stop || stop.aborted) return state.state === 'healthy' ? Exit.done : Exit.failed;
    if (!values.json && !process.stdout.isTTY) console.log('');
  }
}

function rethrowSetup(error: unknown): void {
  if (error instanceof Error && Reflect.get(error, 'code') === 'configuration') throw error;
}

type Row = readonly [name: string, text: string];

/** The status for people: the verdict, then a table. */
export function statusText(state: Status): string {
  const rows = [...waiting(state), ...replicaRows(state), ...processRows(state), ...rateRows(state)];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...verdictLines(state),
    '',
    ...rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`),
    ...eventLines(state),
  ].join('\n');
}

function verdictLines({ state, reasons, activity }: Status): string[] {
  const now = Date.parse(activity.now);
  const lines = reasons.map(({ severity, text, since }) => {
    const sinceText = since === null ? '' : `, for ${span(Math.max(0, now - Date.parse(since)))}`;
    return `  ${severity === 'dead' ? 'dead:     ' : 'degraded: '}${text}${sinceText}`;
  });
  return [state === 'healthy' ? 'healthy' : state.toUpperCase(), ...lines];
}

function waiting({ outbox, broker, queues, activity }: Status): Row[] {
  const rows: Row[] = [];
  if (outbox) {
    const oldest = outbox.oldestAgeMs === null ? '' : `, the oldest for ${seconds(outbox.oldestAgeMs)}`;
    const failed = outbox.failed === 0 ? '' : `, ${outbox.failed} that no queue would take`;
    const held = outbox.held === 0 ? '' : `, ${figure(outbox.held)} held (cqrs refused list)`;
    rows.push(['outbox', `${figure(outbox.depth, outbox.exact)} waiting${oldest}${failed}${held}`]);
  }
  if (broker.error !== null) rows.push(['broker', broker.error]);
  const own = queues.find(({ role }) => role === 'queue')?.name;
  for (const { role, name, state } of queues) {
    const consumers = role === 'queue' ? `, ${state?.consumers} consumers` : '';
    const expiring = role === 'dead letters' && own !== undefined ? activity.expiring[own] : undefined;
    const atMost = Math.min(expiring?.count ?? 0, state?.messages ?? 0);
    const soon =
      atMost > 0 ? `; up to ${atMost} will be dropped, the first in ${span(expiring!.firstInSeconds * 1_000)}` : '';
    const text = state === null ? 'does not exist yet' : `${figure(state.messages)} waiting${consumers}${soon}`;
    rows.push([role, `${name}: ${text}`]);
  }
  return rows;
}

function replicaRows({ replicas, activity }: Status): Row[] {
  return replicas.map(({ cqrsId, rows, exact, lastUpdated }) => {
    const applied = activity.entities[cqrsId]?.lastAppliedAt;
    const last = exact
      ? `last change of the master applied: ${lastUpdated ?? 'none'}`
      : `last applied: ${applied ?? 'not within the last hour'}`;
    return [`replica ${cqrsId}`, `${figure(rows, exact)} rows, ${last}`];
  });
}

function processRows({ activity }: Status): Row[] {
  const now = Date.parse(activity.now);
  const shown = activity.processes.filter(({ state }) => state !== 'stopped');
  return shown.map((process): Row => {
    const up = span(Math.max(0, now - Date.parse(process.startedAt)));
    const seen = span(Math.max(0, now - Date.parse(process.seenAt)));
    const memory = `${Math.round(process.rssBytes / 1_048_576)} MiB`;
    const state = process.state === 'lost' ? `LOST, last seen ${seen} ago` : `up ${up}, seen ${seen} ago, ${memory}`;
    return [process.state === 'lost' ? 'lost' : 'running', `${nameOf(process)}: ${state}${countedBy(process)}`];
  });
}

function countedBy({ roles, counters }: ProcessActivity): string {
  const sum = (reasons: Readonly<Record<string, number>>): number =>
    Object.values(reasons).reduce((total, count) => total + count, 0);
  const parts = [
    ...(roles.includes('relay') ? [`${figure(counters.published)} published`] : []),
    ...(roles.includes('worker')
      ? [`${figure(counters.applied)} applied`, `${figure(sum(counters.skipped))} skipped`]
      : []),
    ...(sum(counters.retried) > 0 ? [`${figure(sum(counters.retried))} retried`] : []),
    ...(sum(counters.deadLettered) > 0 ? [`${figure(sum(counters.deadLettered))} dead letters`] : []),
  ];
  return parts.length === 0 ? '' : `; ${parts.join(', ')}`;
}

const RATE_MINUTES = 5;

/** Of the last whole minutes: the present one has only begun. */
function rateRows({ activity }: Status): Row[] {
  const now = Math.floor(Date.parse(activity.now) / 60_000) * 60_000;
  const periods = activity.history.filter(({ at }) => {
    const age = now - Date.parse(at);
    return age > 0 && age <= RATE_MINUTES * 60_000;
  });
  if (!activity.enabled || periods.length === 0) return [];
  const rate = (name: 'announced' | 'published' | 'applied' | 'retried' | 'deadLettered'): string => {
    const perSecond = periods.reduce((total, period) => total + period[name], 0) / (RATE_MINUTES * 60);
    return perSecond >= 10 ? figure(Math.round(perSecond)) : String(Number(perSecond.toFixed(2)));
  };
  const lag = (name: 'relayLagMs' | 'applyLagMs'): string => {
    const most = periods.reduce<number | null>(
      (one, period) => (period[name] === null ? one : Math.max(one ?? 0, period[name])),
      null,
    );
    return most === null ? '' : `, ${most < 1_000 ? `${Math.round(most)} ms` : seconds(most)} behind at most`;
  };
  return [
    [
      `last ${RATE_MINUTES} min`,
      `${rate('announced')}/s announced, ${rate('published')}/s published${lag('relayLagMs')}, ${rate('applied')}/s applied${lag('applyLagMs')}, ${rate('retried')}/s retried, ${rate('deadLettered')}/s dead-lettered`,
    ],
  ];
}

const MOST_EVENTS = 5;

function eventLines({ activity }: Status): string[] {
  const bad = activity.events.filter(({ level }) => level === 'warn' || level === 'error').slice(0, MOST_EVENTS);
  if (bad.length === 0) return [];
  const lines = bad.map(
    ({ at, level, text, more }) =>
      `  ${at.slice(0, 19)}Z ${level.toUpperCase().padEnd(5)} ${text}${more > 0 ? ` (and ${more} more)` : ''}`,
  );
  return ['', 'lately', ...lines];
}

function figure(value: number, exact = true): string {
  return `${exact ? '' : 'about '}${value.toLocaleString('en-US')}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
