import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { FormEvent } from 'react';
import type { ReplicaState } from '../../../src/admin/contract.ts';
import { replicasQuery } from '../api/queries.ts';
import { useMayAct, useService } from '../api/use-service.ts';
import { formatCount, formatDuration, formatShort } from '../format.ts';
import { CommandLine } from '../parts/command-line.tsx';
import { Counts } from '../parts/job-card.tsx';
import { QueryView } from '../parts/query-view.tsx';
import { TimeAgo } from '../parts/time-ago.tsx';
import type { ReplicasSearch } from '../search.ts';
import { ComparePanel } from './replicas/compare-panel.tsx';
import { Comparison } from './replicas/comparison.tsx';
import { RecentComparisons } from './replicas/recent-comparisons.tsx';
import { ReplicaRowDrawer } from './replicas/replica-row-drawer.tsx';

const route = getRouteApi('/replicas');

/** Copies: those of our masters that others keep, compared and repaired; and those that this service keeps itself. */
export function ReplicasPage() {
  const { roles } = useService();
  const mayAct = useMayAct();
  const isMaster = roles.includes('master');
  const isReplica = roles.includes('replica');
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (next: ReplicasSearch): void =>
    void navigate({ search: (previous: ReplicasSearch) => ({ ...previous, ...next }) });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Replicas</h1>
          <p>
            {isReplica && 'The copies that this service keeps, and how far they are. '}
            {isMaster &&
              'Whether the copies that others keep equal their masters here: a comparison lists the rows that differ, a repair sends them once more.'}
            {isReplica && !isMaster && 'Their masters compare and repair them.'}
          </p>
        </div>
      </div>
      {isMaster && mayAct && <ComparePanel onStarted={(job) => change({ job })} />}
      {search.job !== undefined && (
        <Comparison key={search.job} id={search.job} onHide={() => change({ job: undefined })} />
      )}
      {isReplica && <ReplicaCards onRow={(cqrsId, row) => change({ cqrsId, row })} />}
      {isMaster && <RecentComparisons shown={search.job} />}
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

function ReplicaCards({ onRow }: { readonly onRow: (cqrsId: string, key: string) => void }) {
  const replicas = useQuery({ ...replicasQuery, refetchInterval: 15_000 });
  return (
    <QueryView query={replicas}>
      {(data) => (
        <div className="replicas">
          {data.replicas.map((replica) => (
            <ReplicaCard key={replica.cqrsId} replica={replica} onRow={(row) => onRow(replica.cqrsId, row)} />
          ))}
        </div>
      )}
    </QueryView>
  );
}

const PATHS = { rows: 'set-based', hooks: 'hooks of its class', none: 'no table' } as const;

function ReplicaCard({ replica, onRow }: { readonly replica: ReplicaState; readonly onRow: (key: string) => void }) {
  const {
    cqrsId,
    entity,
    path,
    rows,
    lastApplied,
    lastUpdated,
    lagMs,
    applied,
    skipped,
    retried,
    deadLettered,
    lastComparison,
  } = replica;
  return (
    <section className="panel" aria-label={`Replica ${cqrsId}`}>
      <header>
        <div>
          <h2>
            <Link to="/replicas/$cqrsId" params={{ cqrsId }}>
              {cqrsId}
            </Link>
          </h2>
          <p className="soft">
            {entity} · {PATHS[path]}
          </p>
        </div>
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
          <dt>last compared</dt>
          <dd>
            {lastComparison ? (
              <>
                <TimeAgo iso={lastComparison.at} />: {lastComparison.text}
              </>
            ) : (
              <span className="null">not known</span>
            )}
          </dd>
        </dl>
        {path !== 'none' && <LookUp cqrsId={cqrsId} onRow={onRow} />}
        {path !== 'none' && <HowToCompare cqrsId={cqrsId} />}
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

/** The master drives a comparison: it alone knows which rows there should be. */
function HowToCompare({ cqrsId }: { readonly cqrsId: string }) {
  const { queue } = useService();
  if (queue === null) return null;
  return (
    <div className="field">
      <span>Compare and repair it from the page of its master’s service, or by this command there:</span>
      <CommandLine words={['npx', 'cqrs', 'reconcile', '--cqrs-id', cqrsId, '--queue', queue]} />
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
