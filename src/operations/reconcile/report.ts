import type { Version } from '../../wire/payload.js';
import type { WireValue } from '../../wire/values.js';
import type { Difference } from './row-verdict.js';

export interface ReconcileProgress {
  readonly phase: 'comparing' | 'listing' | 'waiting' | 'repairing';
  /** Rows. */
  readonly done: number;
  readonly total: number;
}

export interface ReconcileReport {
  readonly cqrsId: string;
  readonly queue: string;
  /** The fields whose content was compared; null: none, only versions. */
  readonly fields: readonly string[] | null;
  /** Fields that are sent and were not compared, since the replica does not have them. */
  readonly fieldsLeftOut: readonly string[];
  readonly masterRows: number;
  readonly replicaRows: number;
  readonly missing: number;
  readonly extra: number;
  readonly stale: number;
  readonly damaged: number;
  readonly ahead: number;
  /** Rows that seemed different at first, and were in flight. */
  readonly unsettled: number;
  /** Rows of the master that were not compared, since they were changed within the settle time. */
  readonly changedLately: number;
  /** Differences that were repaired, as the replica itself has said. */
  readonly repaired: number;
  /** Differences that are still there although they were sent. */
  readonly unrepaired: number;
  /**
   * Why the replica does not store them as they are, as it says itself, and how many: `suppressed`, `lossy-value`, or what
   * would make a dead letter. Of others it is not known: they may come yet.
   */
  readonly reasons: Readonly<Record<string, number>>;
  /** Rows whose serializer failed. */
  readonly failed: number;
  /** Some of the differences. */
  readonly sample: readonly ReconciledRow[];
  readonly traffic: {
    /** Questions and as many answers. */
    readonly questions: number;
    readonly questionBytes: number;
    readonly repairs: number;
    readonly repairBytes: number;
  };
  readonly durationMs: number;
  /** Whether it was stopped before the end. */
  readonly stopped: boolean;
}

export interface ReconciledRow {
  readonly key: WireValue;
  readonly difference: Difference;
  /** What the master has of it; null: no such row. */
  readonly master: Version | null;
  /** What the replica had of it, before anything was repaired. */
  readonly replica: Version | null;
  /** The fields whose content differs, of those that were compared; null: not known. */
  readonly fields: readonly string[] | null;
  readonly outcome: 'repaired' | 'unrepaired' | 'reported';
  /** Why it could not be repaired, where the replica has said so. */
  readonly reason?: string | undefined;
}
