/** A foreign key between tables of replicas. */
export interface ForeignKey {
  /** The name of the constraint, and its schema. */
  readonly name: string;
  readonly schema: string;
  readonly table: string;
  readonly target: string;
  readonly columns: readonly ForeignKeyColumn[];
  /** A partly null key is refused, instead of not being checked (`MATCH FULL`). */
  readonly matchFull: boolean;
}

interface ForeignKeyColumn {
  readonly field: string;
  readonly targetField: string;
  readonly nullable: boolean;
}

/**
 * The foreign keys that lie on a cycle of tables, a table that refers to itself included: rows may refer to each other by
 * them, so that none of them can come first. Pure.
 */
export function onCycles(keys: readonly ForeignKey[]): ForeignKey[] {
  const component = components(keys);
  return keys.filter(({ table, target }) => component.get(table) === component.get(target));
}

/** The cycles on which no reference can be left out, each with the foreign keys that make it. Pure. */
export function closedCycles(keys: readonly ForeignKey[]): ForeignKey[][] {
  const required = keys.filter((key) => leftOut(key).length === 0);
  const component = components(required);
  const closed = required.filter(({ table, target }) => component.get(table) === component.get(target));
  return [...Map.groupBy(closed, ({ table }) => component.get(table)).values()];
}

/** The columns that are null when the reference is left out; empty when it cannot be. */
export function leftOut({ columns, matchFull }: ForeignKey): ForeignKeyColumn[] {
  const nullable = columns.filter((column) => column.nullable);
  return matchFull && nullable.length < columns.length ? [] : nullable;
}

/** Tables by the number of their strongly connected component (Tarjan). */
function components(keys: readonly ForeignKey[]): Map<string, number> {
  const targets = Map.groupBy(keys, ({ table }) => table);
  const component = new Map<string, number>();
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const visit = (table: string): void => {
    const own = index.size;
    index.set(table, own);
    lowest.set(table, own);
    open.push(table);
    for (const { target } of targets.get(table) ?? []) {
      if (component.has(target)) continue;
      if (!index.has(target)) visit(target);
      lowest.set(table, Math.min(lowest.get(table)!, lowest.get(target)!));
    }
    if (lowest.get(table) !== own) return;
    for (const member of open.splice(open.indexOf(table))) component.set(member, own);
  };
  for (const { table } of keys) if (!index.has(table)) visit(table);
  return component;
}
