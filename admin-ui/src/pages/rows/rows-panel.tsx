import { useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import type { Column, Matching, Row, RowCount, RowsQuery } from '../../../../src/admin/contract.ts';
import { countQuery, rowsQuery } from '../../api/queries.ts';
import { Empty, Notice } from '../../parts/notice.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import type { ListingSearch } from '../../search.ts';
import { ColumnChoice, useVisibleColumns } from './column-choice.tsx';
import { MatchingBar } from './matching-bar.tsx';
import { Pager } from './pager.tsx';
import { RowsTable, type Selection } from './rows-table.tsx';

/** What is shown at this moment, for what stands above the table. */
export interface Shown {
  readonly matching: Matching;
  readonly isNarrowed: boolean;
  readonly rows: readonly Row[];
  readonly count: RowCount | undefined;
}

interface Entity {
  readonly cqrsId: string;
  readonly columns: readonly Column[];
  readonly whyNoRows: string | null;
}

/** Rows of a master or a replica: searched, filtered, sorted, page by page; all of that is in the address. */
export function RowsPanel({
  side,
  entity,
  search,
  onChange,
  onMatch,
  selection,
  renderBar,
  whenEmpty,
  whenUnnamed,
}: {
  readonly side: 'masters' | 'replicas';
  readonly entity: Entity;
  readonly search: ListingSearch;
  readonly onChange: (next: Partial<ListingSearch>) => void;
  /** Other rows are going to be shown. */
  readonly onMatch?: () => void;
  readonly selection: Selection | null;
  readonly renderBar?: (shown: Shown) => ReactNode;
  readonly whenEmpty: string;
  /** What can be done with rows that cannot be shown. */
  readonly whenUnnamed?: ReactNode;
}) {
  const { cqrsId } = entity;
  const [limit, setLimit] = useState(50);
  const choice = useVisibleColumns(entity);
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
  const canLook = entity.columns.length > 0;
  const page = useQuery({ ...rowsQuery(side, cqrsId, query), enabled: canLook });
  const count = useQuery({ ...countQuery(side, cqrsId, matching), enabled: canLook });
  const fromStart = { after: undefined, before: undefined };

  if (!canLook) {
    return (
      <section className="panel" aria-label={`Rows of ${cqrsId}`}>
        <div className="body unnamed">
          <Notice tone="note" title="These rows cannot be shown">
            {entity.whyNoRows}
          </Notice>
          {whenUnnamed}
        </div>
      </section>
    );
  }
  return (
    <section className="panel" aria-label={`Rows of ${cqrsId}`}>
      <header className="rows-head">
        <MatchingBar
          columns={entity.columns}
          matching={matching}
          onChange={(next) => {
            onMatch?.();
            onChange({
              ...fromStart,
              search: next.search || undefined,
              filters: next.filters?.length ? next.filters : undefined,
            });
          }}
        />
        <ColumnChoice choice={choice} />
      </header>
      {renderBar?.({ matching, isNarrowed, rows: page.data?.rows ?? [], count: count.data })}
      <QueryView query={page}>
        {({ rows, next, previous }) =>
          rows.length === 0 ? (
            isNarrowed ? (
              <Empty title="No row matches">Take a condition away, or search for something else.</Empty>
            ) : (
              <Empty title={`There are no rows of ${cqrsId} yet`}>{whenEmpty}</Empty>
            )
          ) : (
            <>
              <RowsTable
                caption={`Rows of ${cqrsId}`}
                columns={entity.columns}
                visible={choice.visible}
                rows={rows}
                sort={search.sort}
                onSort={(sort) => onChange({ ...fromStart, sort })}
                selection={selection}
                onOpen={(row) => onChange({ row })}
              />
              <Pager
                shown={rows.length}
                count={count.data}
                limit={limit}
                onLimit={(value) => {
                  setLimit(value);
                  onChange(fromStart);
                }}
                onPrevious={previous === null ? null : () => onChange({ before: previous, after: undefined })}
                onNext={next === null ? null : () => onChange({ after: next, before: undefined })}
              />
            </>
          )
        }
      </QueryView>
    </section>
  );
}
