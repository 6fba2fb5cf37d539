import { raw } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { describeError } from '../core/describe-error.js';
import type { Definition } from '../core/registry.js';
import type { Cqrs } from '../cqrs.js';
import type { OutboxState } from '../outbox/outbox.js';
import type { QueueState } from '../transport/transport.js';

/** Where messages wait, and how far the replicas are. */
export interface Status {
  /** Null for a service without masters. */
  readonly outbox: OutboxState | null;
  readonly broker: {
    /** Why the broker could not be asked; then `queues` is empty. */
    readonly error: string | null;
  };
  /** The service's queue, its dead letters and its unreadable bodies; empty for a service without replicas. */
  readonly queues: readonly QueueStatus[];
  readonly replicas: readonly ReplicaStatus[];
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
  /** When the newest applied change was made on the master, as PostgreSQL prints it; null for an empty table. */
  readonly lastUpdated: string | null;
}

/**
 * Asks the database and the broker, changing nothing. Counts the rows of every replica: on large tables that takes as
 * long as reading them once.
 */
export async function readStatus(cqrs: Cqrs): Promise<Status> {
  const replicas: ReplicaStatus[] = [];
  for (const definition of cqrs.replicas) {
    if (definition.table) replicas.push(await readReplica(cqrs, definition));
  }
  replicas.sort((one, other) => one.cqrsId.localeCompare(other.cqrsId));
  const outbox = (await cqrs.outboxState()) ?? null;
  try {
    return { outbox, broker: { error: null }, queues: await readQueues(cqrs), replicas };
  } catch (error) {
    return { outbox, broker: { error: describeError(error) }, queues: [], replicas };
  }
}

async function readQueues(cqrs: Cqrs): Promise<QueueStatus[]> {
  const { queue, deadLetterQueue } = cqrs.settings;
  if (queue === null) return [];
  const names = [
    ['queue', queue],
    ['dead letters', deadLetterQueue ?? `dead_letter_${queue}`],
    ['unreadable', `unreadable_${queue}`],
  ] as const;
  await cqrs.connect();
  const queues: QueueStatus[] = [];
  for (const [role, name] of names) queues.push({ role, name, state: (await cqrs.transport.inspect(name)) ?? null });
  return queues;
}

async function readReplica({ orm }: Cqrs, { cqrsId, entity }: Definition): Promise<ReplicaStatus> {
  const em = orm.em.fork() as SqlEntityManager;
  const { rows, last } = await em
    .createQueryBuilder(entity as new () => object, 'replica')
    .select([raw('count(*)::text as "rows"'), raw('max(cqrs_updated)::text as "last"')])
    .execute<{ rows: string; last: string | null }>('get');
  return { cqrsId, rows: Number(rows), lastUpdated: last };
}
