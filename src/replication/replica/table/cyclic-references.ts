import type { EntityManager } from '@mikro-orm/core';
import { causes } from '../../../kernel/describe-error.js';
import type { Problem } from '../../../kernel/errors.js';
import { quoted } from '../../../postgres/identifiers.js';
import type { Registry } from '../../declare/registry.js';
import { classifyDatabaseError } from '../rows/database-errors.js';
import { closedCycles, type ForeignKey, leftOut, onCycles } from './foreign-key-cycles.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { inSavepointOf, SqlSession } from '../rows/sql-session.js';

/** A reference of a replica by which its rows and others may refer to each other, and that can be left out. */
export interface CyclicReference {
  readonly target: string;
  /** The columns of the foreign key, and what they refer to. */
  readonly columns: readonly ReplicaColumn[];
  readonly targetFields: readonly string[];
  /** Those of them that are null when it is left out. */
  readonly leftOut: readonly ReplicaColumn[];
}

/** What the catalogue says. */
export interface KnownCycles {
  /** The names of their constraints. */
  readonly names: ReadonlySet<string>;
  /** The same as SQL spells them, with their schemas. */
  readonly constraints: readonly string[];
  of(definition: ReplicaDefinition): readonly CyclicReference[];
  readonly closed: readonly (readonly ForeignKey[])[];
}

/** A foreign key may be added while the service runs. */
const REMEMBERED_MS = 60_000;

/**
 * The foreign keys by which rows of replicas may refer to each other, as the database has them. They are asked for when
 * one of them is violated, and at start.
 */
export class CyclicReferences {
  #known: { readonly at: number; readonly cycles: KnownCycles } | undefined;

  constructor(private readonly replicas: Registry<ReplicaDefinition>) {}

  /** What is known, if one of the errors is that of a foreign key on a cycle. @param em a transaction of its is not harmed */
  async violated(em: EntityManager, errors: readonly unknown[]): Promise<KnownCycles | undefined> {
    if (!errors.some((error) => classifyDatabaseError(error) === 'foreign-key-missing')) return undefined;
    const cycles = await this.#ask(em);
    return errors.some((error) => isViolated(cycles, error)) ? cycles : undefined;
  }

  /** Cycles on which every reference is NOT NULL. */
  async warnings(em: EntityManager): Promise<Problem[]> {
    this.#known = undefined;
    const { closed } = await this.#ask(em);
    const classes = new Map([...this.replicas].map(({ table, meta }) => [table?.name, meta.root.className]));
    return closed.map((keys): Problem => {
      const names = [...new Set(keys.map(({ table }) => classes.get(table)!))];
      const constraints = `foreign keys that are NOT NULL (${keys.map(({ name }) => name).join(', ')})`;
      const what =
        names.length === 1
          ? `refers to itself by ${constraints}: rows that refer to each other can never be applied.`
          : `refer to each other by ${constraints}: their rows can never be applied, unless the rows that they refer to are there already.`;
      const cure =
        "Let one of them be NULL in the replica's table: rows are then stored without it at first. A deferred constraint helps only where all the rows happen to come in one batch.";
      return { where: names.join(' and '), what, cure };
    });
  }

  async #ask(em: EntityManager): Promise<KnownCycles> {
    const now = performance.now();
    if (this.#known && now - this.#known.at < REMEMBERED_MS) return this.#known.cycles;
    const cycles = knownCycles([...this.replicas], await readForeignKeys(em, [...this.replicas]));
    this.#known = { at: now, cycles };
    return cycles;
  }
}

/** Whether an error is that of a foreign key on one of the cycles. */
export function isViolated({ names }: KnownCycles, error: unknown): boolean {
  if (names.size === 0 || classifyDatabaseError(error) !== 'foreign-key-missing') return false;
  return [...causes(error)].some((cause) => names.has(Reflect.get(cause, 'constraint') as string));
}

function knownCycles(definitions: readonly ReplicaDefinition[], keys: readonly ForeignKey[]): KnownCycles {
  const cyclic = onCycles(keys);
  const byTable = Map.groupBy(cyclic, ({ table }) => table);
  const references = new Map(
    definitions.map((definition) => {
      const fields = new Map(definition.columns.map((column) => [column.field, column]));
      const own = (byTable.get(definition.table?.name ?? '') ?? []).flatMap((key): CyclicReference[] => {
        const columns = key.columns.flatMap(({ field }) => fields.get(field) ?? []);
        const without = leftOut(key).flatMap(({ field }) => fields.get(field) ?? []);
        if (columns.length < key.columns.length || without.length === 0) return [];
        const targetFields = key.columns.map(({ targetField }) => targetField);
        return [{ target: key.target, columns, targetFields, leftOut: without }];
      });
      return [definition, own];
    }),
  );
  const open = cyclic.filter((key) => leftOut(key).length > 0);
  return {
    names: new Set(open.map(({ name }) => name)),
    constraints: [...new Set(open.map(({ schema, name }) => `${quoted(schema)}.${quoted(name)}`))],
    of: (definition) => references.get(definition) ?? [],
    closed: closedCycles(keys),
  };
}

/** Those that messages fill: a column of the replica alone refers to what its service has written. */
async function readForeignKeys(em: EntityManager, definitions: readonly ReplicaDefinition[]): Promise<ForeignKey[]> {
  const filled = new Map<string, Set<string>>();
  for (const { table, columns } of definitions) {
    if (!table) continue;
    const fields = filled.get(table.name) ?? new Set();
    for (const { field } of columns) fields.add(field);
    filled.set(table.name, fields);
  }
  if (filled.size === 0) return [];
  const rows = await inSavepointOf(em.fork({ keepTransactionContext: true }), (inner) =>
    new SqlSession(inner).run({ text: FOREIGN_KEYS, parameters: [[...filled.keys()]] }),
  );
  const keys = [...Map.groupBy(rows, (row) => `${row['table']} ${row['name']}`).values()].map((columns): ForeignKey => {
    const { name, schema, table, target, match } = columns[0] as Record<string, string>;
    return {
      name: name!,
      schema: schema!,
      table: table!,
      target: target!,
      matchFull: match === 'f',
      columns: columns.map((row) => ({
        field: row['field']!,
        targetField: row['target_field']!,
        nullable: row['nullable'] === 'true',
      })),
    };
  });
  return keys.filter(({ table, columns }) => columns.some(({ field }) => filled.get(table)!.has(field)));
}

/** Of partitioned tables only the constraint of the whole. */
const FOREIGN_KEYS = `with tables as (select u.name, to_regclass(u.name)::oid as id from unnest($1::text[]) as u(name))
  select k.conname::text as name, s.name as "table", t.name as target, k.confmatchtype::text as match,
    (select n.nspname::text from pg_namespace n where n.oid = k.connamespace) as schema,
    a.attname::text as field, b.attname::text as target_field, (not a.attnotnull)::text as nullable
  from tables s join pg_constraint k on k.conrelid = s.id and k.contype = 'f' and k.conparentid = 0
    join tables t on t.id = k.confrelid
    cross join lateral unnest(k.conkey, k.confkey) with ordinality as c(own, other, n)
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.own
    join pg_attribute b on b.attrelid = k.confrelid and b.attnum = c.other
  order by s.name, k.conname, c.n`;
