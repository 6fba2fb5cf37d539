import { describeError } from '../../kernel/describe-error.js';
import { InvalidPayloadError, type MessageRefusedError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import type { Delivery } from '../transport/transport.js';
import type { Verdict } from './failure-policy.js';
import type { Outcome } from './handler.js';
import { fieldsOf, type Message, reissueAsDeadLetter, type Reissue, reissueForRetry } from './message.js';

/** One end of one delivery: what the broker is told, and what is said once it has taken note. */
export interface Settlement {
  /** What is put off when the broker does not take this end; undefined for one that is itself a wait. */
  readonly leaves?: Delivery;
  settle(): Promise<void>;
  report(): void;
}

/** Who gives messages their end. */
export interface Inbox {
  readonly queue: string;
  readonly events: Events;
}

export class Applied implements Settlement {
  constructor(
    private readonly inbox: Inbox,
    private readonly message: Message,
    private readonly outcome: Extract<Outcome, { kind: 'applied' }>,
  ) {}

  settle(): Promise<void> {
    return this.message.delivery.ack();
  }

  report(): void {
    const { message, inbox } = this;
    const { action, version } = this.outcome;
    inbox.events.emit('cqrs.inbox.applied', {
      ...fieldsOf(message, inbox.queue),
      action,
      version,
      lagMs: lagOf(message, Date.now()),
    });
  }
}

export class Skipped implements Settlement {
  constructor(
    private readonly inbox: Inbox,
    private readonly message: Message,
    private readonly reason: string,
  ) {}

  settle(): Promise<void> {
    return this.message.delivery.ack();
  }

  report(): void {
    const { message, inbox, reason } = this;
    inbox.events.emit('cqrs.inbox.skipped', { ...fieldsOf(message, inbox.queue), reason });
  }
}

export class Retried implements Settlement {
  readonly #reissue: Reissue;

  constructor(
    private readonly inbox: Inbox,
    private readonly message: Message,
    private readonly verdict: Extract<Verdict, { kind: 'retry' }>,
  ) {
    this.#reissue = reissueForRetry(message, verdict);
  }

  settle(): Promise<void> {
    const { body, headers } = this.#reissue;
    return this.message.delivery.retry(body, this.verdict.delayMs, headers);
  }

  report(): void {
    const { message, inbox } = this;
    const { reason, delayMs, error } = this.verdict;
    inbox.events.emit('cqrs.inbox.retried', { ...fieldsOf(message, inbox.queue), reason, delayMs, error });
  }
}

export class DeadLettered implements Settlement {
  readonly #reissue: Reissue;

  constructor(
    private readonly inbox: Inbox,
    private readonly message: Message,
    private readonly verdict: Extract<Verdict, { kind: 'dead-letter' }>,
  ) {
    this.#reissue = reissueAsDeadLetter(message, verdict, new Date());
  }

  get leaves(): Delivery {
    return this.message.delivery;
  }

  settle(): Promise<void> {
    const { body, headers } = this.#reissue;
    return this.message.delivery.deadLetter(body, headers);
  }

  report(): void {
    const { message, inbox } = this;
    const { reason, error } = this.verdict;
    inbox.events.emit('cqrs.inbox.dead-lettered', { ...fieldsOf(message, inbox.queue), reason, error });
  }
}

export class Unreadable implements Settlement {
  readonly #reason: string;

  constructor(
    private readonly inbox: Inbox,
    private readonly delivery: Delivery,
    error: unknown,
  ) {
    this.#reason = error instanceof InvalidPayloadError ? error.message : describeError(error);
  }

  get leaves(): Delivery {
    return this.delivery;
  }

  settle(): Promise<void> {
    return this.delivery.unreadable(this.#reason);
  }

  report(): void {
    const bytes = this.delivery.body.byteLength;
    this.inbox.events.emit('cqrs.inbox.unreadable', { queue: this.inbox.queue, reason: this.#reason, bytes });
  }
}

/** How long a message waits whose end is refused, in retry delays, and in any case. */
const PUT_OFF = { delays: 10, leastMs: 1_000, mostMs: 60_000 } as const;

/**
 * The broker does not take what another end is to leave behind: a full queue of dead letters, say. Whoever held on to the
 * message would have to do so for as long, up to the broker's own limit; so it waits in the broker and comes back.
 */
export class PutOff implements Settlement {
  readonly #delayMs: number;

  constructor(
    private readonly inbox: Inbox,
    private readonly delivery: Delivery,
    private readonly error: MessageRefusedError,
    retryDelayMs: number,
  ) {
    this.#delayMs = Math.max(PUT_OFF.leastMs, Math.min(PUT_OFF.mostMs, PUT_OFF.delays * retryDelayMs));
  }

  settle(): Promise<void> {
    return this.delivery.putOff(this.#delayMs);
  }

  report(): void {
    const { queue, events } = this.inbox;
    const { cqrsId } = this.delivery;
    events.emit('cqrs.inbox.end-refused', { queue, cqrsId, error: this.error, retryInMs: this.#delayMs });
  }
}

/** What a message that took the straight road has needed. Retries and targeted SYNCs are old for other reasons. */
export function lagOf({ committedAt, direct }: Message, now: number): number | null {
  return committedAt === null || direct ? null : Math.max(0, now - committedAt.getTime());
}
