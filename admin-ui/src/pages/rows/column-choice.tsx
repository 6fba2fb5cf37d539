import { Popover } from '@base-ui/react/popover';
import { useState } from 'react';
import type { Column } from '../../../../src/admin/contract.ts';
import { Icon } from '../../parts/icons.tsx';

const AT_FIRST = 8;
/** The columns that replication has added; revision and last change stand beside the others anyway. */
const OURS = new Set(['cqrsRevision', 'cqrsUpdated', 'cqrsIncarnation']);

export interface Choice {
  readonly columns: readonly Column[];
  readonly visible: ReadonlySet<string>;
  toggle(name: string): void;
}

/** Which columns are shown; at first the key and some more. The browser keeps it, entity by entity. */
export function useVisibleColumns({ cqrsId, columns }: { cqrsId: string; columns: readonly Column[] }): Choice {
  const item = `cqrs-admin-columns:${cqrsId}`;
  const [visible, setVisible] = useState(() => {
    const kept = localStorage.getItem(item)?.split('\n');
    return new Set(kept ?? atFirst(columns));
  });
  return {
    columns,
    visible,
    toggle(name) {
      const next = new Set(visible);
      if (!next.delete(name)) next.add(name);
      localStorage.setItem(item, [...next].join('\n'));
      setVisible(next);
    },
  };
}

function atFirst(columns: readonly Column[]): string[] {
  const wanted = columns.filter(({ name, type }) => type !== 'json' && !OURS.has(name));
  const keysFirst = wanted.toSorted((one, other) => Number(other.key) - Number(one.key));
  return keysFirst.slice(0, AT_FIRST).map(({ name }) => name);
}

export function ColumnChoice({ choice }: { readonly choice: Choice }) {
  return (
    <Popover.Root>
      <Popover.Trigger className="button">
        <Icon name="columns" size={16} />
        Columns
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} align="end" className="popover-place">
          <Popover.Popup className="popover">
            <Popover.Title render={<h3 />}>Columns</Popover.Title>
            <ul className="choices">
              {choice.columns.map(({ name, databaseType, travels }) => (
                <li key={name}>
                  <label>
                    <input type="checkbox" checked={choice.visible.has(name)} onChange={() => choice.toggle(name)} />
                    <span>{name}</span>
                    <span className="soft">
                      {databaseType}
                      {!travels && ' · stays here'}
                    </span>
                  </label>
                </li>
              ))}
            </ul>
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
