import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { jobsQuery } from '../../api/queries.ts';
import { Counts } from '../../parts/job-card.tsx';
import { STATE_TONES } from '../../parts/job-words.ts';
import { TimeAgo } from '../../parts/time-ago.tsx';

const FEW = 5;

/** Comparisons whose differences can be looked at again. */
export function RecentComparisons({ shown }: { readonly shown: string | undefined }) {
  const { data } = useQuery(jobsQuery({ kind: 'reconcile', limit: 20 }));
  const jobs = (data?.jobs ?? []).filter(({ id }) => id !== shown).slice(0, FEW);
  if (jobs.length === 0) return null;
  return (
    <section className="panel" aria-label="Recent comparisons">
      <header>
        <h2>Recent comparisons</h2>
      </header>
      <ul className="body recent">
        {jobs.map((job) => (
          <li key={job.id}>
            <Link to="/replicas" search={{ job: job.id }}>
              {job.title}
            </Link>
            <span className={`badge ${STATE_TONES[job.state]}`}>{job.state}</span>
            <Counts counts={job.counts} />
            <span className="soft">
              <TimeAgo iso={job.createdAt} /> by {job.by}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
