import {
  columnVisibilityFeature,
  createColumnHelper,
  rowSelectionFeature,
  rowSortingFeature,
  tableFeatures,
  useTable,
} from '@tanstack/react-table';
import { useMemo } from 'react';
import type { Column, Row, Sort } from '../../../../src/admin/contract.ts';
import { keyLabel } from '../../format.ts';
import { Icon } from '../../parts/icons.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';

const features = tableFeatures({ rowSelectionFeature, rowSortingFeature, columnVisibilityFeature });
const helper = createColumnHelper<typeof features, Row>();

export interface Selection {
  readonly keys: Readonly<Record<string, true>>;
  /** Everything that matches: each row counts as chosen. */
  readonly everything: boolean;
  readonly onChange: (keys: Record<string, true>) => void;
}

/** Rows as they are in the database. Sorting and paging are the server's; a range is chosen with Shift. */
export function RowsTable({
  caption,
  columns,
  visible,
  rows,
  sort,
  onSort,
  selection,
  onOpen,
}: {
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly visible: ReadonlySet<string>;
  readonly rows: Row[];
  readonly sort: Sort | undefined;
  readonly onSort: (sort: Sort | undefined) => void;
  readonly selection: Selection | null;
  readonly onOpen: (key: string) => void;
}) {
  const table = useTable({
    features,
    data: rows,
    columns: useMemo(() => columnsOf(columns), [columns]),
    getRowId: (row) => row.key,
    manualSorting: true,
    enableRowSelection: selection !== null,
    onRowSelectionChange: (update) => {
      const next = typeof update === 'function' ? update({ ...selection?.keys }) : update;
      selection?.onChange(next);
    },
    state: {
      rowSelection: selection?.everything
        ? Object.fromEntries(rows.map(({ key }) => [key, true] as const))
        : { ...selection?.keys },
      sorting: sort ? [{ id: sort.column, desc: sort.direction === 'desc' }] : [],
      columnVisibility: Object.fromEntries(columns.map(({ name }) => [name, visible.has(name)])),
    },
  });
  const byName = new Map(columns.map((column) => [column.name, column]));

  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={caption}>
      <table className="table">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {selection && (
              <th className="check" scope="col">
                <input
                  type="checkbox"
                  aria-label="Select this page"
                  checked={table.getIsAllRowsSelected()}
                  ref={(box) => {
                    if (box) box.indeterminate = table.getIsSomeRowsSelected() && !table.getIsAllRowsSelected();
                  }}
                  onChange={table.getToggleAllRowsSelectedHandler()}
                />
              </th>
            )}
            {table.getHeaderGroups()[0]!.headers.map(({ id }) => (
              <HeaderCell key={id} name={id} column={byName.get(id)} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {table.getRowModel().rows.map((row) => (
            <tr key={row.id} aria-selected={selection ? row.getIsSelected() : undefined}>
              {selection && (
                <td className="check">
                  <input
                    type="checkbox"
                    aria-label={`Select row ${keyLabel(row.id)}`}
                    checked={row.getIsSelected()}
                    onChange={row.getToggleSelectedHandler()}
                  />
                </td>
              )}
              {row.getVisibleCells().map((cell, index) => (
                <td key={cell.id} className={byName.get(cell.column.id)?.type === 'number' ? 'right' : undefined}>
                  {index === 0 ? (
                    <button type="button" className="link" title="Look at this row" onClick={() => onOpen(row.id)}>
                      <table.FlexRender cell={cell} />
                    </button>
                  ) : (
                    <table.FlexRender cell={cell} />
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function columnsOf(columns: readonly Column[]) {
  const keysFirst = columns.toSorted((one, other) => Number(other.key) - Number(one.key));
  return helper.columns([
    ...keysFirst.map((column) =>
      helper.accessor((row) => row.values[column.name] ?? null, {
        id: column.name,
        cell: ({ getValue }) => <Value text={getValue() as string | null} />,
      }),
    ),
    helper.accessor('revision', { id: 'revision ', cell: ({ getValue }) => getValue() }),
    helper.accessor('updated', { id: 'last change ', cell: ({ getValue }) => <TimeAgo iso={getValue()} /> }),
  ]);
}

/** A value as PostgreSQL prints it. */
export function Value({ text }: { readonly text: string | null }) {
  if (text === null) return <span className="null">null</span>;
  return text === '' ? (
    <span className="null">empty</span>
  ) : (
    <span title={text.length > 40 ? text : undefined}>{text}</span>
  );
}

function HeaderCell({
  name,
  column,
  sort,
  onSort,
}: {
  readonly name: string;
  readonly column: Column | undefined;
  readonly sort: Sort | undefined;
  readonly onSort: (sort: Sort | undefined) => void;
}) {
  const isNumber = column?.type === 'number';
  if (!column?.sortable) {
    return (
      <th scope="col" className={isNumber ? 'right' : undefined}>
        {name.trim()}
      </th>
    );
  }
  const direction = sort?.column === name ? sort.direction : null;
  // up, down, and back to the order of the keys
  const next: Sort | undefined =
    direction === null
      ? { column: name, direction: 'asc' }
      : direction === 'asc'
        ? { column: name, direction: 'desc' }
        : undefined;
  return (
    <th
      scope="col"
      className={isNumber ? 'right' : undefined}
      aria-sort={direction === null ? 'none' : direction === 'asc' ? 'ascending' : 'descending'}
    >
      <button
        type="button"
        className="sort"
        title={column.indexed ? undefined : 'There is no index: sorting by it reads the whole table'}
        onClick={() => onSort(next)}
      >
        {name}
        {direction && <Icon name={direction === 'asc' ? 'up' : 'down'} size={13} />}
      </button>
    </th>
  );
}
