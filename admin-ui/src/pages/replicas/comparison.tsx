import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Difference, DifferencesPage } from '../../../../src/admin/contract.ts';
import { differencesQuery, jobQuery } from '../../api/queries.ts';
import { useAction } from '../../api/use-action.ts';
import { useMayAct } from '../../api/use-service.ts';
import { formatCount, keyLabel, plural } from '../../format.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { JobCard } from '../../parts/job-card.tsx';
import { Notice } from '../../parts/notice.tsx';
import { PageButtons } from '../../parts/page-buttons.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { useSelection } from '../../parts/use-selection.ts';

const KINDS = {
  missing: ['bad', 'missing', 'the master has it, the replica does not'],
  stale: ['warn', 'stale', 'the replica has an older state'],
  damaged: ['bad', 'damaged', 'the same revision, but other content'],
  extra: ['warn', 'extra', 'the replica has it, the master does not'],
  ahead: ['', 'ahead', 'the replica has a newer state than the master'],
} as const satisfies Record<Difference['kind'], readonly [string, string, string]>;

/** A comparison: how far it is, then what differs, and the repair of some or all of it. */
export function Comparison({ id, onHide }: { readonly id: string; readonly onHide: () => void }) {
  const job = useQuery(jobQuery(id));
  const [repairId, setRepairId] = useState<string | null>(null);
  const isDone = job.data?.state === 'done' && job.data.kind === 'reconcile';
  return (
    <div className="job-cards">
      <JobCard id={id} onHide={onHide} />
      {repairId !== null && <JobCard id={repairId} onHide={() => setRepairId(null)} />}
      {isDone && <Differences id={id} cqrsId={job.data?.cqrsId ?? null} onRepair={setRepairId} />}
    </div>
  );
}

function Differences({
  id,
  cqrsId,
  onRepair,
}: {
  readonly id: string;
  readonly cqrsId: string | null;
  readonly onRepair: (job: string) => void;
}) {
  const [pages, setPages] = useState<readonly (string | undefined)[]>([undefined]);
  const query = useQuery(differencesQuery(id, pages.at(-1)));
  return (
    <section className="panel" aria-label="Differences">
      <QueryView query={query}>
        {(page) =>
          page.differences.length + page.leftOut === 0 ? (
            <div className="body">
              <Notice tone="good" title="Master and replica are equal">
                Nothing has to be repaired.
              </Notice>
            </div>
          ) : page.differences.length === 0 ? (
            <div className="body">
              <Notice
                tone="warn"
                title={page.leftOut === 1 ? 'One row differs' : `${formatCount(page.leftOut)} rows differ`}
              >
                Their key is hidden, so they are counted and not listed. “Compare and repair” mends them all.
              </Notice>
            </div>
          ) : (
            <DifferencesView
              id={id}
              cqrsId={cqrsId}
              page={page}
              onRepair={onRepair}
              onPrevious={pages.length > 1 ? () => setPages(pages.slice(0, -1)) : null}
              onNext={page.next === null ? null : () => setPages([...pages, page.next!])}
            />
          )
        }
      </QueryView>
    </section>
  );
}

function DifferencesView({
  id,
  cqrsId,
  page: { differences, leftOut },
  onRepair,
  onPrevious,
  onNext,
}: {
  readonly id: string;
  readonly cqrsId: string | null;
  readonly page: DifferencesPage;
  readonly onRepair: (job: string) => void;
  readonly onPrevious: (() => void) | null;
  readonly onNext: (() => void) | null;
}) {
  const mayAct = useMayAct();
  const { selected, toggle, select } = useSelection();
  const [isAsking, setAsking] = useState(false);
  const repair = useAction('repair', (job) => {
    setAsking(false);
    select([]);
    onRepair(job.id);
  });
  const open = differences.filter(({ repaired }) => !repaired);
  return (
    <>
      <header>
        <h2>Differences</h2>
        {mayAct && open.length > 0 && (
          <div className="actions">
            <span className="soft number">{plural(selected.size, 'row')} selected</span>
            <button
              type="button"
              className="button small primary"
              disabled={selected.size === 0 || repair.isPending}
              onClick={() => repair.mutate({ path: { id }, body: { selection: { keys: [...selected] } } })}
            >
              Repair selected
            </button>
            <button type="button" className="button small" disabled={repair.isPending} onClick={() => setAsking(true)}>
              Repair all
            </button>
          </div>
        )}
      </header>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Rows that differ">
        <table className="table">
          <thead>
            <tr>
              {mayAct && (
                <th scope="col" className="check">
                  <input
                    type="checkbox"
                    aria-label="Select this page"
                    disabled={open.length === 0}
                    checked={open.length > 0 && open.every(({ key }) => selected.has(key))}
                    onChange={({ target }) => select(target.checked ? open.map(({ key }) => key) : [])}
                  />
                </th>
              )}
              <th scope="col">Row</th>
              <th scope="col">Difference</th>
              <th scope="col">Fields</th>
              <th scope="col" className="right">
                Master’s revision
              </th>
              <th scope="col" className="right">
                Replica’s
              </th>
              <th scope="col">Repaired</th>
            </tr>
          </thead>
          <tbody>
            {differences.map(({ key, kind, fields, masterRevision, replicaRevision, otherIncarnation, repaired }) => (
              <tr key={key} aria-selected={mayAct ? selected.has(key) : undefined}>
                {mayAct && (
                  <td className="check">
                    <input
                      type="checkbox"
                      aria-label={`Select row ${keyLabel(key)}`}
                      disabled={repaired}
                      checked={selected.has(key)}
                      onChange={() => toggle(key)}
                    />
                  </td>
                )}
                <td>
                  {cqrsId === null ? (
                    keyLabel(key)
                  ) : (
                    <Link to="/rows/$cqrsId" params={{ cqrsId }} search={{ row: key }}>
                      {keyLabel(key)}
                    </Link>
                  )}
                </td>
                <td>
                  <span className={`badge ${KINDS[kind][0]}`}>{KINDS[kind][1]}</span>{' '}
                  <span className="soft">{KINDS[kind][2]}</span>
                </td>
                <td>
                  <DifferentFields fields={fields} />
                </td>
                <td className="right">{masterRevision ?? '–'}</td>
                <td className="right">
                  {replicaRevision ?? '–'}
                  {otherIncarnation && <span className="soft"> of another incarnation</span>}
                </td>
                <td>{repaired ? <span className="badge good">repaired</span> : <span className="soft">no</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {(onPrevious || onNext || leftOut > 0) && (
        <footer className="pager">
          <span className="soft">
            {leftOut > 0 && `${formatCount(leftOut)} more are not kept: repair all of them at once.`}
          </span>
          <div className="actions">
            <PageButtons onPrevious={onPrevious} onNext={onNext} />
          </div>
        </footer>
      )}
      <ConfirmDialog
        open={isAsking}
        title="Repair every difference?"
        confirm="Repair all"
        isBusy={repair.isPending}
        onConfirm={() => repair.mutate({ path: { id }, body: { selection: { all: true } } })}
        onClose={() => setAsking(false)}
      >
        The master sends each of these rows once more; rows that it does not have are removed there.
      </ConfirmDialog>
    </>
  );
}

function DifferentFields({ fields }: { readonly fields: Difference['fields'] }) {
  if (fields === null) return <span className="null">–</span>;
  return fields.length > 0 ? <code>{fields.join(', ')}</code> : <span className="soft">none</span>;
}
