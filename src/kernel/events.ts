import { EventEmitter } from 'node:events';
import type { SignalType, Version } from '../wire/payload.js';

/**
 * The catalogue of everything that happens: `cqrs.<station>.<past tense>`, with its fields. Code emits, listeners
 * translate (log lines, metrics, the demo). Fields name ids, counts and reasons; never row data, never credentials.
 */
export interface CqrsEvents {
  /** Rows changed in a transaction that committed; their messages are in the outbox. */
  'cqrs.master.announced': {
    count: number;
    cqrsIds: readonly string[];
    /** How many of each id. */
    counts: Readonly<Record<string, number>>;
  };
  /**
   * A statement wrote a master past capture, or, said at start, something in the database does so by itself (a foreign key, a
   * trigger, a rule, a partition), or a pivot table does not travel.
   */
  'cqrs.master.uncaptured': { entity: string; reason: string; cure: string };
  /**
   * Said at start: a master sends other fields than when a process of its service last started. Rows that were written before lack
   * what was added, at replicas, until `cqrs reconcile` has run.
   */
  'cqrs.master.fields-changed': { cqrsId: string; added: readonly string[]; removed: readonly string[] };
  /**
   * No message could be made of a change that a trigger has captured: code of the application failed, or the row cannot
   * travel. Later changes of its row wait behind it, all others go on; it is tried again.
   */
  'cqrs.master.set-aside': { entity: string; instancePk: string; reason: string; error: Error; retryInMs: number };

  'cqrs.relay.started': { owner: string };
  'cqrs.relay.stopped': { owner: string };
  /** The broker has confirmed a batch. `lagMs`: age of its oldest message; `durationMs`: from the first look at the outbox on. */
  'cqrs.relay.published': { count: number; lagMs: number; durationMs: number };
  /** No queue is bound for these messages: no replica has started yet, or a targeted SYNC named a wrong queue. */
  'cqrs.relay.unroutable': { cqrsId: string; signalType: SignalType; queue: string | null; outboxId: string };
  /**
   * The broker does not take this message, in its own words; later ones of its row wait behind it, all others go on.
   * `passing`: the reason ends by itself. `retryInMs` null: it waits for an operator.
   */
  'cqrs.relay.refused': {
    cqrsId: string;
    signalType: SignalType;
    instancePk: string;
    queue: string | null;
    outboxId: string;
    bytes: number;
    reason: string;
    passing: boolean;
    retryInMs: number | null;
  };
  /** Messages of rows that have a refused one wait behind it. */
  'cqrs.relay.held': { count: number; cqrsIds: readonly string[] };
  /** An operator has let refused messages be tried again, or dropped them. */
  'cqrs.relay.resolved': { action: 'retry' | 'drop'; count: number; cqrsId: string | null };
  /** A batch could not be handed over; nothing is lost, it is tried again. */
  'cqrs.relay.failed': { error: Error; retryInMs: number };
  /** After failures it works again. */
  'cqrs.relay.recovered': { failures: number };
  /**
   * The database's clock is so far behind the incarnations that were given: it was set back, or another host has taken over
   * whose clock is behind. Incarnations go on from their sequence. Told once, and again when it has gone back further.
   */
  'cqrs.relay.clock-back': { behindMs: number };
  /**
   * The sequence of incarnations cannot be kept ahead of the clock: should that go back now, a key that is used again is
   * taken for older than its deletion. Tried every second; said once, until it works again.
   */
  'cqrs.relay.lift-failed': { error: Error };

  'cqrs.transport.connected': { broker: string };
  'cqrs.transport.disconnected': { broker: string; error?: Error };
  /** The broker holds publishers back (memory or disk alarm), or lets them go again. */
  'cqrs.transport.blocked': { broker: string; reason: string };
  'cqrs.transport.unblocked': { broker: string };

