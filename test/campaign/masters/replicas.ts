import { defineEntity, type EntityClass, p } from '@mikro-orm/postgresql';
import { ReplicaEntity, replica } from '../../../src/index.js';
import { TABLES } from './tables.ts';

/** A replica of each master, with plain columns: what arrives is compared as PostgreSQL prints it. */

const text = (): object => p.text().nullable();
const integer = (): object => p.integer().nullable();

/** Columns of the replicas: those of the master under their names, by id. The rest is text. */
const SPECIAL: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  org: { code: p.text().primary(), rank: integer(), head_id: integer() },
  person: { id: p.integer().primary().autoincrement(false), manager_id: integer(), preferences: p.json().nullable() },
  badge: { id: p.integer().primary().autoincrement(false), person_id: integer() },
  item: { org_code: p.text().primary(), n: p.integer().primary(), slot: integer(), v: integer(), hidden: p.boolean() },
  doc: {
    id: p.bigint('string').primary().autoincrement(false),
    data: p.json().nullable(),
    amount: p.decimal().precision(20).scale(6).nullable(),
    at: p.datetime().columnType('timestamptz(6)').nullable(),
    bin: p.blob().nullable(),
    tags: p.array().nullable(),
    f: p.double().nullable(),
  },
  animal: { id: p.integer().primary().autoincrement(false), v: integer(), lives: integer() },
  dog: { id: p.integer().primary().autoincrement(false), v: integer(), barks: p.boolean().nullable() },
  day: { day: p.date().primary(), load: integer(), open: p.boolean() },
  node: { id: p.uuid().primary(), v: integer(), parent_id: p.uuid().nullable(), twin_id: p.uuid().nullable() },
  stat: { id: p.text().primary(), count: integer() },
  loose: { id: p.integer().primary().autoincrement(false), v: integer() },
};

const camel = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

function replicaOf(
  cqrsId: string,
  key: readonly string[],
  columns: Readonly<Record<string, string>>,
): EntityClass<object> {
  const properties: Record<string, object> = {};
  const mapping: Record<string, string> = {};
  // the key first, in the order in which it travels
  for (const column of [...key, ...Object.keys(columns).filter((name) => !key.includes(name))]) {
    const wire = columns[column]!;
    const property = camel(column);
    const type = SPECIAL[cqrsId]?.[column] ?? text();
    properties[property] = (type as { name(name: string): object }).name(column);
    mapping[wire] = property;
  }
  const schema = defineEntity({
    name: `${cqrsId[0]!.toUpperCase()}${cqrsId.slice(1)}Ref`,
    tableName: `r_${cqrsId}`,
    extends: ReplicaEntity,
    properties: properties as never,
  } as never);
  return replica(schema as never, { id: cqrsId, mapping } as never) as never;
}

export const REPLICAS: readonly EntityClass<object>[] = TABLES.flatMap(({ travels, key }) =>
  Object.entries(travels).map(([cqrsId, columns]) => replicaOf(cqrsId, key, columns)),
);

const OWN = ['cqrs_revision', 'cqrs_incarnation', 'cqrs_updated'];
/** Which rows of a master are there for replicas, in SQL. */
const REPLICATED: Readonly<Record<string, string>> = {
  item: 'not hidden',
  day: 'open',
  animal: "kind <> 'dog'",
  dog: "kind = 'dog'",
};

type Sql = (text: string) => Promise<{ row: string }[]>;

/** Rows that one side has and the other has not, or has otherwise. */
export async function replicaDifferences(master: Sql, copy: Sql): Promise<string[]> {
  const differences: string[] = [];
  for (const { name, travels } of TABLES) {
    for (const [cqrsId, columns] of Object.entries(travels)) {
      const row = `row(${[...Object.keys(columns), ...OWN].join(', ')})::text as row`;
      const [there, here] = await Promise.all([
        master(`select ${row} from ${name} where ${REPLICATED[cqrsId] ?? 'true'} order by 1`),
        copy(`select ${row} from r_${cqrsId} order by 1`),
      ]);
      const [wanted, found] = [new Set(there.map((one) => one.row)), new Set(here.map((one) => one.row))];
      for (const one of wanted)
        if (!found.has(one)) differences.push(`${cqrsId}: the replica lacks ${one.slice(0, 300)}`);
      for (const one of found)
        if (!wanted.has(one)) differences.push(`${cqrsId}: only the replica has ${one.slice(0, 300)}`);
    }
  }
  return differences;
}
