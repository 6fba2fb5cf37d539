import type { EntityManager, FilterOptions, MikroORM } from '@mikro-orm/core';
import { driverReader } from './driver-values.js';
import type { MasterDefinition, RowImage } from './master-table.js';
import type { TransactionContext } from '../mikro-orm-internals.js';

/**
 * An EntityManager of its own inside the given transaction, for rows that are only looked at.
 *
 * No filter is active by default there: what is sent of a row is decided by the rows of the database, never by the
 * EntityManager that happens to write it. Else the same row would have several contents, one for each tenant that
 * writes it, a relation to a row that is marked as deleted would be null, and a SYNC, which nobody flushes, would send
 * something else again. A filter that user code names itself does apply.
 */
export function forkInside(orm: MikroORM, transaction: TransactionContext): EntityManager {
  const fork = orm.em.fork();
  fork.setTransactionContext(transaction);
  const stock = fork.applyFilters.bind(fork);
  fork.applyFilters = async (entityName, where, options, ...rest) => {
    const defaults = [orm.config.get('filters'), orm.getMetadata().get(entityName).filters].flatMap(Object.keys);
    const active = namedFilters(options, defaults);
    return active ? stock(entityName, where, active, ...rest) : where;
  };
  return fork;
}

/** Without those that nobody named; undefined when nobody named any. */
function namedFilters(
  options: FilterOptions | undefined,
  defaults: readonly string[],
): Record<string, boolean | object> | undefined {
  const named = Array.isArray(options) ? Object.fromEntries(options.map((name) => [name, true])) : (options ?? {});
  if (named === false || named === true || !Object.values(named).some(Boolean)) return undefined;
  return { ...Object.fromEntries(defaults.map((name) => [name, false])), ...named } as Record<string, boolean | object>;
}

/**
 * A row as the database returned it → an entity of its own, never the caller's instance: that one may hold another
 * writer's old values or what a savepoint has taken back.
 */
export function hydrate(em: EntityManager, definition: MasterDefinition, row: RowImage): object {
  const { table, meta } = definition;
  const read = driverReader(em);
  const values: Record<string, unknown> = {};
  for (const { field, position } of table.readColumns) {
    const text = row[position];
    // Of an image that was captured before the column was there.
    if (text === undefined) continue;
    values[field] = text === null ? null : read(table.driverTypes[position]!, text);
  }
  const data = em.getDriver().mapResult(values as never, meta as never);
  // As `em.find` does it: `em.map` would refuse what a property's type does not promise, such as the items of a list.
  return em.getEntityFactory().create(meta.class as never, data as never, {
    merge: true,
    refresh: true,
    convertCustomTypes: true,
  });
}

/** Loads what `relateCqrsSerialization` asks for, for all entities of one master at once. */
export async function populate(
  em: EntityManager,
  definition: MasterDefinition,
  entities: readonly object[],
): Promise<void> {
  const hint = definition.hooks.populate;
  if (hint && hint.length > 0 && entities.length > 0) await em.populate(entities as never, hint as never);
}
