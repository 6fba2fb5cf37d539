import { sqlState } from '../../kernel/describe-error.js';
import type { Events } from '../../kernel/events.js';
import type { Settings } from '../../kernel/settings.js';
import type { KeyLocks } from './key-locks.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';
import type { SqlSession } from './rows/sql-session.js';

/** What a statement ends with at `statement_timeout`. */
const QUERY_CANCELED = '57014';

/**
 * How long a transaction that writes replicas may stand still, and each of its statements may run. One that is not ours has
 * no such limits: they would outlive a savepoint of somebody else's.
 */
export class TimeLimits {
  /** For each statement; null for none. */
  readonly queryTimeoutMs: number | null;
  readonly #idleMs: { readonly hooks: number; readonly rows: number } | undefined;

  constructor(
    private readonly parts: { readonly settings: Settings; readonly events: Events },
    ownTransaction: boolean,
  ) {
    const { replica, health } = parts.settings;
    this.queryTimeoutMs = ownTransaction ? replica.queryTimeoutMs : null;
    const hooks = health.stuckSeconds * 1_000;
    this.#idleMs = ownTransaction ? { hooks, rows: Math.min(hooks, replica.silentWorkerSeconds * 1_000) } : undefined;
  }

  /** Locks the keys, and sets the limits, with the next statement. @param how.steady, how.waitMs as for `OwnTransaction` */
  async lock(
    session: SqlSession,
    locks: KeyLocks,
    { steady, waitMs }: { readonly steady: boolean; readonly waitMs?: number | undefined },
  ): Promise<void> {
    // Hooks may take their time between two statements.
    const idleMs = this.#idleMs?.[steady ? 'rows' : 'hooks'];
    await session.hold(locks.statement({ idleMs, steady, waitMs }));
    // Only now: whoever waits for another worker's keys is not slow.
    if (this.queryTimeoutMs) {
      await session.hold({ text: `set local statement_timeout = ${this.queryTimeoutMs}`, parameters: [] });
    }
  }

  /** Says so when work on an entity ended at the time limit. */
  async watch<T>(doing: string, { cqrsId }: ReplicaDefinition, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (this.queryTimeoutMs && sqlState(error) === QUERY_CANCELED) {
        const fields = { queue: this.parts.settings.queue ?? '', cqrsId, doing, timeoutMs: this.queryTimeoutMs };
        this.parts.events.emit('cqrs.replica.query-timed-out', fields);
      }
      throw error;
    }
  }
}
