import { getRouteApi, Link } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { MasterInfo, Matching, RowsQuery } from '../../../src/admin/contract.ts';
import { countQuery, rowsQuery } from '../api/queries.ts';
import { useMayAct, useService } from '../api/use-service.ts';
import { Empty, Notice } from '../parts/notice.tsx';
import { QueryView } from '../parts/query-view.tsx';
import type { RowsSearch } from '../search.ts';
import { ColumnChoice, useVisibleColumns } from './rows/column-choice.tsx';
import { MatchingBar } from './rows/matching-bar.tsx';
import { Pager } from './rows/pager.tsx';
import { RowDrawer } from './rows/row-drawer.tsx';
import { RowsTable } from './rows/rows-table.tsx';
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
  const { cqrsId } = master;
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayAct = useMayAct();
  const [selected, setSelected] = useState<Selected>(NOBODY);
  const [limit, setLimit] = useState(50);
  const columns = useVisibleColumns(master);

  const matching: Matching = {
    ...(search.search && { search: search.search }),
    ...(search.filters && { filters: search.filters }),
  };
  const isNarrowed = search.search !== undefined || search.filters !== undefined;
  const query: RowsQuery = {
    ...matching,
    ...(search.sort && { sort: search.sort }),
    ...(search.after && { after: search.after }),
    ...(search.before && { before: search.before }),
    limit,
  };
  const canLook = master.columns.length > 0;
  const page = useQuery({ ...rowsQuery('masters', cqrsId, query), enabled: canLook });
  const count = useQuery({ ...countQuery(cqrsId, matching), enabled: canLook });
  const change = (next: Partial<RowsSearch>): void =>
    void navigate({ search: (previous: RowsSearch) => ({ ...previous, ...next }) });
  const match = (next: Matching): void => {
    setSelected((now) => ({ ...now, everything: false }));
    change({
      search: next.search || undefined,
      filters: next.filters?.length ? next.filters : undefined,
      after: undefined,
      before: undefined,
    });
  };

  if (!canLook)
    return (
      <Notice tone="warn" title="The rows of this master cannot be shown">
        {master.whyNoRows}
      </Notice>
    );
  return (
    <>
      {!master.produce && (
        <Notice tone="warn" title="Changes of this master are not announced: CQRS_PRODUCE is off">
          A synchronization sends its rows all the same.
        </Notice>
      )}
      <SyncJobs cqrsId={cqrsId} shown={search.job} onHide={() => change({ job: undefined })} />
      <section className="panel" aria-label={`Rows of ${cqrsId}`}>
        <header className="rows-head">
          <MatchingBar columns={master.columns} matching={matching} onChange={match} />
          <ColumnChoice choice={columns} />
        </header>
        {mayAct && (
          <SyncBar
            master={master}
            matching={matching}
            isNarrowed={isNarrowed}
            count={count.data}
            page={page.data?.rows ?? []}
            selected={selected}
            onSelect={setSelected}
            onStarted={(job) => {
              setSelected(NOBODY);
              change({ job });
            }}
          />
        )}
        <QueryView query={page}>
          {({ rows, next, previous }) =>
            rows.length === 0 ? (
              isNarrowed ? (
                <Empty title="No row matches">Take a condition away, or search for something else.</Empty>
              ) : (
                <Empty title={`There are no rows of ${cqrsId} yet`}>
                  As soon as the service writes some, they are shown here and announced to its replicas.
                </Empty>
              )
            ) : (
              <>
                <RowsTable
                  caption={`Rows of ${cqrsId}`}
                  columns={master.columns}
                  visible={columns.visible}
                  rows={rows}
                  sort={search.sort}
                  onSort={(sort) => change({ sort, after: undefined, before: undefined })}
                  selection={
                    mayAct
                      ? {
                          keys: selected.keys,
                          everything: selected.everything,
                          onChange: (keys) => setSelected({ keys, everything: false }),
                        }
                      : null
                  }
                  onOpen={(row) => change({ row })}
                />
                <Pager
                  shown={rows.length}
                  count={count.data}
                  limit={limit}
                  onLimit={(value) => {
                    setLimit(value);
                    change({ after: undefined, before: undefined });
                  }}
                  onPrevious={previous === null ? null : () => change({ before: previous, after: undefined })}
                  onNext={next === null ? null : () => change({ after: next, before: undefined })}
                />
              </>
            )
          }
        </QueryView>
      </section>
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
