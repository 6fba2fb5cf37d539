import type { SqlEntityManager } from '@mikro-orm/sql';
import { InputError } from '../../kernel/errors.js';
import type { Cqrs } from '../../cqrs.js';
import { readTables } from './catalogue.js';
import { describeEntities, type Replicated } from './describe-entities.js';
import { entitySource } from './entity-source.js';

/** A table, and what it is to become; without a role an entity that is not replicated. */
export interface WantedTable {
  /** `schema.table` for one that is not on the search path. */
  readonly table: string;
  readonly replicated: Replicated | undefined;
}

export interface GeneratedEntities {
  /** A TypeScript module. */
  readonly source: string;
  readonly classes: readonly { readonly className: string; readonly table: string; readonly asked: boolean }[];
  /** What the database has and no declaration can say. It stays. */
  readonly undeclared: readonly { readonly table: string; readonly what: string }[];
}

/**
 * Declares tables as they are, and those that their foreign keys refer to.
 * @throws InputError for a table that is not there, has no primary key, or is named twice
 */
export async function generateEntities({ orm }: Cqrs, wanted: readonly WantedTable[]): Promise<GeneratedEntities> {
  const { asked, tables } = await readTables(
    orm.em as SqlEntityManager,
    wanted.map(({ table }) => table),
  );
  const twice = wanted.find((_, index) => asked.indexOf(asked[index]!) !== index);
  if (twice) throw new InputError(`The table '${twice.table}' is named twice.`);
  for (const { name, key } of tables) {
    if (key.length === 0) throw new InputError(`The table '${name}' has no primary key, and no entity is without.`);
  }
  const roles = new Map(wanted.flatMap(({ replicated }, index) => (replicated ? [[asked[index]!, replicated]] : [])));
  const entities = describeEntities(tables, roles, orm.config.getNamingStrategy());
  return {
    source: entitySource(entities),
    classes: entities.map(({ className, table }) => ({ className, table: table.name, asked: asked.includes(table) })),
    undeclared: tables.flatMap((table) => [
      ...table.exclusions.map((name) => ({ table: table.name, what: `exclusion constraint ${name}` })),
      ...table.references
        .filter(({ columns }) => columns.length > 1)
        .map(({ name }) => ({ table: table.name, what: `foreign key ${name} of several columns` })),
    ]),
  };
}
