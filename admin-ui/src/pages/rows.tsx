import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { MasterInfo } from '../../../src/admin/contract.ts';
import { useMayAct, useService } from '../api/use-service.ts';
import { CommandLine } from '../parts/command-line.tsx';
import { Empty, Notice } from '../parts/notice.tsx';
import type { RowsSearch } from '../search.ts';
import { RowDrawer } from './rows/row-drawer.tsx';
import { RowsPanel } from './rows/rows-panel.tsx';
import { SyncBar, type Selected } from './rows/sync-bar.tsx';
import { SyncJobs } from './rows/sync-jobs.tsx';

const route = getRouteApi('/rows/$cqrsId');

/** The rows of a master: look, choose, synchronize. */
export function RowsPage() {
  const { cqrsId } = route.useParams();
  const { masters } = useService();
  const master = masters.find((one) => one.cqrsId === cqrsId);
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Rows</h1>
          <p>
            The rows that this service owns. Synchronizing sends their present state once more; nothing is changed here.
          </p>
        </div>
      </div>
      <nav className="tabs" aria-label="Masters">
        {masters.map((one) => (
          <Link
            key={one.cqrsId}
            to="/rows/$cqrsId"
            params={{ cqrsId: one.cqrsId }}
            activeOptions={{ includeSearch: false }}
            activeProps={{ className: 'active' }}
          >
            {one.cqrsId}
          </Link>
        ))}
      </nav>
      {master ? <RowsOf key={cqrsId} master={master} /> : <Empty title={`This service has no master ${cqrsId}`} />}
    </>
  );
}

const NOBODY: Selected = { keys: {}, everything: false };

function RowsOf({ master }: { readonly master: MasterInfo }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayAct = useMayAct();
  const [selected, setSelected] = useState<Selected>(NOBODY);
  const change = (next: Partial<RowsSearch>): void =>
    void navigate({ search: (previous: RowsSearch) => ({ ...previous, ...next }) });
  return (
    <>
      {!master.produce && (
        <Notice tone="warn" title="Changes of this master are not announced: CQRS_PRODUCE is off">
          A synchronization sends its rows all the same.
        </Notice>
      )}
      <SyncJobs cqrsId={master.cqrsId} shown={search.job} onHide={() => change({ job: undefined })} />
      <RowsPanel
        side="masters"
        entity={master}
        search={search}
        onChange={change}
        // "everything that matches" is no longer what was meant
        onMatch={() => setSelected((now) => ({ ...now, everything: false }))}
        selection={mayAct ? { ...selected, onChange: (keys) => setSelected({ keys, everything: false }) } : null}
        renderBar={
          mayAct
            ? (shown) => (
                <SyncBar
                  master={master}
                  shown={shown}
                  selected={selected}
                  onSelect={setSelected}
                  onStarted={(job) => {
                    setSelected(NOBODY);
                    change({ job });
                  }}
                />
              )
            : undefined
        }
        whenUnnamed={
          <>
            <p>
              All of them are sent by a command, and compared with a replica (in numbers, without naming any) and
              repaired under <Link to="/replicas">Replicas</Link>.
            </p>
            <CommandLine words={['npx', 'cqrs', 'sync', '--cqrs-id', master.cqrsId]} />
          </>
        }
        whenEmpty="As soon as the service writes some, they are shown here and announced to its replicas."
      />
      {search.row !== undefined && (
        <RowDrawer
          master={master}
          rowKey={search.row}
          onClose={() => change({ row: undefined })}
          onStarted={(job) => change({ row: undefined, job })}
        />
      )}
    </>
  );
}
