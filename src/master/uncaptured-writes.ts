import type { EntityMetadata } from '@mikro-orm/core';
import type { CqrsEvents, Events } from '../core/events.js';
import { CAPTURED } from './captured-statement.js';
import type { MasterTable } from './master-table.js';
import type { SqlConnection } from './mikro-orm-internals.js';

/**
 * Speaks up about writes of masters that capture cannot turn into messages, as far as they can be seen: SQL text that
 * passes through MikroORM's connection, and foreign keys whose rule lets the database write by itself.
 */

const WRITE =
  /\b(insert\s+into|update|delete\s+from|truncate(?:\s+table)?|merge\s+into|copy)\s+(?:only\s+)?((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*)/gi;

/** Watches the statements of a connection; those of capture itself carry its mark. */
export function watchRawSql(
  connection: SqlConnection,
  tables: readonly MasterTable[],
  events: Events,
  isMuted: () => boolean,
): void {
  const execute = connection.execute.bind(connection);
  const byName = new Map(tables.map((table) => [table.root.tableName.toLowerCase(), table]));
  connection.execute = (sql, ...rest) => {
    const text: unknown = typeof sql === 'string' ? sql : (sql as { sql?: unknown } | undefined)?.sql;
    if (typeof text === 'string' && !text.includes(CAPTURED) && !isMuted()) {
      for (const table of writtenTables(text, byName)) events.emit('cqrs.master.uncaptured', rawWrite(table));
    }
    return execute(sql, ...rest);
  };
}

function writtenTables(sql: string, byName: ReadonlyMap<string, MasterTable>): Set<MasterTable> {
  const found = new Set<MasterTable>();
  for (const [, , name] of sql.slice(0, 10_000).matchAll(WRITE)) {
    const bare = name!.split('.').at(-1)!.replaceAll('"', '').toLowerCase();
    const table = byName.get(bare);
    if (table) found.add(table);
  }
  return found;
}

function rawWrite(table: MasterTable): CqrsEvents['cqrs.master.uncaptured'] {
  return {
    entity: table.root.className,
    reason: 'its table was written by raw SQL',
    cure: 'Announce the rows with callPostBulkCreate() or callPostUpdate(), or use the EntityManager.',
  };
}

export function clearedBySchemaTools(tables: readonly MasterTable[]): CqrsEvents['cqrs.master.uncaptured'] {
  return {
    entity: tables.map(({ root }) => root.className).join(', '),
    reason: 'orm.schema.clear() emptied all tables, the outbox too, and replicas are not told',
    cure: 'In tests clear the replicas as well. Elsewhere use nativeDelete().',
  };
}

/** Foreign keys of masters through which the database itself deletes or changes rows. */
export function databaseCascades(entities: readonly EntityMetadata[]): CqrsEvents['cqrs.master.uncaptured'][] {
  return entities.flatMap((meta) =>
    meta.relations
      .filter((property) => /cascade|set null|set default/.test(property.deleteRule ?? ''))
      .filter((property) => property.fieldNames?.length > 0)
      .map((property) => ({
        entity: meta.className,
        reason: `'${property.name}' is declared ON DELETE ${property.deleteRule!.toUpperCase()}: the database then writes rows that nobody sees`,
        cure: "Let MikroORM do it (cascade: [Cascade.REMOVE], orphanRemoval) and declare deleteRule: 'restrict' or 'no action'.",
      })),
  );
}
