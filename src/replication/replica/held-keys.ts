import type { LockId } from './key-locks.js';
import type { SqlSession } from './rows/sql-session.js';

/** Who keeps keys for too long: a connection of a worker that stands still, or whose hook does not return. */
export interface Holder {
  /** Of the PostgreSQL process, for `pg_stat_activity`. */
  readonly pid: number;
  readonly application: string;
  readonly address: string;
  /** What PostgreSQL says of it: `idle in transaction`, `active`, …; empty where it may not be known. */
  readonly state: string;
  /** Since its transaction began. */
  readonly seconds: number;
}

/** Which of these locks others have held for longer than the wait for keys, and who they are. */
export async function findHolders(
  session: SqlSession,
  locks: readonly LockId[],
  waitMs: number,
): Promise<{ readonly held: ReadonlySet<string>; readonly holders: readonly Holder[] }> {
  const rows = await session.run({
    text: `select l.classid::bigint::text as kind, l.objid::bigint::text as id, l.pid::text as pid,
        coalesce(a.application_name, '') as application, coalesce(host(a.client_addr), '') as address,
        coalesce(a.state, '') as state, coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::int::text as seconds
      from pg_locks l left join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.pid <> pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())
        and (l.classid::bigint, l.objid::bigint) in (
          select u.kind & 4294967295, u.id & 4294967295 from unnest($1::bigint[], $2::bigint[]) as u(kind, id))
        and coalesce(a.xact_start < clock_timestamp() - ($3::text || ' milliseconds')::interval, true)`,
    parameters: [locks.map(({ kind }) => kind), locks.map(({ id }) => id), String(waitMs)],
  });
  const holders = new Map<string, Holder>();
  for (const { pid, application, address, state, seconds } of rows) {
    holders.set(pid!, {
      pid: Number(pid),
      application: application!,
      address: address!,
      state: state!,
      seconds: Number(seconds),
    });
  }
  return { held: new Set(rows.map(({ kind, id }) => `${kind}.${id}`)), holders: [...holders.values()] };
}

/** A lock as `findHolders` names it. */
export function lockName({ kind, id }: LockId): string {
  return `${kind >>> 0}.${id >>> 0}`;
}

/** The keys of a message are held by another worker for too long; it is put aside so that others go on. */
export class KeysHeldError extends Error {
  override readonly name = 'KeysHeldError';
  readonly code = 'keys-held';
}
