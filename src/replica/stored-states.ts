import type { Version } from '../core/payload.js';
import type { ReplicaDefinition } from './replica-definition.js';
import type { Stored } from './revision-rules.js';
import type { RowKey } from './row-keys.js';
import type { SqlSession } from './sql-session.js';

/** What is stored of each key, by the key's text. The row counts; a tombstone only where there is none. */
export async function readStates(
  session: SqlSession,
  definition: ReplicaDefinition,
  keys: readonly RowKey[],
  tombstones: string,
): Promise<Map<string, Stored>> {
  const rows = await session.run(definition.table!.readStates(definition.cqrsId, keys, tombstones));
  return new Map(keys.map((key, index) => [key.text, toStored(rows[index]!)]));
}

function toStored(row: Readonly<Record<string, string | null>>): Stored {
  if (row['live'] === 'true') return { kind: 'row', version: toVersion(row, '') };
  if (row['t_revision'] != null) return { kind: 'tombstone', version: toVersion(row, 't_') };
  return { kind: 'none' };
}

function toVersion(row: Readonly<Record<string, string | null>>, prefix: string): Version {
  const incarnation = row[`${prefix}incarnation`];
  return {
    incarnation: incarnation == null ? null : Number(incarnation),
    revision: Number(row[`${prefix}revision`]),
    updated: Number(row[`${prefix}updated`]),
  };
}
