import type { EntityManager, MikroORM } from '@mikro-orm/core';
import type { MasterDefinition } from './master-definition.js';
import type { MasterColumn, RowImage } from './master-table.js';
import type { TransactionContext } from './transaction-log.js';

/** An EntityManager of its own inside the given transaction, for rows that are only looked at. */
export function forkInside(orm: MikroORM, transaction: TransactionContext): EntityManager {
  const fork = orm.em.fork();
  fork.setTransactionContext(transaction);
  return fork;
}

/**
 * A row as the database returned it → an entity of its own, never the caller's instance: that one may hold another
 * writer's old values or what a savepoint has taken back.
 */
export function hydrate(em: EntityManager, definition: MasterDefinition, row: RowImage): object {
  const { table, meta } = definition;
  const values = Object.fromEntries(
    table.columns.map((column) => [column.field, fromText(column, table.value(row, column.field))]),
  );
  return em.map(meta.class as never, values as never) as object;
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

// The form in which the driver hands values to MikroORM's mapping; it converts the rest itself.
function fromText(column: MasterColumn, text: string | null): unknown {
  if (text === null) return null;
  switch (column.kind) {
    case 'integer':
      return /^(int8|bigint|bigserial)/.test(column.type) ? text : Number(text);
    case 'float':
      return Number(text);
    case 'boolean':
      return text === 'true' || text === 't';
    case 'json':
      return JSON.parse(text);
    case 'binary':
      return Buffer.from(text.slice(2), 'hex');
    default:
      return text;
  }
}
