import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { Job, JobKind } from '../../../src/admin/contract.ts';
import { jobsQuery } from '../api/queries.ts';
import { formatCount } from '../format.ts';
import { Counts, JobCard } from '../parts/job-card.tsx';
import { hasTroubles, KIND_WORDS, STATE_TONES } from '../parts/job-words.ts';
import { Empty } from '../parts/notice.tsx';
import { QueryView } from '../parts/query-view.tsx';
import { TimeAgo } from '../parts/time-ago.tsx';
import type { JobsSearch } from '../search.ts';

const route = getRouteApi('/jobs');

/** What was asked for, by whom, and what became of it. */
export function JobsPage() {
  const { kind, job } = route.useSearch();
  const navigate = route.useNavigate();
  const jobs = useQuery(jobsQuery({ ...(kind && { kind }), limit: 100 }));
  const change = (next: JobsSearch): void =>
    void navigate({ search: (previous: JobsSearch) => ({ ...previous, ...next }) });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Jobs</h1>
          <p>Everything that was done from this page: what, by whom, and what became of it.</p>
        </div>
        <label className="field">
          <span>Kind</span>
          <select
            className="select"
            value={kind ?? ''}
            onChange={(event) => change({ kind: event.target.value || undefined })}
          >
            <option value="">all kinds</option>
            {(Object.entries(KIND_WORDS) as [JobKind, string][]).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
      </div>
      {job !== undefined && <JobCard id={job} onHide={() => change({ job: undefined })} />}
      <section className="panel" aria-label="Jobs">
        <QueryView query={jobs}>
          {(page) =>
            page.jobs.length === 0 ? (
              <Empty title="No jobs yet">
                Synchronize rows, compare a replica or retry dead letters: each becomes a job that is kept here.
              </Empty>
            ) : (
              <div className="table-wrap" tabIndex={0} role="region" aria-label="Jobs, newest first">
                <table className="table stack">
                  <thead>
                    <tr>
                      <th scope="col">Job</th>
                      <th scope="col">State</th>
                      <th scope="col">Result</th>
                      <th scope="col" className="right">
                        Done
                      </th>
                      <th scope="col">By</th>
                      <th scope="col">When</th>
                    </tr>
                  </thead>
                  <tbody>
                    {page.jobs.map((one) => (
                      <JobRow key={one.id} job={one} />
                    ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </QueryView>
      </section>
    </>
  );
}

function JobRow({ job }: { readonly job: Job }) {
  return (
    <tr>
      <td>
        <Link to="/jobs" search={(previous) => ({ ...previous, job: job.id })}>
          {job.title}
        </Link>
      </td>
      <td>
        <span className={`badge ${job.state === 'done' && hasTroubles(job) ? 'warn' : STATE_TONES[job.state]}`}>
          {job.state}
        </span>
      </td>
      <td className="wrap">
        {job.error ? <span className="trouble">{job.error}</span> : <Counts counts={job.counts} />}
      </td>
      <td className="right">
        <span className="only-phone soft">done </span>
        {formatCount(job.done)}
        {job.total !== null && job.total !== job.done && ` / ${formatCount(job.total)}`}
      </td>
      <td>{job.by}</td>
      <td>
        <TimeAgo iso={job.createdAt} />
      </td>
    </tr>
  );
}
