import { unreadableQueueOf } from '../kernel/queue-names.js';
import { raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { NO_ACTIVITY } from '../activity/read-activity.js';
import { describeError } from '../kernel/describe-error.js';
import type { Cqrs } from '../cqrs.js';
import { isOutOfTime, isTransient } from '../messaging/inbox/faults.js';
import type { ReplicaDefinition } from '../replication/replica/definition/replica-definition.js';
import type { QueueStatus, ReplicaStatus, Status } from './service-status.js';
import { decideService } from './service-health.js';

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
    ['unreadable', unreadableQueueOf(queue)],
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
