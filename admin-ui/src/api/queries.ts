import { keepPreviousData, queryOptions, QueryClient } from '@tanstack/react-query';
import type { Matching, Query, RowsQuery } from '../../../src/admin/contract.ts';
import { call, RequestFailed } from './client.ts';

/** What the page keeps: it grows old by the stream of `live`, and leaves the memory a minute after nobody looks at it. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      gcTime: 60_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => error instanceof RequestFailed && error.code === 'unreachable' && failures < 3,
    },
  },
});

export const serviceQuery = queryOptions({
  queryKey: ['service'],
  queryFn: ({ signal }) => call('service', { signal }),
  staleTime: Infinity,
});

export const overviewQuery = queryOptions({
  queryKey: ['overview'],
  queryFn: ({ signal }) => call('overview', { signal }),
});

export const historyQuery = (minutes: number) =>
  queryOptions({
    queryKey: ['history', minutes],
    queryFn: ({ signal }) => call('history', { query: { minutes }, signal }),
    refetchInterval: minutes <= 60 ? 10_000 : 60_000,
    placeholderData: keepPreviousData,
  });

export const rowsQuery = (side: 'masters' | 'replicas', cqrsId: string, body: RowsQuery) =>
  queryOptions({
    queryKey: ['rows', side, cqrsId, body],
    queryFn: ({ signal }) => call(side === 'masters' ? 'rows' : 'replicaRows', { path: { cqrsId }, body, signal }),
    placeholderData: (previous, query) => (query?.queryKey[2] === cqrsId ? previous : undefined),
  });

export const countQuery = (side: 'masters' | 'replicas', cqrsId: string, body: Matching) =>
  queryOptions({
    queryKey: ['count', side, cqrsId, body],
    queryFn: ({ signal }) =>
      call(side === 'masters' ? 'countRows' : 'countReplicaRows', { path: { cqrsId }, body, signal }),
    staleTime: 30_000,
  });

export const rowQuery = (cqrsId: string, key: string) =>
  queryOptions({
    queryKey: ['row', cqrsId, key],
    queryFn: ({ signal }) => call('row', { path: { cqrsId }, body: { key }, signal }),
    staleTime: 0,
  });

export const replicaRowQuery = (cqrsId: string, key: string) =>
  queryOptions({
    queryKey: ['replica-row', cqrsId, key],
    queryFn: ({ signal }) => call('replicaRow', { path: { cqrsId }, body: { key }, signal }),
    staleTime: 0,
  });

export const jobsQuery = (query: NonNullable<Query<'jobs'>>) =>
  queryOptions({
    queryKey: ['jobs', query],
    queryFn: ({ signal }) => call('jobs', { query, signal }),
  });

export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: ['job', id],
    queryFn: ({ signal }) => call('job', { path: { id }, signal }),
  });

export const differencesQuery = (id: string, after?: string) =>
  queryOptions({
    queryKey: ['differences', id, after ?? null],
    queryFn: ({ signal }) => call('differences', { path: { id }, query: { ...(after && { after }) }, signal }),
    placeholderData: keepPreviousData,
  });

export const replicasQuery = queryOptions({
  queryKey: ['replicas'],
  queryFn: ({ signal }) => call('replicas', { signal }),
});

export const deadLettersQuery = queryOptions({
  queryKey: ['dead-letters'],
  queryFn: ({ signal }) => call('deadLetters', { signal }),
});

export const lettersQuery = (group: string, offset: number) =>
  queryOptions({
    queryKey: ['dead-letters', 'list', group, offset],
    queryFn: ({ signal }) => call('letters', { body: { group, offset, limit: 50 }, signal }),
    placeholderData: keepPreviousData,
  });

export const letterQuery = (id: string) =>
  queryOptions({
    queryKey: ['dead-letters', 'one', id],
    queryFn: ({ signal }) => call('letter', { path: { id }, signal }),
  });

export const outboxQuery = queryOptions({
  queryKey: ['outbox'],
  queryFn: ({ signal }) => call('outbox', { signal }),
});

export const processesQuery = queryOptions({
  queryKey: ['processes'],
  queryFn: ({ signal }) => call('processes', { signal }),
});

export const eventsQuery = queryOptions({
  queryKey: ['events'],
  queryFn: ({ signal }) => call('events', { query: { limit: 200 }, signal }),
});
