import { useSyncExternalStore } from 'react';
import type { Job, JobDetail, JobsPage, LiveEvents, RecentEvents } from '../../../src/admin/contract.ts';
import { apiUrl } from './client.ts';
import {
  deadLettersQuery,
  eventsQuery,
  outboxQuery,
  overviewQuery,
  processesQuery,
  queryClient,
  replicasQuery,
} from './queries.ts';

/**
 * The one stream of this page: what it brings goes into the cache of queries, which is bounded.
 *
 *     closed ──open()──▶ waiting ──first byte──▶ open ──break──▶ waiting (the browser, or we, connect again)
 *
 * While it is not open nothing arrives, so `useLiveState` tells the user. It ends with the page, also when the browser
 * keeps that for the back button.
 */
export type LiveState = 'closed' | 'waiting' | 'open';

const KEPT_EVENTS = 200;
const REOPEN_MS = 5_000;
const listeners = new Set<() => void>();
let source: EventSource | null = null;
let state: LiveState = 'closed';
let isBroken = false;
let reopening: ReturnType<typeof setTimeout> | undefined;

export function openLive(): void {
  if (source) return;
  const stream = new EventSource(apiUrl('live'));
  source = stream;
  change('waiting');
  stream.addEventListener('open', () => {
    // what happened during the break was not heard
    if (isBroken) void queryClient.invalidateQueries();
    isBroken = false;
    change('open');
  });
  stream.addEventListener('error', () => {
    isBroken = true;
    change('waiting');
    // refused, by a proxy or for want of a session: the browser does not try again
    if (stream.readyState === EventSource.CLOSED) reopening = setTimeout(reopen, REOPEN_MS);
  });
  on(stream, 'overview', (overview) => queryClient.setQueryData(overviewQuery.queryKey, overview));
  on(stream, 'job', updateJob);
  on(stream, 'event', (event) =>
    queryClient.setQueryData<RecentEvents>(
      eventsQuery.queryKey,
      (known) =>
        known && { events: [event, ...known.events.filter(({ id }) => id !== event.id)].slice(0, KEPT_EVENTS) },
    ),
  );
  on(stream, 'changed', ({ what }) => {
    for (const one of what) void queryClient.invalidateQueries({ queryKey: CHANGED[one] });
  });
}

function reopen(): void {
  source = null;
  openLive();
}

export function closeLive(): void {
  clearTimeout(reopening);
  source?.close();
  source = null;
  change('closed');
}

addEventListener('pagehide', closeLive);
addEventListener('pageshow', (event) => event.persisted && openLive());

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => state,
  );
}

const CHANGED = {
  jobs: ['jobs'],
  'dead-letters': deadLettersQuery.queryKey,
  outbox: outboxQuery.queryKey,
  processes: processesQuery.queryKey,
  replicas: replicasQuery.queryKey,
} as const satisfies Record<LiveEvents['changed']['what'][number], readonly string[]>;

function updateJob(job: Job): void {
  queryClient.setQueryData<JobDetail>(['job', job.id], (known) => known && { ...known, ...job });
  queryClient.setQueriesData<JobsPage>(
    { queryKey: ['jobs'] },
    (page) => page && { ...page, jobs: page.jobs.map((known) => (known.id === job.id ? job : known)) },
  );
  // a job that ended has a result now, and has changed what others show
  if (job.endedAt === null) return;
  for (const queryKey of [['job', job.id], ['jobs'], ['row'], ['replica-row'], ['dead-letters'], ['differences']]) {
    void queryClient.invalidateQueries({ queryKey });
  }
}

function on<N extends keyof LiveEvents>(stream: EventSource, name: N, take: (data: LiveEvents[N]) => void): void {
  stream.addEventListener(name, (event) => take(JSON.parse((event as MessageEvent<string>).data) as LiveEvents[N]));
}

function change(next: LiveState): void {
  state = next;
  for (const listener of listeners) listener();
}
