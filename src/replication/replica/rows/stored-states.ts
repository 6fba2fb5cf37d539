import type { Version } from '../../../wire/payload.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Stored } from '../rules/revision-rules.js';
import { rowKey, type RowKey } from '../definition/row-keys.js';
import type { SqlSession, TextRow } from './sql-session.js';
import { UNKNOWN_TIME } from '../rules/stored-version.js';
import { unpack } from './text-columns.js';
import { readWholeRows, versionOf, type WholeRows } from '../hooks/whole-rows.js';

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
  const rows: TextRow[] = await session.run(
    definition.table!.readStates(definition.cqrsId, keys, tombstones, lockRows),
  );
  return statesIn(definition, keys, rows);
}

/** What an answer to `ReplicaTable.readStates` says of each key. */
export function statesIn(
  definition: ReplicaDefinition,
  keys: readonly RowKey[],
  rows: readonly TextRow[],
): Map<string, Stored> {
  const states = new Map<string, Stored>(keys.map((key) => [key.text, { kind: 'none' }]));
  const width = definition.keyColumns.length;
  for (const { key, version } of rows.flatMap((row) => tombstonesIn(row)))
    states.set(key, { kind: 'tombstone', version });
  for (const { key, version } of rows.flatMap((row) => rowsIn(row, width))) states.set(key, { kind: 'row', version });
  return states;
}

/**
 * The same with the rows themselves, where they are wanted and MikroORM can be given them. Nobody else changes them until
 * the transaction ends.
 */
export async function readStatesAndRows(
  session: SqlSession,
  definition: ReplicaDefinition,
  keys: readonly RowKey[],
  { tombstones, wanted }: { tombstones: string; wanted: boolean },
): Promise<{ states: Map<string, Stored>; rows: WholeRows | undefined }> {
  const rows = wanted ? await readWholeRows(session, definition, keys) : undefined;
  const known = new Map<string, Stored>();
  for (const [key, row] of rows ?? []) {
    const version = versionOf(row);
    if (version) known.set(key, version);
  }
  const others = keys.filter(({ text }) => !known.has(text));
  if (others.length === 0) return { states: known, rows };
  const states = await readStates(session, definition, others, tombstones, { lockRows: true });
  for (const [key, state] of known) states.set(key, state);
  return { states, rows };
}

interface Found {
  readonly key: string;
  readonly version: Version;
}

function tombstonesIn(row: TextRow): Found[] {
  if ('dead' in row)
    return inGroups(unpack(row['dead']!), 4).map(([key, ...version]) => ({ key: key!, version: toVersion(version) }));
  return row['buried'] === null ? [] : [{ key: row['buried']!, version: toVersion(versionTexts(row)) }];
}

function rowsIn(row: TextRow, width: number): Found[] {
  if ('living' in row) {
    return inGroups(unpack(row['living']!), width + 3).map((texts) => ({
      key: rowKey(texts.slice(0, width)).text,
      version: toVersion(texts.slice(width)),
    }));
  }
  if (row['buried'] !== null) return [];
  const parts = Array.from({ length: width }, (_, index) => row[`k${index}`]!);
  return [{ key: rowKey(parts).text, version: toVersion(versionTexts(row)) }];
}

function versionTexts(row: TextRow): (string | null)[] {
  return [row['revision']!, row['updated']!, row['incarnation']!];
}

function inGroups(texts: readonly string[], size: number): string[][] {
  return Array.from({ length: texts.length / size }, (_, at) => texts.slice(at * size, (at + 1) * size));
}

function toVersion([revision, updated, incarnation]: readonly (string | null)[]): Version {
  return {
    incarnation: incarnation ? Number(incarnation) : null,
    revision: Number(revision),
    updated: updated ? Number(updated) : UNKNOWN_TIME,
  };
}
