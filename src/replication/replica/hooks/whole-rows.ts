import { type EntityManager, type EntityProperty, ReferenceKind } from '@mikro-orm/core';
import { parseMicroseconds, pythonDatetime } from '../../../wire/times.js';
import { INCARNATION, type ReplicaColumn, REVISION, UPDATED } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Stored } from '../rules/revision-rules.js';
import { rowKey, type RowKey } from '../definition/row-keys.js';
import type { SqlSession } from '../rows/sql-session.js';

/**
 * Rows as the driver has read them, locked, by the texts of their keys: hooks are mostly called for rows that are there,
 * and what the rules look at is read with what the hooks are given.
 */
export type WholeRows = Map<string, Row>;

type Row = Record<string, unknown>;

/** Undefined where MikroORM would not read the row by its columns alone. */
export async function readWholeRows(
  session: SqlSession,
  definition: ReplicaDefinition,
  keys: readonly RowKey[],
): Promise<WholeRows | undefined> {
  if (!isWhole(definition)) return undefined;
  const rows = new Map<string, Row>();
  for (const row of (await session.run(definition.table!.lockWholeRows(keys.map(({ parts }) => parts)))) as Row[]) {
    const parts = definition.keyColumns.map(({ field }) => String(row[field]));
    rows.set(rowKey(parts).text, row);
  }
  return rows;
}

/** Undefined where the driver has cut off what the rules have to know. */
export function versionOf(row: Row): Stored | undefined {
  const text = row[UPDATED];
  // In the layout that is read the fastest.
  const updated = typeof text === 'string' ? parseMicroseconds(pythonDatetime(text)) : undefined;
  const incarnation = row[INCARNATION];
  if (updated === undefined) return undefined;
  return {
    kind: 'row',
    version: {
      incarnation: incarnation === null ? null : Number(incarnation),
      revision: Number(row[REVISION]),
      updated,
    },
  };
}

/** A row as the entity that `em.find` would have made of it. */
export function toEntity(em: EntityManager, { meta, entity }: ReplicaDefinition, row: Row): object {
  const data = em.getDriver().mapResult(row as never, meta) as object;
  return em.getEntityFactory().create(entity as never, data as never, { merge: true, convertCustomTypes: true });
}

function isWhole({ meta, keyColumns, statics }: ReplicaDefinition): boolean {
  return (
    statics.CQRS_SELECT_FOR_UPDATE !== true &&
    meta.root === meta &&
    !meta.discriminatorColumn &&
    keyColumns.every(printsAsItIs) &&
    meta.props.every(isBare)
  );
}

/** Whether the driver reads a key of this type as PostgreSQL prints it. */
function printsAsItIs({ kind, cast }: ReplicaColumn): boolean {
  return kind === 'integer' || cast === 'text' || cast === 'varchar' || cast === 'uuid';
}

/** Whether a row needs nothing for the property but its columns. */
function isBare(property: EntityProperty): boolean {
  const owned = property.kind !== ReferenceKind.ONE_TO_ONE || property.owner;
  return owned && !property.formula && !property.lazy && !property.eager && !property.hasConvertToJSValueSQL;
}
