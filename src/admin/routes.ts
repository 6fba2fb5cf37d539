import type { EndpointName } from './contract.js';
import type { Handle } from './call.js';
import { cancelJob, listJobs, showJob } from './job-view.js';
import { countRows, readRows } from './rows.js';
import { serviceInfo } from './service-info.js';
import { syncRows } from './sync-job.js';

/** Who answers which endpoint of the contract. */
export const routes: { readonly [N in EndpointName]?: Handle<N> } = {
  service: serviceInfo,
  rows: async ({ cqrs, tables }, { params, body }) => readRows(cqrs, await tables.master(params['cqrsId']!), body),
  countRows: async ({ cqrs, tables }, { params, body }) =>
    countRows(cqrs, await tables.master(params['cqrsId']!), body),
  replicaRows: async ({ cqrs, tables }, { params, body }) =>
    readRows(cqrs, await tables.replica(params['cqrsId']!), body),
  sync: syncRows,
  jobs: listJobs,
  job: showJob,
  cancelJob,
};
