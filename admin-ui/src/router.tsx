import { createHashHistory, createRootRoute, createRoute, createRouter, redirect } from '@tanstack/react-router';
import { DeadLettersPage } from './pages/dead-letters.tsx';
import { JobsPage } from './pages/jobs.tsx';
import { NotFound, Shell } from './shell.tsx';
import { OutboxPage } from './pages/outbox.tsx';
import { OverviewPage } from './pages/overview.tsx';
import { ReplicaRowsPage } from './pages/replica-rows.tsx';
import { ReplicasPage } from './pages/replicas.tsx';
import { RowsPage } from './pages/rows.tsx';
import { queryClient, serviceQuery } from './api/queries.ts';
import {
  parseDeadLettersSearch,
  parseJobsSearch,
  parseListingSearch,
  parseOverviewSearch,
  parseReplicasSearch,
  parseRowsSearch,
} from './search.ts';

/**
 * Every state has an address, and all of it lies in the fragment: a search or a key in it never reaches a server, and
 * so no log.
 */
const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: parseOverviewSearch,
  component: OverviewPage,
});

const firstRows = createRoute({
  getParentRoute: () => root,
  path: '/rows',
  beforeLoad: async () => {
    const service = await queryClient.ensureQueryData(serviceQuery);
    const [first] = service.masters;
    if (first) redirect({ to: '/rows/$cqrsId', params: { cqrsId: first.cqrsId }, replace: true, throw: true });
  },
  component: NotFound,
});

const rows = createRoute({
  getParentRoute: () => root,
  path: '/rows/$cqrsId',
  validateSearch: parseRowsSearch,
  component: RowsPage,
});

const replicas = createRoute({
  getParentRoute: () => root,
  path: '/replicas',
  validateSearch: parseReplicasSearch,
  component: ReplicasPage,
});

const replicaRows = createRoute({
  getParentRoute: () => root,
  path: '/replicas/$cqrsId',
  validateSearch: parseListingSearch,
  component: ReplicaRowsPage,
});

const deadLetters = createRoute({
  getParentRoute: () => root,
  path: '/dead-letters',
  validateSearch: parseDeadLettersSearch,
  component: DeadLettersPage,
});

const outbox = createRoute({ getParentRoute: () => root, path: '/outbox', component: OutboxPage });

const jobs = createRoute({
  getParentRoute: () => root,
  path: '/jobs',
  validateSearch: parseJobsSearch,
  component: JobsPage,
});

export const router = createRouter({
  routeTree: root.addChildren([overview, firstRows, rows, replicas, replicaRows, deadLetters, outbox, jobs]),
  history: createHashHistory(),
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
