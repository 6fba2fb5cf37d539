import { CompiledQuery } from 'kysely';
import type { Problem } from '../../../kernel/errors.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';

interface FoundSequence {
  readonly exists: boolean;
  /** How many numbers each session takes at a time. */
  readonly cache: number | null;
  readonly liftable: boolean | null;
  /** Roles that may insert into a master, and with it not the number that its default needs. */
  readonly without: readonly { readonly role: string; readonly table: string }[] | null;
}

/** What keeps the sequence of incarnations from giving numbers that grow, to everybody who inserts rows of masters. */
export async function checkSequence(
  client: Executor,
  { sequence, tables, lifts }: { sequence: string; tables: readonly string[]; lifts: boolean },
): Promise<Problem[]> {
  const { rows } = await client.executeQuery<FoundSequence>(
    CompiledQuery.raw(FIND, [sequence, tables]) as CompiledQuery<FoundSequence>,
  );
  const { exists, cache, liftable, without } = rows[0]!;
  const where = 'incarnations';
  if (!exists) {
    const what = `the sequence ${sequence} is not in the database, from which they come.`;
    return [{ where, what, cure: 'Make the column id of the outbox a bigserial, as the schema generator does.' }];
  }
  const problems: Problem[] = [];
  if (cache !== 1) {
    problems.push({
      where,
      what: `each session takes ${cache} numbers of the sequence ${sequence} at a time, so that they do not grow.`,
      cure: `Run: alter sequence ${sequence} cache 1`,
    });
  }
  if (lifts && liftable !== true) {
    problems.push({
      where,
      what: `the relay may not keep the sequence ${sequence} ahead of the clock.`,
      cure: `Run: grant usage, update on sequence ${sequence} to the role of this service.`,
    });
  }
  for (const [role, names] of Map.groupBy(without ?? [], (one) => one.role)) {
    problems.push({
      where,
      what: `the role ${role} may insert into ${names.map(({ table }) => table).join(', ')} and not use the sequence ${sequence}: its INSERTs fail.`,
      cure: `Run: grant usage on sequence ${sequence} to ${role}`,
    });
  }
  return problems;
}

const FIND = `
  with given as (select to_regclass($1)::oid as sequence),
       inserting as (
         select distinct name as "table", a.grantee from unnest($2::text[]) as name
           join pg_class c on c.oid = to_regclass(name)
          cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
          where a.privilege_type = 'INSERT')
  select sequence is not null as exists,
         (select seqcache::int from pg_sequence where seqrelid = sequence) as cache,
         has_sequence_privilege(sequence, 'update') as liftable,
         (select json_agg(json_build_object('table', "table", 'role', case when grantee = 0 then 'public' else grantee::regrole::text end)
                          order by grantee, "table")
            from inserting
           where sequence is not null
             and not case when grantee = 0 then has_sequence_privilege('public', sequence, 'usage')
                          else has_sequence_privilege(grantee, sequence, 'usage') end) as without
    from given`;
