import type { EntityMetadata } from '@mikro-orm/core';
import type { Cqrs } from '../../cqrs.js';
import type { KeyedTable } from '../../replication/compare/keyed-table.js';
import { masterTable, replicaTable } from '../../operations/keyed-table.js';
import { SqlSession } from '../../replication/replica/rows/sql-session.js';
import { ApiProblem } from '../http/api-problem.js';
import { describeTable, type ShownTable } from './columns.js';

/** A table whose rows the page can show. */
export interface BrowsableTable extends ShownTable, KeyedTable {
  /** Which rows of a table shared by several entities are meant, in SQL over the alias `t`; null: all. */
  readonly discriminator: { readonly field: string; readonly values: readonly string[] } | null;
  /** Fields that an index begins with. */
  readonly indexed: ReadonlySet<string>;
}

/** The tables of masters and replicas, described once. */
export class BrowsableTables {
  readonly #masters = new Map<string, Promise<BrowsableTable>>();
  readonly #replicas = new Map<string, Promise<BrowsableTable>>();

  constructor(private readonly cqrs: Cqrs) {}

  /** @throws ApiProblem when there is no such master. */
  master(cqrsId: string): Promise<BrowsableTable> {
    const definition = this.cqrs.masters.find(cqrsId);
    if (!definition) throw unknown('master', cqrsId, this.cqrs.masters.ids);
    const announced = new Set(definition.announced.map(({ field }) => field));
    return once(this.#masters, cqrsId, async () => {
      const table = masterTable(this.cqrs, cqrsId);
      const shown = describeTable(
        definition.meta,
        (field) => definition.serializer !== undefined || announced.has(field),
      );
      return this.#complete(table, shown);
    });
  }

  /** @throws ApiProblem when there is no such replica. */
  replica(cqrsId: string): Promise<BrowsableTable> {
    const definition = this.cqrs.replicas.find(cqrsId);
    if (!definition) throw unknown('replica', cqrsId, this.cqrs.replicas.ids);
    const copied = new Set(definition.columns.map(({ field }) => field));
    return once(this.#replicas, cqrsId, async () => {
      const shown = describeTable(definition.meta, (field) => copied.has(field));
      if (definition.table) return this.#complete(replicaTable(this.cqrs, cqrsId), shown);
      const { meta, keyColumns } = definition;
      const whyNoRows = 'It has no table: it is declared with CQRS_NO_DB_OPERATIONS.';
      const bare = { cqrsId, meta, keyColumns, name: '', discriminator: null, indexed: new Set<string>() };
      return { ...shown, ...bare, columns: [], whyNoRows };
    });
  }

  async #complete(table: KeyedTable, shown: ShownTable): Promise<BrowsableTable> {
    const indexed = await this.cqrs.orm.em.fork().transactional(async (em) => {
      const rows = await new SqlSession(em).run({
        text: `select distinct a.attname::text as field from pg_index i
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
          where i.indrelid = to_regclass($1) and i.indisvalid and i.indpred is null`,
        parameters: [table.name],
      });
      return new Set(rows.map(({ field }) => field!));
    });
    return { ...shown, ...table, discriminator: discriminatorOf(table.meta), indexed };
  }
}

/** The rows of an entity in a table shared by several: those of its class and of the classes below it. */
function discriminatorOf(meta: EntityMetadata): BrowsableTable['discriminator'] {
  const { root } = meta;
  const property =
    root.discriminatorColumn && (root.properties[root.discriminatorColumn as never] as { fieldNames: string[] });
  if (!property || root === meta) return null;
  const classes = Object.entries((root.discriminatorMap ?? {}) as Record<string, unknown>);
  const values = classes.flatMap(([value, entity]) => (isBelow(entity, meta) ? [value] : []));
  return { field: property.fieldNames[0]!, values: values.length > 0 ? values : [String(meta.discriminatorValue)] };
}

function isBelow(entity: unknown, { class: parent, className }: EntityMetadata): boolean {
  if (typeof entity !== 'function') return entity === className;
  return entity === parent || entity.prototype instanceof (parent as unknown as Function);
}

function once<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known) return known;
  const made = make();
  made.catch(() => cache.delete(key)); // the database was away
  cache.set(key, made);
  return made;
}

function unknown(what: string, cqrsId: string, known: readonly string[]): ApiProblem {
  return new ApiProblem('not-found', `There is no ${what} '${cqrsId}' here.`, {
    cure: known.length > 0 ? `There are ${known.join(', ')}.` : 'This service has none.',
  });
}
