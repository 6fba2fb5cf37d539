import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import type { LetterGroups } from '../../../src/admin/contract.ts';
import { deadLettersQuery } from '../api/queries.ts';
import { useMayAct } from '../api/use-service.ts';
import { formatCount, plural } from '../format.ts';
import { JobCard } from '../parts/job-card.tsx';
import { Empty, Notice } from '../parts/notice.tsx';
import { QueryView } from '../parts/query-view.tsx';
import type { DeadLettersSearch } from '../search.ts';
import { GroupCard } from './dead-letters/group-card.tsx';
import { LetterDrawer } from './dead-letters/letter-drawer.tsx';
import { LettersActions } from './dead-letters/letters-actions.tsx';

const route = getRouteApi('/dead-letters');

/** Messages that could not be applied: why, and what to do with them. */
export function DeadLettersPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayAct = useMayAct();
  const groups = useQuery({ ...deadLettersQuery, refetchInterval: 15_000 });
  const change = (next: DeadLettersSearch): void =>
    void navigate({ search: (previous: DeadLettersSearch) => ({ ...previous, ...next }) });
  const showJob = (job: string): void => change({ job, letter: undefined });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Dead letters</h1>
          <p>
            Messages that could not be applied after all their retries. Mend the cause, try them out with a dry run,
            then retry them: they are put back to the queue.
          </p>
        </div>
        {mayAct && groups.data && groups.data.count > 0 && (
          <LettersActions
            what={`all ${plural(groups.data.count, 'dead letter')}`}
            suffix=" all"
            isMain={false}
            count={groups.data.count}
            selection={{ all: true }}
            onStarted={showJob}
          />
        )}
      </div>
      {search.job !== undefined && <JobCard id={search.job} onHide={() => change({ job: undefined })} />}
      <QueryView query={groups}>
        {(data) => (
          <>
            <Unseen groups={data} />
            {data.count === 0 ? (
              <section className="panel">
                <Empty title="No dead letters">
                  Every message could be applied. One that fails for good would wait in {data.queue}, and be shown here
                  with the reason.
                </Empty>
              </section>
            ) : (
              data.groups.map((group) => (
                <GroupCard
                  key={group.id}
                  group={group}
                  isOpen={search.group === group.id}
                  offset={search.offset ?? 0}
                  onToggle={() =>
                    change({ group: search.group === group.id ? undefined : group.id, offset: undefined })
                  }
                  onPage={(offset) => change({ offset })}
                  onLetter={(letter) => change({ letter })}
                  onStarted={showJob}
                />
              ))
            )}
          </>
        )}
      </QueryView>
      {search.letter !== undefined && (
        <LetterDrawer id={search.letter} onClose={() => change({ letter: undefined })} onStarted={showJob} />
      )}
    </>
  );
}

function Unseen({ groups }: { readonly groups: LetterGroups }) {
  if (groups.count <= groups.lookedAt) return null;
  return (
    <Notice
      tone="note"
      title={`${formatCount(groups.count - groups.lookedAt)} of ${formatCount(groups.count)} dead letters are in no group`}
    >
      Only the oldest {formatCount(groups.lookedAt)} in {groups.queue} are looked at. “Retry all” and “Purge all” take
      every one; those that are left are grouped once these have gone.
    </Notice>
  );
}
