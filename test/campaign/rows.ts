import type { EntityManager } from '@mikro-orm/postgresql';
import { Plain, Watched } from '../faults/scene.ts';

export const ENTITIES = { plain: Plain, watched: Watched } as const;
export type Table = keyof typeof ENTITIES;

export interface Row {
  readonly table: Table;
  readonly id: number;
  readonly value: number;
  readonly text: string;
}

/** Each row of both tables by its name, with its content. */
export type Tables = ReadonlyMap<string, string>;

export const rowName = ({ table, id }: Pick<Row, 'table' | 'id'>): string => `${table} ${id}`;
export const expectedText = ({ value, text }: Row): string => `${value} ${text}`;

/** The rows of the hundred keys that begin at `base`. */
export async function readRows(em: EntityManager, base: number): Promise<Tables> {
  const rows = await em.getConnection().execute<Row[]>(
    Object.keys(ENTITIES)
      .map(
        (table) =>
          `select '${table}' as table, id, value, text from fault_${table} where id between ${base} and ${base + 99}`,
      )
      .join(' union all '),
  );
  return new Map(rows.map((row) => [rowName(row), expectedText(row)]));
}
