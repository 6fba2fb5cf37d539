import type { Activity } from '../activity/read-activity.js';
import type { Health } from '../activity/verdict.js';
import type { OutboxState } from '../messaging/outbox/held-messages.js';
import type { QueueState } from '../messaging/transport/transport.js';

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
