import { expect } from '@jest/globals';
import type { MasterService } from './master-service.js';

interface Row {
  readonly key: string;
  /** Its columns but ours, by the names of the wire. */
  readonly row: Record<string, unknown>;
  readonly revision: number;
  readonly incarnation: number;
  readonly updated: string;
}

/**
 * Runs `work`, and holds what was announced against what PostgreSQL has kept: the rows of `table` before and after, read
 * by a connection that knows nothing of capture. Each row that differs has one message, with the row as it is at the end
 * and one step of its revision; no other row has any. Columns are to have the names that they have on the wire.
 * @returns the messages as `SAVE 7` and `DELETE 8`, in the order of the outbox.
 */
export async function expectKept(
  service: MasterService,
  table: string,
  work: () => Promise<unknown>,
  key = 'id',
): Promise<string[]> {
  await service.take();
  const before = await rowsOf(service, table, key);
  const ended = await work().catch((error: unknown) => error);
  const after = await rowsOf(service, table, key);
  const sent = await service.take();
  const kept: string[] = [];
  for (const [name, row] of after) {
    const former = before.get(name);
    if (former && JSON.stringify(former) === JSON.stringify(row)) continue;
    kept.push(`SAVE ${name} ${JSON.stringify(row.row)}`);
    if (former && former.incarnation === row.incarnation) {
      expect([name, row.revision]).toEqual([name, former.revision + 1]);
      expect(row.updated > former.updated).toBe(true);
    } else if (former) expect(row.incarnation).toBeGreaterThan(former.incarnation);
  }
  for (const name of before.keys()) if (!after.has(name)) kept.push(`DELETE ${name}`);
  const told = sent.map(({ signal, pk, data, incarnation }) => {
    const name = JSON.stringify(pk);
    if (signal === 'DELETE') return `DELETE ${name}`;
    const { cqrs_revision: revision, cqrs_updated: updated, ...row } = data;
    const stored = after.get(name);
    if (stored) {
      expect([name, revision, incarnation]).toEqual([name, stored.revision, stored.incarnation]);
      expect(new Date(updated as string)).toEqual(new Date(stored.updated));
    }
    return `SAVE ${name} ${JSON.stringify(sorted(row))}`;
  });
  expect({ ended, told: told.toSorted() }).toEqual({ ended, told: kept.toSorted() });
  return told.map((line) => line.split(' ').slice(0, 2).join(' '));
}

async function rowsOf(service: MasterService, table: string, key: string): Promise<Map<string, Row>> {
  const rows = await service.sql<{ name: string; row: Record<string, unknown> }>(
    `select to_jsonb(t.${key})::text as name, to_jsonb(t) as row from ${table} t order by 1`,
  );
  return new Map(
    rows.map(({ name, row }) => {
      const { cqrs_revision: revision, cqrs_incarnation: incarnation, cqrs_updated: updated, ...own } = row;
      return [name, { key: name, row: sorted(own), revision, incarnation, updated } as unknown as Row];
    }),
  );
}

function sorted(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
