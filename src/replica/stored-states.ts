import type { Version } from '../core/payload.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { Stored } from './revision-rules.js';
import { rowKey, type RowKey } from './row-keys.js';
import type { SqlSession, TextRow } from './sql-session.js';

/**
 * What is stored of each key, by the key's text. The row counts; a tombstone only where there is none.
 * @param options.lockRows nobody else changes the rows until the transaction ends; default false.
 */
export async function readStates(
  session: SqlSession,
  definition: ReplicaDefinition,
  keys: readonly RowKey[],
  tombstones: string,
  { lockRows = false } = {},
): Promise<Map<string, Stored>> {
  const states = new Map<string, Stored>(keys.map((key) => [key.text, { kind: 'none' }]));
  const statement = definition.table!.readStates(definition.cqrsId, keys, tombstones, lockRows);
  const rows: TextRow[] = await session.run(statement);
  for (const row of rows) {
    if (row['buried'] !== null) {
      if (states.get(row['buried']!)?.kind !== 'row')
        states.set(row['buried']!, { kind: 'tombstone', version: toVersion(row) });
      continue;
    }
    const key = rowKey(definition.keyColumns.map((_, index) => row[`k${index}`]!));
    states.set(key.text, { kind: 'row', version: toVersion(row) });
  }
  return states;
}

function toVersion(row: TextRow): Version {
  const incarnation = row['incarnation'];
  return {
    incarnation: incarnation == null ? null : Number(incarnation),
    revision: Number(row['revision']),
    updated: Number(row['updated']),
  };
}
