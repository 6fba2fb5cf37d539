import { type AnyEntity, type EntityManager, helper } from '@mikro-orm/core';
import { formatMicroseconds } from '../../../wire/times.js';
import {
  parseJson,
  stringifyJson,
  textToJson,
  type WireKind,
  type WireObject,
  type WireValue,
} from '../../../wire/values.js';
import type { MasterDefinition, MasterColumn } from './master-table.js';
import { runSerializer } from '../announce/serializer.js';

/** An entity in memory, in the form in which its row travels. What it has not loaded is left out. */
export async function toDict(definition: MasterDefinition, entity: object, em: EntityManager): Promise<WireObject> {
  // Of an entity that is not stored yet they are whatever somebody wrote into them.
  const { cqrsRevision: revision, cqrsUpdated: updated } = entity as { cqrsRevision?: unknown; cqrsUpdated?: unknown };
  const data = definition.serializer
    ? (parseJson(stringifyJson(await runSerializer(definition, entity))) as WireObject)
    : pick(definition.announced, prepare(entity, em));
  return {
    ...data,
    cqrs_revision: typeof revision === 'number' ? revision : 0,
    cqrs_updated: updated instanceof Date ? formatMicroseconds(updated.getTime() * 1000) : null,
  };
}

/** Former values of tracked fields that differ in memory; null when nothing is tracked or nothing was loaded. */
export function trackedData(definition: MasterDefinition, entity: object, em: EntityManager): WireObject | null {
  const former = helper(entity as AnyEntity).__originalEntityData as Record<string, unknown> | undefined;
  if (definition.tracked.length === 0 || !former) return null;
  const now = pick(definition.tracked, prepare(entity, em));
  const before = pick(definition.tracked, former);
  return Object.fromEntries(
    Object.entries(before).filter(([name, value]) => stringifyJson(value) !== stringifyJson(now[name] ?? null)),
  );
}

function prepare(entity: object, em: EntityManager): Record<string, unknown> {
  return em.getComparator().prepareEntity(entity) as Record<string, unknown>;
}

function pick(columns: readonly MasterColumn[], prepared: Record<string, unknown>): WireObject {
  const data: WireObject = {};
  for (const column of columns) {
    if (!(column.property in prepared)) continue;
    const value = prepared[column.property];
    const shared = columns.filter((one) => one.property === column.property);
    // a relation to a composite key: one value for each of its columns
    const own = shared.length > 1 && Array.isArray(value) ? value.flat(Infinity)[shared.indexOf(column)] : value;
    data[column.wire] = toWire(column.kind, own);
  }
  return data;
}

// MikroORM prepares values as its driver would send them: JSON and arrays as text, dates as Date, keys as scalars.
function toWire(kind: WireKind, value: unknown): WireValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return parseJson(textToJson(kind, value));
  if (kind === 'decimal' && typeof value === 'number') return String(value);
  return parseJson(stringifyJson(value));
}
