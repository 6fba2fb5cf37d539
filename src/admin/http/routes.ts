import type { EndpointName } from '../contract.js';
import type { Handle } from './call.js';
import { cancelJob, listJobs, showJob } from '../jobs/job-view.js';
import { dryRunLetters, purgeLetters, retryLetters } from '../jobs/letter-jobs.js';
import { deadLetters, listLetters, showLetter } from '../dead-letters/letter-views.js';
import { history, listProcesses, outbox, recentEvents, resolveRefused, showOverview } from '../overview/present.js';
import { differences, repairDifferences, startReconcile } from '../jobs/reconcile-jobs.js';
import { replicas } from '../overview/replica-states.js';
import { replicaRow } from '../rows/replica-row.js';
import { masterRow } from '../rows/row-detail.js';
import { countRows, readRows } from '../rows/rows.js';
import { serviceInfo } from '../overview/service-info.js';
import { syncRows } from '../jobs/sync-job.js';

/** Who answers which endpoint of the contract. */
export const routes: { readonly [N in EndpointName]: Handle<N> } = {
  service: serviceInfo,
  overview: showOverview,
  history,
  outbox,
  resolveRefused,
  processes: listProcesses,
  events: recentEvents,
  replicas,
  rows: async ({ cqrs, tables }, { params, body }) => readRows(cqrs, await tables.master(params['cqrsId']!), body),
  countRows: async ({ cqrs, tables }, { params, body }) =>
    countRows(cqrs, await tables.master(params['cqrsId']!), body),
  replicaRows: async ({ cqrs, tables }, { params, body }) =>
    readRows(cqrs, await tables.replica(params['cqrsId']!), body),
  countReplicaRows: async ({ cqrs, tables }, { params, body }) =>
    countRows(cqrs, await tables.replica(params['cqrsId']!), body),
  row: masterRow,
  replicaRow,
  sync: syncRows,
  jobs: listJobs,
  job: showJob,
  cancelJob,
  reconcile: startReconcile,
  repair: repairDifferences,
  differences,
  deadLetters,
  letters: listLetters,
  letter: showLetter,
  dryRunLetters,
  retryLetters,
  purgeLetters,
};
