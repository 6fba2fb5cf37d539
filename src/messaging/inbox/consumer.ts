import { deadLetterQueueOf, unreadableQueueOf } from '../../kernel/queue-names.js';
import { toError } from '../../kernel/describe-error.js';
import { ConfigurationError, MessageRefusedError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { failPoint } from '../../kernel/fail-points.js';
import { Heartbeat } from '../../kernel/heartbeat.js';
import { backoffMilliseconds, retrying } from '../../kernel/retrying.js';
import { pause, Service, unlessAborted } from '../../kernel/service.js';
import type { Settings } from '../../kernel/settings.js';
import type { Subscription, Transport } from '../transport/transport.js';
import { Answering, type AnsweringParts } from './answering.js';
import { decide, type Verdict } from './failure-policy.js';
import { isTransient, isUnanswered } from './faults.js';
import type { Handler, Outcome } from './handler.js';
import { inParts } from './in-parts.js';
import { Mailbox } from './mailbox.js';
import { type Message, open, type Opened } from './message.js';
import { Origins } from './origins.js';
import {
  Applied,
  DeadLettered,
  type Inbox,
  lagOf,
  PutOff,
  Retried,
  type Settlement,
  Skipped,
  Unreadable,
} from './settlement.js';
import { supersededInVain } from './superseded.js';

export interface ConsumerParts extends Pick<AnsweringParts, 'answers'> {
  readonly transport: Pick<Transport, 'consume'> & Partial<Pick<Transport, 'answer'>>;
  /** Makes sure that the transport is connected; called before every attempt to consume. Default: it is. */
  readonly connect?: () => Promise<void>;
  /** At most one handler an id. */
  readonly handlers: readonly Handler[];
  readonly settings: Settings;
  readonly events: Events;
  /** The queue to consume; default `settings.queue`. */
  readonly queue?: string;
  /** The ids to bind the queue to; default all ids of the handlers. */
  readonly cqrsIds?: readonly string[];
  /** Default `settings.deadLetterQueue` for the service's own queue, `dead_letter_<queue>` for any other. */
  readonly deadLetterQueue?: string;
  /** Remembers which ids the queue is bound to, and answers those that it was not before. Default: nobody remembers. */
  readonly newlyBound?: (queue: string, cqrsIds: readonly string[]) => Promise<readonly string[]>;
  /** Tells whether it moves; default: one that nobody asks. */
  readonly heartbeat?: Heartbeat;
}

/** Each on another connection, since one that did not answer is given up. */
const UNANSWERED_ATTEMPTS = 3;
/** Between attempts that the database or the broker has failed. */
const WAITS = { base: 100, max: 10_000 };

/** A delivery that was read as soon as it came: while the handler waits for its database, there is time. */

/**
 * Takes messages from a queue, hands them to their handlers in batches, and gives every message its end.
 *
 *               ┌──────────────────────────────── next batch ◀───────────────────────────────┐
 *   subscribe ─▶ read ─▶ collect ─────────▶ apply ──────── outcomes ─────▶ settle ────────────┤
 *                  │         │ unreadable    │ ▲                            ack               │
 *                  │         │ unknown id    │ │ database away: wait,       retry (parked     │
 *                  │         ▼               │ └─ then the same batch again   in the broker)  │
 *                  │        settled          │                              dead letter       │
 *                  │                         └─ rejected: split in halves ─▶ apply each; one ─┘
 *                  ▼ stop                                                    alone: failure policy
 *                 end: the batch in hand is finished, the rest comes again elsewhere
 *
 * One batch is in work at a time, so that the messages of a key keep the order they came in. While it is, the next one
 * gathers; the broker holds back once `prefetch` deliveries are unsettled. Nothing is acknowledged before the handler
 * has answered, and nothing is parked or buried before the broker has confirmed it: a worker that dies anywhere here
 * leaves the message where it was.
 */
export class Consumer extends Service {
  readonly queue: string;
  readonly cqrsIds: readonly string[];
  readonly deadLetterQueue: string;
  /** Of the ids that are consumed. */
  readonly #handlers = new Map<string, Handler>();
  readonly #inbox: Inbox;
  readonly #mailbox: Mailbox<Opened>;
  readonly #origins: Origins;
  readonly #heartbeat: Heartbeat;
  #subscription: Subscription | undefined;
  #loop: Promise<void> = Promise.resolve();
  #telling: Promise<void> = Promise.resolve();
  /** How often the database has left the batch in hand, or a part of it, without an answer. */
  #unanswered = 0;
  readonly #answering: Answering;

  /** @throws ConfigurationError when no queue is named, or an id has no handler. */
  constructor(private readonly parts: ConsumerParts) {
    super();
    const { settings } = parts;
    const known = new Map(parts.handlers.flatMap((handler) => handler.cqrsIds.map((id) => [id, handler] as const)));
    this.queue = parts.queue ?? settings.queue ?? '';
    this.cqrsIds = parts.cqrsIds ?? [...known.keys()];
    this.#check([...known.keys()]);
    for (const id of this.cqrsIds) this.#handlers.set(id, known.get(id)!);
    this.#inbox = { queue: this.queue, events: parts.events };
    this.#origins = new Origins({ queue: this.queue, cqrsIds: this.cqrsIds, events: parts.events });
    this.deadLetterQueue = parts.deadLetterQueue ?? deadLetterQueueOf(settings, this.queue);
    this.#mailbox = new Mailbox({
      batchSize: Math.min(settings.replica.batchSize, settings.replica.prefetch),
      waitMs: settings.replica.batchWaitMs,
    });
    this.#heartbeat = parts.heartbeat ?? new Heartbeat(`worker of ${this.queue}`);
    this.#answering = new Answering({ ...parts, queue: this.queue, cqrsIds: this.cqrsIds });
  }

  #check(known: readonly string[]): void {
    const problems = this.cqrsIds
      .filter((id) => !known.includes(id))
      .map((id) => ({
        where: `CQRS_ID '${id}'`,
        what: 'nothing here handles it.',
        cure: `Declare a replica for it; known here: ${known.join(', ') || 'none'}.`,
      }));
    if (!this.queue) {
      problems.push({ where: 'settings.queue', what: 'a service that consumes needs a queue.', cure: 'Name one.' });
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  protected override async onStart(): Promise<void> {
    const { events } = this.parts;
    const told = new Set<string>();
    const off = events.on('cqrs.inbox.gap', ({ queue, cqrsIds }) => {
      if (queue === this.queue) for (const id of cqrsIds) told.add(id);
    });
    this.#subscription = await this.#subscribe().finally(off);
    if (this.#subscription === undefined) return;
    events.emit('cqrs.consumer.started', { queue: this.queue, cqrsIds: this.cqrsIds });
    this.#telling = this.#tellNewBindings(told);
    this.#loop = this.#run();
    await this.#answering.start();
  }

  protected override async onStop(): Promise<void> {
    await this.#subscription?.cancel().catch(() => {}); // a connection that is gone delivers nothing either
    await this.#loop;
    await this.#telling;
    await this.#answering.stop();
    if (this.#subscription) this.parts.events.emit('cqrs.consumer.stopped', { queue: this.queue });
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#heartbeat.rest();
      const opened = await this.#mailbox.take(this.signal);
      if (opened.length === 0) return;
      const messages = await this.#sort(opened);
      for (const [handler, batch] of this.#byHandler(messages)) {
        for (const part of inParts(handler, batch)) {
          if (this.signal.aborted) return;
          this.#unanswered = 0;
          await this.#apply(handler, part);
        }
      }
    }
  }

  /**
   * A binding that was missing on a queue that exists is made without a word: AMQP has no question for one. So the replica
   * remembers by itself. @param told the ids of which the transport has said so.
   */
  async #tellNewBindings(told: ReadonlySet<string>): Promise<void> {
    const { newlyBound, events } = this.parts;
    if (!newlyBound) return;
    // Failures are not told: the database is away, which the messages tell; they wait, too.
    const bound = await retrying(() => newlyBound(this.queue, this.cqrsIds), { signal: this.signal, base: 200 });
    const cqrsIds = bound?.filter((id) => !told.has(id)) ?? [];
    if (cqrsIds.length > 0) events.emit('cqrs.inbox.gap', { queue: this.queue, missing: 'binding', cqrsIds });
  }

  /** Subscribes as soon as the broker lets us; undefined when stopped before. */
  async #subscribe(): Promise<Subscription | undefined> {
    const { transport, connect, settings } = this.parts;
    const options = {
      queue: this.queue,
      deadLetterQueue: this.deadLetterQueue,
      unreadableQueue: unreadableQueueOf(this.queue),
      cqrsIds: this.cqrsIds,
      prefetch: settings.replica.prefetch,
      deadLetterTtlMs:
        settings.replica.deadLetterTtlSeconds === null ? null : settings.replica.deadLetterTtlSeconds * 1000,
    };
    const attempt = async (): Promise<Subscription> => {
      await connect?.();
      return transport.consume(options, (delivery) =>
        this.#mailbox.put(this.#origins.noticing(open(delivery, settings.maxPayloadBytes))),
      );
    };
    return retrying(
      async (failures) => {
        const subscription = await this.#attempt(() =>
          unlessAborted(attempt(), this.signal, (late) => void late.cancel().catch(() => {})),
        );
        this.#recovered(failures);
        return subscription;
      },
      {
        signal: this.signal,
        ...WAITS,
        onFailure: (error, retryInMs) => {
          if (error instanceof ConfigurationError) throw error;
          this.#failed(error, retryInMs);
        },
      },
    );
  }

  /** Gives what cannot be handled its end at once; answers with the rest, in the order it came. */
  async #sort(opened: readonly Opened[]): Promise<Message[]> {
    const readable: Message[] = [];
    const settlements: Settlement[] = [];
    for (const one of opened) {
      if (!('payload' in one)) settlements.push(new Unreadable(this.#inbox, one.delivery, one.unreadable));
      else if (this.#handlerOf(one)) readable.push(one);
      else settlements.push(this.#unknown(one));
    }
    await this.#settle(settlements);
    return readable;
  }

  async #apply(handler: Handler, batch: readonly Message[]): Promise<void> {
    const startedAt = performance.now();
    const answer = await this.#handle(handler, batch);
    if (answer === undefined) return;
    if (answer instanceof Error && batch.length > 1) return this.#split(handler, batch, answer);
    const outcomes: readonly Outcome[] = answer instanceof Error ? [{ kind: 'failed', error: answer }] : answer;

    const waiting = supersededInVain(batch, outcomes);
    const settlements: Settlement[] = [];
    batch.forEach((message, index) => {
      if (!waiting.has(message)) settlements.push(this.#settlementOf(message, outcomes[index]!));
    });
    await this.#settle(settlements);
    const applied = outcomes.filter((outcome) => outcome.kind === 'applied').length;
    if (applied > 0 || outcomes.some((outcome) => outcome.kind === 'skipped'))
      this.#reportBatch(batch, applied, startedAt);
    if (waiting.size > 0) await this.#apply(handler, [...waiting]);
  }

  /** The outcomes, or the error that is to be held against the batch; undefined when stopped while waiting. */
  async #handle(handler: Handler, batch: readonly Message[]): Promise<readonly Outcome[] | Error | undefined> {
    for (let failures = 0; ; failures++) {
      try {
        const outcomes = await this.#attempt(async () => {
          await failPoint(this.parts.events, 'inbox.after-receive');
          return handler.handle(batch);
        });
        this.#recovered(failures);
        if (outcomes.length === batch.length) return outcomes;
        return new Error(`The handler answered with ${outcomes.length} outcomes for ${batch.length} messages.`);
      } catch (error) {
        if (!isTransient(error) && !this.#mayBeUnanswered(error)) {
          this.#recovered(failures);
          return toError(error);
        }
        await this.#backOff(error, failures);
        if (this.signal.aborted) return undefined;
      }
    }
  }

  /** Whether to take the silence for the database's fault: a few times a batch, and no more for the halves of it. */
  #mayBeUnanswered(error: unknown): boolean {
    return isUnanswered(error) && ++this.#unanswered <= UNANSWERED_ATTEMPTS;
  }

  async #split(handler: Handler, batch: readonly Message[], error: Error): Promise<void> {
    this.parts.events.emit('cqrs.inbox.batch-split', { queue: this.queue, count: batch.length, error });
    const middle = Math.ceil(batch.length / 2);
    await this.#apply(handler, batch.slice(0, middle));
    await this.#apply(handler, batch.slice(middle));
  }

  /** Tells the broker all ends at once; what it does not take is offered again until it does, or we are stopped. */
  async #settle(settlements: readonly Settlement[]): Promise<void> {
    let unsettled = settlements;
    for (let failures = 0; unsettled.length > 0; failures++) {
      const attempts = unsettled.map((one) => one.settle());
      // Acknowledgements share one promise: waiting for it once a batch is enough.
      const refused = new Map<Promise<void>, unknown>();
      await this.#attempt(() =>
        Promise.all([...new Set(attempts)].map((attempt) => attempt.catch((error) => refused.set(attempt, error)))),
      );
      unsettled.forEach((one, index) => refused.has(attempts[index]!) || one.report());
      if (refused.size === 0) this.#recovered(failures);
      if (refused.size === 0 || this.signal.aborted) return;
      const left = unsettled.flatMap((one, index) => {
        const error = refused.get(attempts[index]!);
        return error === undefined ? [] : [{ one, error }];
      });
      unsettled = left.map(({ one, error }) => this.#putOff(one, error) ?? one);
      // Where the broker only refuses some ends it is there, and takes others at once.
      const other = left.find(({ one, error }) => this.#putOff(one, error) === undefined);
      if (other) await this.#backOff(other.error, failures);
    }
  }

  /** What becomes of a message whose end the broker does not take; undefined for another trouble. */
  #putOff({ leaves }: Settlement, error: unknown): Settlement | undefined {
    if (!leaves || !(error instanceof MessageRefusedError)) return undefined;
    return new PutOff(this.#inbox, leaves, error, this.parts.settings.replica.retryDelaySeconds * 1_000);
  }

  #settlementOf(message: Message, outcome: Outcome): Settlement {
    switch (outcome.kind) {
      case 'applied':
        return new Applied(this.#inbox, message, outcome);
      case 'skipped':
        return new Skipped(this.#inbox, message, outcome.reason);
      default:
        return this.#carryOut(message, this.#judge(message, outcome));
    }
  }

  #judge(message: Message, outcome: Extract<Outcome, { kind: 'failed' | 'dead-letter' }>): Verdict {
    const { payload, waitingSince } = message;
    const rules = this.#handlerOf(message)?.retryRules?.(payload.cqrsId);
    return decide({ payload, outcome, waitingSince, rules, settings: this.parts.settings.replica, now: new Date() });
  }

  #carryOut(message: Message, verdict: Verdict): Settlement {
    return verdict.kind === 'retry'
      ? new Retried(this.#inbox, message, verdict)
      : new DeadLettered(this.#inbox, message, verdict);
  }

  #unknown(message: Message): Settlement {
    const reason = 'unknown-cqrs-id';
    return this.parts.settings.replica.unknownCqrsId === 'discard'
      ? new Skipped(this.#inbox, message, reason)
      : this.#carryOut(message, { kind: 'dead-letter', reason });
  }

  #reportBatch(batch: readonly Message[], applied: number, startedAt: number): void {
    const now = Date.now();
    this.parts.events.emit('cqrs.inbox.batch-applied', {
      queue: this.queue,
      count: batch.length,
      applied,
      durationMs: Math.round(performance.now() - startedAt),
      lagMs: batch.reduce<number | null>((most, message) => {
        const lagMs = lagOf(message, now);
        return lagMs === null || (most !== null && most >= lagMs) ? most : lagMs;
      }, null),
    });
  }

  #byHandler(messages: readonly Message[]): Map<Handler, Message[]> {
    return Map.groupBy(messages, (message) => this.#handlerOf(message)!);
  }

  #handlerOf({ payload }: Message): Handler | undefined {
    return this.#handlers.get(payload.cqrsId);
  }

  /** One step of the loop. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    this.#heartbeat.beat();
    try {
      return await work();
    } finally {
      this.#heartbeat.rest();
    }
  }

  #recovered(failures: number): void {
    if (failures > 0) this.parts.events.emit('cqrs.inbox.recovered', { queue: this.queue, failures });
  }

  async #backOff(error: unknown, failures: number): Promise<void> {
    if (this.signal.aborted) return;
    const retryInMs = backoffMilliseconds(failures, WAITS);
    this.#failed(error, retryInMs);
    await pause(retryInMs, this.signal);
  }

  #failed(error: unknown, retryInMs: number): void {
    this.parts.events.emit('cqrs.inbox.failed', { queue: this.queue, error: toError(error), retryInMs });
  }
}
