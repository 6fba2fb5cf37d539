import { type AnyEntity, helper } from '@mikro-orm/core';
import { formatMicroseconds, parseJson, stringifyJson, textToJson, type WireKind, type WireObject, type WireValue } from '../core/wire-values.js';
import type { MasterDefinition } from './master-definition.js';
import type { MasterColumn } from './master-table.js';

/** An entity in memory, in the form in which its row travels. What it has not loaded is left out. */
export function toDict(definition: MasterDefinition, entity: object): WireObject {
  const prepared = helper(entity as AnyEntity).__em!.getComparator().prepareEntity(entity) as Record<string, unknown>;
  const own = entity as { cqrsRevision?: number; cqrsUpdated?: Date };
  return {
    ...pick(definition.announced, prepared),
    cqrs_revision: own.cqrsRevision ?? 0,
    cqrs_updated: own.cqrsUpdated ? formatMicroseconds(own.cqrsUpdated.getTime() * 1000) : null,
  };
}

/** Former values of tracked fields that differ in memory; null when nothing is tracked or nothing was loaded. */
export function trackedData(definition: MasterDefinition, entity: object): WireObject | null {
  const wrapped = helper(entity as AnyEntity);
  const former = wrapped.__originalEntityData as Record<string, unknown> | undefined;
  if (definition.tracked.length === 0 || !former || !wrapped.__em) return null;
  const now = pick(definition.tracked, wrapped.__em.getComparator().prepareEntity(entity) as Record<string, unknown>);
  const before = pick(definition.tracked, former);
  return Object.fromEntries(
    Object.entries(before).filter(([name, value]) => stringifyJson(value) !== stringifyJson(now[name] ?? null)),
  );
}

function pick(columns: readonly MasterColumn[], prepared: Record<string, unknown>): WireObject {
  const data: WireObject = {};
  for (const column of columns) {
    if (!(column.property in prepared)) continue;
    data[column.wire] = toWire(column.kind, prepared[column.property]);
  }
  return data;
}

// MikroORM prepares values as its driver would send them: JSON and arrays as text, dates as Date, keys as scalars.
function toWire(kind: WireKind, value: unknown): WireValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return parseJson(textToJson(kind, value));
  if (kind === 'decimal') return String(value);
  return parseJson(stringifyJson(value));
}
