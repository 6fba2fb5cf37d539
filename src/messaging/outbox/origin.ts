import { CompiledQuery } from 'kysely';
import type { Executor } from './outbox.js';

/**
 * Names the database whose outbox this is, so that replicas notice when two write under one CQRS_ID. It stays the same
 * through restarts and a fail-over to a standby; a copy that was restored elsewhere has another. Nothing is stored.
 * @returns null where the database does not tell who it is.
 */
export async function readOrigin(client: Executor, outbox: string): Promise<string | null> {
  try {
    const { rows } = await client.executeQuery<{ origin: string | null }>(
      CompiledQuery.raw(
        `select left(md5(concat_ws('/', c.system_identifier, d.oid, to_regclass($1)::oid)), 16) as origin
           from pg_control_system() as c, pg_database as d
          where d.datname = current_database()`,
        [outbox],
      ) as CompiledQuery<{ origin: string | null }>,
    );
    return rows[0]?.origin ?? null;
  } catch (error) {
    if (MAY_NOT.has(String(Reflect.get(error as object, 'code')))) return null;
    throw error;
  }
}

/** No right to ask, no such function, not supported, no such file: a database that keeps it to itself. */
const MAY_NOT = new Set(['42501', '42883', '0A000', '58P01']);
