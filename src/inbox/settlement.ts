import { describeError } from '../core/describe-error.js';
import { InvalidPayloadError } from '../core/errors.js';
import type { Events } from '../core/events.js';
import type { Delivery } from '../transport/transport.js';
import type { Verdict } from './failure-policy.js';
import type { Outcome } from './handler.js';
import { fieldsOf, type Message, reissueAsDeadLetter, type Reissue, reissueForRetry } from './message.js';

/** One end of one delivery: what the broker is told, and what is said once it has taken note. */
export interface Settlement {
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

  settle(): Promise<void> {
    return this.delivery.unreadable(this.#reason);
  }

  report(): void {
    const bytes = this.delivery.body.byteLength;
    this.inbox.events.emit('cqrs.inbox.unreadable', { queue: this.inbox.queue, reason: this.#reason, bytes });
  }
}

/** What a message that took the straight road has needed. Retries and targeted SYNCs are old for other reasons. */
export function lagOf({ committedAt, direct }: Message, now: number): number | null {
  return committedAt === null || direct ? null : Math.max(0, now - committedAt.getTime());
}
