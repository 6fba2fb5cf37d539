import { quoted } from '../../../postgres/identifiers.js';
import type { CyclicReference, KnownCycles } from '../table/cyclic-references.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Statement } from './replica-table.js';
import { transpose, unnest } from './text-columns.js';

/** Answers with the numbers (`n`, from 1) of the keys that no row of the target has. */
export function missingTargets(
  { target, columns, targetFields }: CyclicReference,
  keys: readonly (readonly string[])[],
): Statement {
  const sameKey = targetFields.map((field, index) => `t.${quoted(field)} = u.c${index}::${columns[index]!.cast}`);
  return {
    // Counted a key each: a join with the list of keys would make PostgreSQL read the table as a whole.
    text: `select u.n::text as n from ${unnest(columns.length)}
      where (select count(*) from (select from ${target} t where ${sameKey.join(' and ')} limit 1) as found) = 0`,
    parameters: transpose(keys, columns.length),
  };
}

/** Has the foreign keys checked after every statement, as those are that are not deferrable. */
export function checkAtOnce({ constraints }: KnownCycles): Statement {
  return { text: `set constraints ${constraints.join(', ')} immediate`, parameters: [] };
}

/** Takes references out of rows; their versions stay. */
export function clearColumns(
  { table, keyColumns }: ReplicaDefinition,
  columns: readonly ReplicaColumn[],
  keys: readonly (readonly string[])[],
): Statement {
  const names = columns.map(({ field }) => quoted(field));
  const sameKey = keyColumns.map(({ field, cast }, index) => `t.${quoted(field)} = u.c${index}::${cast}`);
  return {
    text: `update ${table!.name} t set ${names.map((name) => `${name} = null`).join(', ')}
      from ${unnest(keyColumns.length)}
      where ${sameKey.join(' and ')} and (${names.map((name) => `t.${name} is not null`).join(' or ')})`,
    parameters: transpose(keys, keyColumns.length),
  };
}
