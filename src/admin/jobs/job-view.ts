import { pause } from '../../kernel/service.js';
import type { StoredJob } from '../../jobs/job-table.js';
import { ApiProblem } from '../http/api-problem.js';
import type { AdminParts, Call, Handle } from '../http/call.js';
import { type Job, type JobDetail, JobItem, JobKind, type JobsPage } from '../contract.js';
import { jobTable } from './job-store.js';

/** Jobs as the page shows them. */

/** How long an answer is held back for a job that may be done at once. */
const PATIENCE_MS = 1_000;

export async function listJobs({ cqrs, jobs }: AdminParts, { query }: Call<'jobs'>): Promise<JobsPage> {
  await jobs.prepare();
  const kinds = query.kind?.split(',');
  if (query.before !== undefined && !/^\d{1,18}$/.test(query.before)) throw noJob();
  const { cqrsId, before, limit } = query;
  const found = await jobTable(cqrs).page({ kinds, cqrsId, before, limit: limit + 1 });
  const page = found.slice(0, limit);
  return { jobs: page.map(toJob), next: found.length > limit ? page.at(-1)!.id : null };
}

export const showJob: Handle<'job'> = async (parts, { params }) => {
  await parts.jobs.prepare();
  return jobDetail(parts, params['id']!);
};

export const cancelJob: Handle<'cancelJob'> = async (parts, { params, user }) => {
  const id = params['id']!;
  await parts.jobs.prepare();
  await jobDetail(parts, id);
  if (!(await parts.jobs.cancel(id))) throw new ApiProblem('conflict', `Job ${id} has ended already.`);
  parts.cqrs.events.emit('cqrs.admin.acted', { user: user.user, action: 'cancel', cqrsId: null, queue: null, job: id });
  return jobDetail(parts, id);
};

/** A job that was just begun: as it is when it has ended, if that does not take long. */
export async function begunJob(
  parts: AdminParts,
  { id, ended }: { id: string; ended: Promise<void> },
): Promise<JobDetail> {
  const over = new AbortController();
  await Promise.race([ended, pause(PATIENCE_MS, over.signal)]);
  over.abort();
  return jobDetail(parts, id);
}

/** @throws ApiProblem when there is no such job. */
export async function jobDetail({ cqrs }: AdminParts, id: string): Promise<JobDetail> {
  const table = jobTable(cqrs);
  const job = await table.find(id);
  if (!job) throw noJob();
  const items = (await table.list(id, 'items')).map((item) => JobItem.parse(item));
  return { ...toJob(job), items, itemsLeftOut: job.itemsLeftOut };
}

export function toJob({
  request: _request,
  itemsLeftOut: _itemsLeftOut,
  findingsLeftOut: _findingsLeftOut,
  seconds,
  ...job
}: StoredJob): Job {
  const { state, done, total } = job;
  const rate = seconds !== null && seconds > 0 && done > 0 ? done / seconds : null;
  const left = state === 'running' && rate !== null && total !== null ? Math.max(0, total - done) : null;
  return {
    ...job,
    kind: JobKind.parse(job.kind),
    counts: { ...job.counts },
    ratePerSecond: rate === null ? null : round(rate),
    etaSeconds: left === null ? null : Math.ceil(left / rate!),
  };
}

function round(rate: number): number {
  return rate >= 10 ? Math.round(rate) : Number(rate.toFixed(2));
}

function noJob(): ApiProblem {
  return new ApiProblem('not-found', 'There is no such job.');
}
