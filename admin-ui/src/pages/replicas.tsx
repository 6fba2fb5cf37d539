import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import type { ReplicaState } from '../../../src/admin/contract.ts';
import { replicasQuery } from '../api/queries.ts';
import { useAction } from '../api/use-action.ts';
import { useMayAct } from '../api/use-service.ts';
import { formatCount, formatDuration, formatShort } from '../format.ts';
import { ConfirmDialog } from '../parts/confirm-dialog.tsx';
import { Counts } from '../parts/job-card.tsx';
import { Empty } from '../parts/notice.tsx';
import { QueryView } from '../parts/query-view.tsx';
import { TimeAgo } from '../parts/time-ago.tsx';
import type { ReplicasSearch } from '../search.ts';
import { Comparison } from './replicas/comparison.tsx';
import { RecentComparisons } from './replicas/recent-comparisons.tsx';
import { ReplicaRowDrawer } from './replicas/replica-row-drawer.tsx';

const route = getRouteApi('/replicas');

/** The copies that this service keeps: how far they are, and whether they equal their masters. */
export function ReplicasPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const replicas = useQuery({ ...replicasQuery, refetchInterval: 15_000 });
  const change = (next: ReplicasSearch): void =>
    void navigate({ search: (previous: ReplicasSearch) => ({ ...previous, ...next }) });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Replicas</h1>
          <p>
            The copies that this service keeps. A comparison reads both sides and lists the rows that differ; a repair
            asks the master to send them once more.
          </p>
        </div>
      </div>
      {search.job !== undefined && (
        <Comparison
          key={search.job}
          id={search.job}
          onHide={() => change({ job: undefined })}
          onRow={(cqrsId, row) => change({ cqrsId, row })}
        />
      )}
      <QueryView query={replicas}>
        {(data) =>
          data.replicas.length === 0 ? (
            <section className="panel">
              <Empty title="This service has no replicas">Declare one with CQRS_ID, and it is shown here.</Empty>
            </section>
          ) : (
            <div className="replicas">
              {data.replicas.map((replica) => (
                <ReplicaCard
                  key={replica.cqrsId}
                  replica={replica}
                  onStarted={(job) => change({ job })}
                  onRow={(row) => change({ cqrsId: replica.cqrsId, row })}
                />
              ))}
            </div>
          )
        }
      </QueryView>
      <RecentComparisons shown={search.job} />
      {search.cqrsId !== undefined && search.row !== undefined && (
        <ReplicaRowDrawer
          cqrsId={search.cqrsId}
          rowKey={search.row}
          onClose={() => change({ cqrsId: undefined, row: undefined })}
        />
      )}
    </>
  );
}

const PATHS = { rows: 'set-based', hooks: 'hooks of its class', none: 'no table' } as const;

function ReplicaCard({
  replica,
  onStarted,
  onRow,
}: {
  readonly replica: ReplicaState;
  readonly onStarted: (job: string) => void;
  readonly onRow: (key: string) => void;
}) {
  const { cqrsId, entity, path, rows, lastApplied, lastUpdated, lagMs, applied, skipped, retried, deadLettered } =
    replica;
  const mayAct = useMayAct();
  return (
    <section className="panel" aria-label={`Replica ${cqrsId}`}>
      <header>
        <div>
          <h2>{cqrsId}</h2>
          <p className="soft">
            {entity} · {PATHS[path]}
          </p>
        </div>
        {mayAct && path !== 'none' && <CompareButtons cqrsId={cqrsId} onStarted={onStarted} />}
      </header>
      <div className="body replica-body">
        <dl className="facts">
          <dt>rows</dt>
          <dd className="number">
            {rows.count === null ? 'too many to count' : `${rows.exact ? '' : 'about '}${formatShort(rows.count)}`}
          </dd>
          <dt>last applied</dt>
          <dd>
            <TimeAgo iso={lastApplied} />
          </dd>
          <dt>newest state</dt>
          <dd>
            {lastUpdated === null ? (
              <span className="null">none</span>
            ) : (
              <>
                of <TimeAgo iso={lastUpdated} />
              </>
            )}
          </dd>
          <dt>lag</dt>
          <dd className="number">{lagMs === null ? <span className="null">not known</span> : formatDuration(lagMs)}</dd>
          <dt>applied</dt>
          <dd className="number">{formatCount(applied)}</dd>
          <Reasons name="skipped" counts={skipped} />
          <Reasons name="retried" counts={retried} />
          <Reasons name="dead-lettered" counts={deadLettered} isTrouble />
        </dl>
        {path !== 'none' && <LookUp cqrsId={cqrsId} onRow={onRow} />}
      </div>
    </section>
  );
}

function Reasons({
  name,
  counts,
  isTrouble = false,
}: {
  readonly name: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly isTrouble?: boolean;
}) {
  const isNone = Object.values(counts).every((count) => count === 0);
  return (
    <>
      <dt>{isTrouble && !isNone ? <Link to="/dead-letters">{name}</Link> : name}</dt>
      <dd>{isNone ? <span className="soft">none</span> : <Counts counts={counts} isTrouble={isTrouble} />}</dd>
    </>
  );
}

function CompareButtons({ cqrsId, onStarted }: { readonly cqrsId: string; readonly onStarted: (job: string) => void }) {
  const [isAsking, setAsking] = useState(false);
  const reconcile = useAction('reconcile', ({ id }) => {
    setAsking(false);
    onStarted(id);
  });
  const start = (repair: boolean): void => reconcile.mutate({ path: { cqrsId }, body: { repair } });
  return (
    <div className="actions">
      <button
        type="button"
        className="button small primary"
        disabled={reconcile.isPending}
        onClick={() => start(false)}
      >
        Compare
      </button>
      <button type="button" className="button small" disabled={reconcile.isPending} onClick={() => setAsking(true)}>
        Compare and repair
      </button>
      <ConfirmDialog
        open={isAsking}
        title={`Compare ${cqrsId} and repair what differs?`}
        confirm="Compare and repair"
        isBusy={reconcile.isPending}
        onConfirm={() => start(true)}
        onClose={() => setAsking(false)}
      >
        Every row that is missing, stale, damaged or superfluous here is brought back to the state of its master.
      </ConfirmDialog>
    </div>
  );
}

/** Why is this row not there? Asked by its key. */
function LookUp({ cqrsId, onRow }: { readonly cqrsId: string; readonly onRow: (key: string) => void }) {
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget).get('key');
    const key = typeof typed === 'string' ? typed.trim() : '';
    if (key !== '') onRow(key);
  };
  return (
    <form className="look-up" onSubmit={submit}>
      <label className="field">
        <span>Why is a row not there? Its key:</span>
        <span className="actions">
          <input className="input" name="key" required autoComplete="off" aria-label={`Key of a row of ${cqrsId}`} />
          <button type="submit" className="button">
            Look
          </button>
        </span>
      </label>
    </form>
  );
}
