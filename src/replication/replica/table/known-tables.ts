import type { EntityManager } from '@mikro-orm/core';
import { type LossCheck, lossCheck } from './lossy-text.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { inSavepointOf, SqlSession } from '../rows/sql-session.js';
import { checkReplicaTable, checkTombstones, type Findings } from './table-check.js';
import { type FoundTable, readTables, type WantedTable } from './table-facts.js';

/** What was learned of one replica's table. */
export interface KnownTable {
  /** Of the columns that store less than a message may bring, without an error; undefined for all others. */
  readonly checks: readonly (LossCheck | undefined)[];
  readonly found: FoundTable;
}

/** The replicas' tables as the catalogue has them, asked once: at start, or where a message is applied before that. */
export class KnownTables {
  #found: ReadonlyMap<string, FoundTable | null> | undefined;
  readonly #known = new Map<ReplicaDefinition, KnownTable>();

  constructor(
    private readonly definitions: Iterable<ReplicaDefinition>,
    /** The quoted table of `Tombstone`. */
    private readonly tombstones: () => string,
  ) {}

  /** Asks anew. @returns everything that is wrong with the tables */
  async check(em: EntityManager): Promise<Findings> {
    const definitions = [...this.definitions].filter(({ table }) => table !== undefined);
    if (definitions.length === 0) return { problems: [], warnings: [] };
    await this.#read(em);
    const findings = definitions.map((definition) =>
      checkReplicaTable(definition, this.#found!.get(definition.table!.name)),
    );
    return {
      problems: [
        ...findings.flatMap(({ problems }) => problems),
        ...checkTombstones(this.tombstones(), this.#found!.get(this.tombstones())),
      ],
      warnings: findings.flatMap(({ warnings }) => warnings),
    };
  }

  /** @param em whose transaction is asked, where it has one. */
  async load(em: EntityManager): Promise<void> {
    if (!this.#found) await this.#read(em);
  }

  of(definition: ReplicaDefinition): KnownTable | undefined {
    return this.#known.get(definition);
  }

  async #read(em: EntityManager): Promise<void> {
    const definitions = [...this.definitions];
    const wanted: WantedTable[] = definitions.flatMap(({ table, columns }) =>
      table ? [{ name: table.name, casts: castsOf(columns) }] : [],
    );
    wanted.push({ name: this.tombstones() });
    const found = await inSavepointOf(em, (inner) => readTables(new SqlSession(inner), wanted));
    for (const definition of definitions) {
      const table = definition.table && found.get(definition.table.name);
      if (table) this.#known.set(definition, { found: table, checks: checksOf(definition, table) });
    }
    this.#found = found;
  }
}

/** Whatever else a type may be called is not asked about: as a name it might not be readable. */
const NAME = /^[\p{L}\p{N}\s_.$"[\]]+$/u;

function castsOf(columns: readonly ReplicaColumn[]): Record<string, string> {
  return Object.fromEntries(columns.filter(({ cast }) => NAME.test(cast)).map(({ field, cast }) => [field, cast]));
}

function checksOf({ columns }: ReplicaDefinition, { columns: found }: FoundTable): (LossCheck | undefined)[] {
  return columns.map(({ field, type, kind }) => {
    const column = found.find(({ name }) => name === field);
    return column && lossCheck({ declared: type, actual: column.type, cast: column.domain, kind });
  });
}
