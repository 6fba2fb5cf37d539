import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { JobDetail } from '../../../src/admin/contract.ts';
import { useLiveState } from '../api/live.ts';
import { jobQuery } from '../api/queries.ts';
import { useAction } from '../api/use-action.ts';
import { useMayAct } from '../api/use-service.ts';
import { formatCount, formatDuration, formatRate, keyLabel, plural } from '../format.ts';
import { Icon } from './icons.tsx';
import { countName, hasTroubles, isUnwanted, STATE_TONES } from './job-words.ts';
import { Notice } from './notice.tsx';
import { ProgressBar } from './progress-bar.tsx';
import { QueryView } from './query-view.tsx';
import { TimeAgo } from './time-ago.tsx';

/** A job: how far it is, what it came to, and what did not go and why. */
export function JobCard({ id, onHide }: { readonly id: string; readonly onHide?: () => void }) {
  const isLive = useLiveState() === 'open';
  const query = useQuery({
    ...jobQuery(id),
    // the stream tells; without it, asking does
    refetchInterval: ({ state }) => (state.data?.endedAt === null ? (isLive ? 5_000 : 1_500) : false),
  });
  return (
    <article className="panel job" aria-label="Job">
      <QueryView query={query}>{(job) => <JobView job={job} onHide={onHide} />}</QueryView>
    </article>
  );
}

function JobView({ job, onHide }: { readonly job: JobDetail; readonly onHide: (() => void) | undefined }) {
  const mayAct = useMayAct();
  const cancel = useAction('cancelJob');
  const isRunning = job.endedAt === null;
  // what is done is whole, also where nothing had to be done
  const done = job.state === 'done' ? Math.max(job.done, job.total ?? 0) : job.done;
  return (
    <>
      <header>
        <div className="job-title">
          <h2>{job.title}</h2>
          <span className={`badge ${job.state === 'done' && hasTroubles(job) ? 'warn' : STATE_TONES[job.state]}`}>
            {job.cancelRequested && isRunning ? 'cancelling' : job.state}
          </span>
        </div>
        <div className="actions">
          <span className="soft">
            {job.by} · <TimeAgo iso={job.createdAt} />
          </span>
          {isRunning && mayAct && (
            <button
              type="button"
              className="button small"
              disabled={job.cancelRequested || cancel.isPending}
              onClick={() => cancel.mutate({ path: { id: job.id }, body: {} })}
            >
              Cancel
            </button>
          )}
          {onHide && !isRunning && (
            <button type="button" className="button quiet small" aria-label="Hide this job" onClick={onHide}>
              <Icon name="close" size={16} />
            </button>
          )}
        </div>
      </header>
      <div className="body job-body">
        <ProgressBar
          label={job.title}
          done={done}
          total={job.total}
          tone={job.state === 'done' ? 'good' : job.state === 'failed' ? 'bad' : undefined}
          words={
            <>
              <span>
                {formatCount(done)}
                {job.total !== null && ` of ${formatCount(job.total)}`}
              </span>
              {job.ratePerSecond !== null && <span>{formatRate(job.ratePerSecond)}</span>}
              {isRunning && job.etaSeconds !== null && <span>about {formatDuration(job.etaSeconds * 1_000)} left</span>}
              {!isRunning && job.startedAt && (
                <span>took {formatDuration(Date.parse(job.endedAt!) - Date.parse(job.startedAt))}</span>
              )}
            </>
          }
        />
        <Counts counts={job.counts} />
        {job.state === 'interrupted' && (
          <Notice tone="warn" title="The process that ran this has gone">
            What it had done stays done. Start it again for the rest: sending a row twice does no harm.
          </Notice>
        )}
        {job.error && (
          <Notice tone="bad" title="It failed">
            {job.error}
          </Notice>
        )}
        <Items job={job} />
      </div>
    </>
  );
}

export function Counts({
  counts,
  isTrouble = false,
}: {
  readonly counts: Readonly<Record<string, number>>;
  /** Whether any of them is one too many. */
  readonly isTrouble?: boolean;
}) {
  const entries = Object.entries(counts).filter(([, count]) => count > 0);
  if (entries.length === 0) return null;
  return (
    <ul className="counts">
      {entries.map(([name, count]) => (
        <li key={name} className={`badge ${isTrouble || isUnwanted(name, count) ? 'bad' : ''}`}>
          {formatCount(count)} {countName(name)}
        </li>
      ))}
    </ul>
  );
}

const AT_FIRST = 10;

/** What became of single rows or letters. */
function Items({ job }: { readonly job: JobDetail }) {
  const [isOpen, setOpen] = useState(false);
  if (job.items.length === 0) return null;
  const shown = isOpen ? job.items : job.items.slice(0, AT_FIRST);
  const isAboutLetters = job.kind.startsWith('dead-letters');
  return (
    <div>
      <h3>{isAboutLetters ? 'What became of them' : 'Rows that did not go, and why'}</h3>
      <ul className="items">
        {shown.map(({ key, ok, reason }) => (
          <li key={`${key} ${reason}`} data-state={ok ? 'good' : 'bad'}>
            <Icon name={ok ? 'good' : 'bad'} size={16} />
            <code>{keyLabel(key)}</code>
            <span>{reason}</span>
          </li>
        ))}
      </ul>
      {job.items.length > AT_FIRST && (
        <button type="button" className="button quiet small" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'Show fewer' : `Show all ${formatCount(job.items.length)}`}
        </button>
      )}
      {job.itemsLeftOut > 0 && <p className="soft">{plural(job.itemsLeftOut, 'more')} not kept.</p>}
    </div>
  );
}
