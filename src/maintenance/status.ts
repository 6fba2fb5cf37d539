import { raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { type Activity, NO_ACTIVITY } from '../activity/read-activity.js';
import type { Health } from '../activity/verdict.js';
import { describeError } from '../core/describe-error.js';
import type { Cqrs } from '../cqrs.js';
import { isOutOfTime, isTransient } from '../inbox/faults.js';
import type { OutboxState } from '../outbox/held-messages.js';
import type { ReplicaDefinition } from '../replica/replica-definition.js';
import type { QueueState } from '../transport/transport.js';
import { decideService } from './service-health.js';

/** Where messages wait, how far the replicas are, who runs, and whether all is well. */
export interface Status extends Health {
  readonly database: {
    /** Why the database could not be asked; then only the broker's part is known. */
    readonly error: string | null;
  };
  /** Null for a service without masters. */
  readonly outbox: OutboxState | null;
  readonly broker: {
    /** Why the broker could not be asked; then `queues` is empty. */
    readonly error: string | null;
  };
  /** The service's queue, its dead letters and its unreadable bodies; empty for a service without replicas. */
  readonly queues: readonly QueueStatus[];
  readonly replicas: readonly ReplicaStatus[];
  readonly activity: Activity;
}

export interface QueueStatus {
  readonly role: 'queue' | 'dead letters' | 'unreadable';
  readonly name: string;
  /** Null when it does not exist yet. */
  readonly state: QueueState | null;
}

export interface ReplicaStatus {
  readonly cqrsId: string;
  readonly rows: number;
  /** False for a large table, whose rows are those that PostgreSQL estimates. */
  readonly exact: boolean;
  /** When the newest applied change was made on the master, as PostgreSQL prints it; null for an empty or a large table. */
  readonly lastUpdated: string | null;
}

/** Asks the database and the broker, changing nothing; no question takes longer on large tables. */
export async function readStatus(cqrs: Cqrs): Promise<Status> {
  const [stored, brokered] = await Promise.all([readDatabase(cqrs), readBroker(cqrs)]);
  const known = { ...stored, ...brokered };
  return { ...decideService(known, known.activity, roleNeeds(cqrs), cqrs.settings.health), ...known };
}

/** What a service cannot do without, by what it declares. */
export function roleNeeds({ masters, replicas, settings }: Cqrs): { relay: boolean; worker: boolean } {
  return { relay: masters.size > 0, worker: replicas.size > 0 && settings.queue !== null };
}

async function readDatabase(cqrs: Cqrs): Promise<Pick<Status, 'database' | 'outbox' | 'replicas' | 'activity'>> {
  try {
    const replicas: ReplicaStatus[] = [];
    for (const definition of cqrs.replicas) {
      if (definition.table) replicas.push(await readReplica(cqrs, definition, definition.table.name));
    }
    replicas.sort((one, other) => one.cqrsId.localeCompare(other.cqrsId));
    const outbox = (await cqrs.outboxState()) ?? null;
    return { database: { error: null }, outbox, replicas, activity: await cqrs.activity() };
  } catch (error) {
    if (!isTransient(error) && !isOutOfTime(error)) throw error;
    const activity = { ...NO_ACTIVITY, now: new Date().toISOString() };
    return { database: { error: describeError(error) }, outbox: null, replicas: [], activity };
  }
}

async function readBroker(cqrs: Cqrs): Promise<Pick<Status, 'broker' | 'queues'>> {
  try {
    return { broker: { error: null }, queues: await readQueues(cqrs) };
  } catch (error) {
    return { broker: { error: describeError(error) }, queues: [] };
  }
}

async function readQueues(cqrs: Cqrs): Promise<QueueStatus[]> {
  const { queue } = cqrs.settings;
  await cqrs.connect();
  if (queue === null) return [];
  const names = [
    ['queue', queue],
    ['dead letters', cqrs.deadLetterQueueOf(queue)],
    ['unreadable', `unreadable_${queue}`],
  ] as const;
  const queues: QueueStatus[] = [];
  for (const [role, name] of names) queues.push({ role, name, state: (await cqrs.transport.inspect(name)) ?? null });
  return queues;
}

/** As many rows are counted one by one. */
const MOST_COUNTED = 100_000;

async function readReplica(
  { orm }: Cqrs,
  { cqrsId, entity }: ReplicaDefinition,
  table: string,
): Promise<ReplicaStatus> {
  const em = orm.em.fork() as SqlEntityManager;
  const some = em
    .createQueryBuilder(entity as new () => object, 'replica')
    .select([raw('cqrs_updated as "updated"')])
    .limit(MOST_COUNTED + 1)
    .getFormattedQuery();
  const [found] = await em.getConnection().execute<{ rows: string; last: string | null; estimate: number | null }[]>(
    `select count(*)::text as "rows", max(updated)::text as "last",
              (select greatest(reltuples, 0) from pg_class where oid = to_regclass(?)) as "estimate" from (${some}) as counted`,
    [table],
  );
  const { rows, last, estimate } = found!;
  const counted = Number(rows);
  if (counted <= MOST_COUNTED) return { cqrsId, rows: counted, exact: true, lastUpdated: last };
  return { cqrsId, rows: Math.max(counted, Math.round(estimate ?? 0)), exact: false, lastUpdated: null };
}