  'cqrs.consumer.started': { queue: string; cqrsIds: readonly string[] };
  'cqrs.consumer.stopped': { queue: string };
  /** The queue or a binding did not exist: messages sent before this moment never reached it. */
  'cqrs.inbox.gap': { queue: string; missing: 'queue' | 'binding'; cqrsIds: readonly string[] };
  /** `lagMs`: how long ago its change was committed; null for a retry or a targeted SYNC, or when its sender does not say. */
  'cqrs.inbox.applied': MessageFields & {
    action: 'create' | 'update' | 'delete';
    version: Version;
    lagMs: number | null;
  };
  /** The message was not needed; `reason` says which rule said so. */
  'cqrs.inbox.skipped': MessageFields & { reason: string };
  'cqrs.inbox.retried': MessageFields & { reason: string; delayMs: number; error?: Error };
  'cqrs.inbox.dead-lettered': MessageFields & { reason: string; error?: Error };
  /**
   * The broker will soon drop dead letters whose time is over. `count`: at most so many of those that lie there; the first
   * after `firstInSeconds`. By what the workers noted when they died, since nobody looks into the queue for it.
   */
  'cqrs.inbox.dead-letters-expiring': { queue: string; count: number; firstInSeconds: number };
  /**
   * Messages of one CQRS_ID come from another database than before: its master was moved or restored, or (from the second
   * change on) two services announce it. `changes`: how often, since the worker runs. Told at most once a minute then.
   */
  'cqrs.inbox.origin-changed': { queue: string; cqrsId: string; changes: number };
  /** A body that cannot be read: it has no id and went to the queue for unreadable messages. */
  'cqrs.inbox.unreadable': { queue: string; reason: string; bytes: number };
  /** The queue of dead letters or of unreadable bodies does not take a message; it waits in the broker and comes back. */
  'cqrs.inbox.end-refused': { queue: string; cqrsId: string | null; error: Error; retryInMs: number };
  /** A batch was applied and acknowledged. `lagMs`: the greatest lag of its messages, as in `cqrs.inbox.applied`. */
  'cqrs.inbox.batch-applied': {
    queue: string;
    count: number;
    applied: number;
    durationMs: number;
    lagMs: number | null;
  };
  /** A batch failed as a whole and is split to find the message that is to blame. */
  'cqrs.inbox.batch-split': { queue: string; count: number; error: Error };
  /** Nothing is wrong with the messages: the broker or the database is away. The same work is tried again. */
  'cqrs.inbox.failed': { queue: string; error: Error; retryInMs: number };
  /** After failures it works again. */
  'cqrs.inbox.recovered': { queue: string; failures: number };
  /** The broker lets nobody answer the questions of masters (`cqrs reconcile`); messages are not concerned. */
  'cqrs.inbox.questions-refused': { queue: string; error: Error; retryInMs: number };
  /** A sender's clock runs ahead; the revision alone decided. */
  'cqrs.replica.clock-distrusted': MessageFields & { aheadMs: number };
  /**
   * The order of a message cannot be known for certain. `tie`: two states of a row without incarnation have one revision.
   * `beyond-lock-wait`: it has a higher revision than the row, but is older by more than `replica.lockWaitSeconds`, and was
   * skipped as one of a former incarnation. `incarnation-behind`: it was committed after what is stored here and has a lower
   * incarnation, since its master was restored or its clock set back; it was skipped, too. `cqrs diff` tells whether the row
   * is right.
   */
  'cqrs.replica.order-doubted': MessageFields & {
    reason: 'tie' | 'beyond-lock-wait' | 'incarnation-behind';
    revision: number;
  };
  /** Something in a replica's declaration that will hurt one day, said once, at start; or in what its master sends, at the first message. */
  'cqrs.replica.warned': { where: string; what: string; cure: string };
  /**
   * A column has rounded or cut what a message brought, which was applied all the same; told once a column and process.
   * `cqrs reconcile` finds the rows. With `replica.lossyValues: 'dead-letter'` such messages are dead letters.
   */
  'cqrs.replica.lossy-value': { cqrsId: string; field: string; table: string; column: string; columnType: string };
  /** A statement took longer than `replica.queryTimeoutMs`; what it was doing, to which entity. The message is tried again. */
  'cqrs.replica.query-timed-out': { queue: string; cqrsId: string; doing: string; timeoutMs: number };
  /**
   * The keys of so many messages were held by another worker for longer than `replica.keyWaitSeconds`. They are tried again
   * later; the others of their batch go on. `holders` names the connections, as `pg_stat_activity` has them.
   */
  'cqrs.replica.keys-held': {
    queue: string;
    count: number;
    waitMs: number;
    holders: readonly {
      pid: number;
      application: string;
      address: string;
      state: string;
      /** Since its transaction began. */
      seconds: number;
    }[];
  };
  'cqrs.replica.tombstones-purged': { count: number };
  /** A master has asked about the rows here (`cqrs reconcile`); `refused` says why it got no answer. */
  'cqrs.replica.asked': { question: string; cqrsId: string; durationMs: number; refused: string | null };
  /** A master has compared its rows with those here, and repaired what it was to repair: what it found, as it told. */
  'cqrs.replica.compared': {
    cqrsId: string;
    /** False: chosen rows only. */
    whole: boolean;
    masterRows: number;
    replicaRows: number;
    missing: number;
    extra: number;
    stale: number;
    damaged: number;
    ahead: number;
    repaired: number;
  };
  /** A master has compared a replica with its rows, and repaired what it was to repair. */
  'cqrs.master.reconciled': {
    cqrsId: string;
    queue: string;
    missing: number;
    extra: number;
    stale: number;
    damaged: number;
    ahead: number;
    repaired: number;
    /** Whether the replica was told of it; false: it gave no answer, or the comparison was stopped. */
    told: boolean;
    durationMs: number;
  };

