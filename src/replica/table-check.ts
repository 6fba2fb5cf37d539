import type { EntityManager } from '@mikro-orm/core';
import type { Problem } from '../core/errors.js';
import { versionProblem } from '../core/schema-version.js';
import type { ReplicaDefinition } from './replica-definition.js';
import { SqlSession } from './sql-session.js';
import { TOMBSTONE_VERSION } from './tombstones.js';

const CURE = 'Run `npx mikro-orm schema:update --run`, or create and run a migration.';

/** Compares the tables that replicas need with those of the database; what is missing is a problem. Called at start. */
export async function checkTables(
  em: EntityManager,
  definitions: Iterable<ReplicaDefinition>,
  tombstones: string,
): Promise<Problem[]> {
  const wanted: { where: string; table: string; fields: readonly string[] }[] = [];
  for (const { meta, table } of definitions) {
    if (table) wanted.push({ where: meta.className, table: table.name, fields: table.fields });
  }
  if (wanted.length === 0) return [];
  wanted.push({
    where: 'Tombstone',
    table: tombstones,
    fields: ['cqrs_id', 'key', 'incarnation', 'revision', 'updated', 'deleted_at'],
  });
  const found = await em.fork().transactional((inner) =>
    readColumns(
      inner,
      wanted.map(({ table }) => table),
    ),
  );
  return wanted.flatMap(({ where, table, fields }): Problem[] => {
    const columns = found.get(table);
    if (!columns) return [{ where, what: `its table ${table} does not exist.`, cure: CURE }];
    const missing = fields.filter((field) => !columns.names.has(field));
    if (missing.length > 0) return [{ where, what: `its table ${table} lacks ${missing.join(', ')}.`, cure: CURE }];
    if (table !== tombstones) return [];
    return versionProblem(where, table, { comment: columns.comment, version: TOMBSTONE_VERSION });
  });
}

interface FoundTable {
  readonly names: ReadonlySet<string>;
  readonly comment: string | null;
}

/** The columns of each table that exists. */
async function readColumns(em: EntityManager, tables: readonly string[]): Promise<Map<string, FoundTable>> {
  const rows = await new SqlSession(em).run({
    text: `select u.name as "table", a.attname::text as "column",
        obj_description(a.attrelid, 'pg_class') as comment
      from unnest($1::text[]) as u(name) join pg_attribute a on a.attrelid = to_regclass(u.name)
      where a.attnum > 0 and not a.attisdropped`,
    parameters: [tables],
  });
  const byTable = Map.groupBy(rows, (row) => row['table']!);
  return new Map(
    [...byTable].map(([table, columns]) => [
      table,
      { names: new Set(columns.map((row) => row['column']!)), comment: columns[0]!['comment'] ?? null },
    ]),
  );
}
