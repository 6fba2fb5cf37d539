import { useQuery } from '@tanstack/react-query';
import { jobsQuery } from '../../api/queries.ts';
import { JobCard } from '../../parts/job-card.tsx';

const FEW = 3;

/** The job in the address, and others of this entity that are running: a reload or another tab finds them again. */
export function SyncJobs({
  cqrsId,
  shown,
  onHide,
}: {
  readonly cqrsId: string;
  readonly shown: string | undefined;
  readonly onHide: () => void;
}) {
  const jobs = useQuery(jobsQuery({ kind: 'sync', cqrsId, limit: 20 }));
  const others = (jobs.data?.jobs ?? []).filter(({ id, endedAt }) => endedAt === null && id !== shown).slice(0, FEW);
  if (shown === undefined && others.length === 0) return null;
  return (
    <section className="job-cards" aria-label="Synchronizations">
      {shown !== undefined && <JobCard id={shown} onHide={onHide} />}
      {others.map(({ id }) => (
        <JobCard key={id} id={id} />
      ))}
    </section>
  );
}