  /** A process could not leave word of itself in the database. The work goes on; said once, until it works again. */
  'cqrs.activity.failed': { error: Error; retryInMs: number };
  /** Somebody did something on the admin page, or a script through its API. */
  'cqrs.admin.acted': { user: string; action: string; cqrsId: string | null; queue: string | null; job: string | null };
  /** A request was turned away; `user` is null when nobody was recognised. */
  'cqrs.admin.refused': { user: string | null; reason: string };
  'cqrs.admin.job-ended': {
    job: string;
    action: string;
    cqrsId: string | null;
    user: string;
    state: string;
    counts: Readonly<Record<string, number>>;
    error: string | null;
  };
  /** A request could not be answered, through no fault of its sender. */
  'cqrs.admin.failed': { endpoint: string; error: Error };

  /** A worker process of `cqrs consume -w N` came or went. */
  'cqrs.worker.started': { worker: number; pid: number };
  /** A process was told to end, by a signal or by its supervisor; it finishes what is in hand. */
  'cqrs.worker.stopping': { reason: string };
  /** `--health-port`: the process answers probes on this port. */
  'cqrs.worker.probes-served': { port: number };
  /** `cqrs consume --reload`: the workers end and are started again. */
  'cqrs.worker.reloading': { reason: string };
  'cqrs.worker.exited': { worker: number; code: number | null; restartInMs: number | null };
}

/** What every event about one received message names. */
export interface MessageFields {
  queue: string;
  cqrsId: string;
  signalType: SignalType;
  instancePk: string;
  retries: number;
}

export type CqrsEventName = keyof CqrsEvents;

/** Typed emitter of one `Cqrs`. A listener that throws never disturbs the work: its error is thrown on a later tick. */
export class Events {
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  /** Subscribes; the answer unsubscribes. */
  on<N extends CqrsEventName>(name: N, listener: (fields: CqrsEvents[N]) => void): () => void {
    return this.#listen(name, listener);
  }

  /** Subscribes to every event of the catalogue, with its name; the answer unsubscribes. */
  onAny(listener: (name: CqrsEventName, fields: CqrsEvents[CqrsEventName]) => void): () => void {
    return this.#listen('*', listener);
  }

  /** Waits for the next event of that name, optionally one that matches; rejects when the signal is aborted. */
  next<N extends CqrsEventName>(
    name: N,
    { matching = () => true, signal }: { matching?: (fields: CqrsEvents[N]) => boolean; signal?: AbortSignal } = {},
  ): Promise<CqrsEvents[N]> {
    return new Promise((resolve, reject) => {
      const off = this.on(name, (fields) => {
        if (!matching(fields)) return;
        off();
        resolve(fields);
      });
      signal?.addEventListener('abort', () => (off(), reject(signal.reason)), { once: true });
    });
  }

  emit<N extends CqrsEventName>(name: N, fields: CqrsEvents[N]): void {
    this.#emitter.emit(name, fields);
    this.#emitter.emit('*', name, fields);
  }

  #listen<A extends unknown[]>(name: string, listener: (...args: A) => void): () => void {
    const guarded = (...args: A): void => {
      try {
        listener(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    };
    this.#emitter.on(name, guarded);
    return () => void this.#emitter.off(name, guarded);
  }
}
