import { useState } from 'react';

/** Things that are chosen by their names. */
export function useSelection(): {
  readonly selected: ReadonlySet<string>;
  readonly toggle: (name: string) => void;
  /** These, and no others. */
  readonly select: (names: readonly string[]) => void;
} {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  return {
    selected,
    select: (names) => setSelected(new Set(names)),
    toggle: (name) => {
      const next = new Set(selected);
      if (!next.delete(name)) next.add(name);
      setSelected(next);
    },
  };
}
