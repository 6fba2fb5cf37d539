import type { CqrsEvents } from '../../../kernel/events.js';
import type { MasterTable } from '../definition/master-table.js';

/**
 * MikroORM's schema generator empties the database between tests (`orm.schema.clear()`): all tables or none, the outbox
 * among them. Replicas are not told of it, however it does it: with their messages in the outbox it would not be empty.
 */

const SCHEMA_GENERATOR = '@mikro-orm/schema-generator';

interface SchemaGenerator {
  clear(options?: object): Promise<void>;
}

/** @param around runs what empties the tables. */
export function aroundClear(
  config: { getExtension(name: string): unknown },
  around: (clear: () => Promise<void>) => Promise<void>,
): void {
  const getExtension = config.getExtension.bind(config);
  const known = new WeakSet<object>();
  // It is made when it is first asked for, by whichever extension.
  config.getExtension = (name) => {
    const extension = getExtension(name);
    if (name !== SCHEMA_GENERATOR || !extension || known.has(extension)) return extension;
    const generator = extension as SchemaGenerator;
    known.add(generator);
    const clear = generator.clear.bind(generator);
    generator.clear = (options) => around(() => clear(options));
    return generator;
  };
}

/** The schema generator neither makes nor drops this table. */
export function keepTable(
  config: { get(name: 'schemaGenerator'): object; set(name: 'schemaGenerator', value: never): void },
  table: string,
): void {
  const options = config.get('schemaGenerator') as { skipTables?: (string | RegExp)[] };
  config.set('schemaGenerator', { ...options, skipTables: [...(options.skipTables ?? []), table] } as never);
}

export function clearedBySchemaTools(tables: readonly MasterTable[]): CqrsEvents['cqrs.master.uncaptured'] {
  return {
    entity: tables.map(({ root }) => root.className).join(', '),
    reason: 'orm.schema.clear() emptied all tables, the outbox too, and replicas are not told',
    cure: 'In tests clear the replicas as well. Elsewhere use nativeDelete().',
  };
}
