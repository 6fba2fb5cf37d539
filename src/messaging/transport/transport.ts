import type { Finding, MessageRefusedError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';

/**
 * What a broker has to do for us, on one screen. A transport moves bodies; it knows no entities and never reads a body.
 * Every implementation passes the suite in `testing/transport-contract.ts`; the comments here are its promises.
 *
 *   publish ──▶ [queue of each replica] ──▶ Delivery ──ack──▶ gone
 *                      ▲                      │ retry ──▶ waits in the broker ──▶ back to the same queue only
 *                      └──────────────────────┤ deadLetter ──▶ dead-letter queue, dropped after its time
 *                                             └ unreadable ──▶ queue for unreadable bodies
 */
export interface Transport {
  /** Connects and makes what publishers need. Rejects with a TransportError that names the broker, never its password. */
  connect(context: TransportContext): Promise<void>;

  /**
   * Hands messages to the broker in the given order, behind those of calls that still wait for their answer, and resolves
   * when it has answered for each: `confirmed` means that every queue bound for it has stored it durably. One result a
   * message, in the same order. Never rejects for a single message; after a `failed` the fate of that message is unknown
   * and it must be published again. `refused` is the broker's answer to that very message: the others are not concerned.
   * Some of the queues bound for a refused message may have taken it.
   */
  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]>;

  /**
   * Makes the queue, its dead-letter queue and all bindings, then delivers. At most `prefetch` deliveries are
   * unsettled at a time. After a lost connection it resumes by itself; unsettled deliveries come again and settling
   * the old ones does nothing. `onDelivery` is called outside of the sender's asynchronous context.
   */
  consume(options: ConsumeOptions, onDelivery: (delivery: Delivery) => void): Promise<Subscription>;

  /**
   * Puts a question to whoever answers for a queue and resolves with the answer. Rejects with a TransportError: at once
   * when nobody answers for that queue, else when the time is over or the connection is lost. Neither question nor
   * answer is stored for later, and no consumer of any queue ever meets one.
   */
  ask(queue: string, question: string, options: AskOptions): Promise<Uint8Array>;

  /**
   * Takes the questions that are put to a queue and sends back what `respond` makes of each. Several may answer for one
   * queue; each question goes to one of them at a time, and to another one if that is gone before it has answered. A
   * `respond` that rejects leaves its question without an answer. After a lost connection it resumes by itself. Like
   * `onDelivery` it is called outside of the asker's asynchronous context: a transaction that is open there is none of its.
   */
  answer(queue: string, respond: Respond): Promise<Subscription>;

  /** How many messages wait in a queue and how many consumers it has; undefined when there is no such queue. */
  inspect(queue: string): Promise<QueueState | undefined>;

  /** Removes a queue with all that is in it; false when there is none. */
  removeQueue(queue: string): Promise<boolean>;

  /** Opens dead letters for an operator to look through; undefined when there is no such queue. Makes nothing. */
  openDeadLetters(options: DeadLetterOptions): Promise<DeadLetters | undefined>;

  /**
   * Looks for what would make the broker drop messages of a service by itself: its arguments, policies, limits. Changes nothing,
   * needs no connection. A transport that has no such thing to look at has no such method.
   */
  examineQueues?(queues: ServiceQueues): Promise<QueueExamination>;

  /** Settles nothing: what is unsettled comes again elsewhere. May be called at any time, more than once. */
  close(): Promise<void>;
}

export interface TransportContext {
  readonly events: Events;
  /** Name of the exchange, or whatever the broker calls the place that messages are published to. */
  readonly exchange: string;
  /** How long one publish may take before it counts as failed. */
  readonly publishTimeoutMs: number;
}

/** To all replicas of `cqrsId` (`queue` null), or to one replica's queue. */
export interface Route {
  readonly cqrsId: string;
  readonly queue: string | null;
}

export interface OutgoingMessage {
  readonly route: Route;
  readonly body: string;
  /** Small extra facts (commit time, attempt); a Python replica that puts a message back drops them. */
  readonly headers?: Readonly<Record<string, string | number | boolean>>;
}

/** `unroutable`: the broker took it, but no queue is bound for it. */
export type PublishResult =
  | 'confirmed'
  | 'unroutable'
  | { readonly failed: Error }
  | { readonly refused: MessageRefusedError };

export interface ConsumeOptions {
  readonly queue: string;
  readonly deadLetterQueue: string;
  /** Takes bodies that cannot be read; Python never reads it. */
  readonly unreadableQueue: string;
  readonly cqrsIds: readonly string[];
  readonly prefetch: number;
  /** How long a dead letter is kept; null = for ever. */
  readonly deadLetterTtlMs: number | null;
}

/** The queues of one service. */
export type ServiceQueues = Pick<ConsumeOptions, 'queue' | 'deadLetterQueue' | 'unreadableQueue'>;

export interface QueueExamination {
  readonly findings: readonly Finding[];
  /** Why it could not be looked at from here; null when it was. */
  readonly notExamined: string | null;
}

export interface AskOptions {
  /** How long the answer may take. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type Respond = (question: Uint8Array) => Promise<string>;

export interface Subscription {
  /**
   * Stops deliveries. Those already handed out can still be settled until the transport is closed; questions in hand are
   * answered before it resolves.
   */
  cancel(): Promise<void>;
}

/**
 * One message in hand. What else its broker knows it by (its id, its type, its time) stays with it at each of the ends that
 * send it on. Exactly one of the five ends is called; each resolves when the broker has made it durable. One that
 * rejects was none: the message is still in hand. With a MessageRefusedError the queue that it was to go to does not take it.
 */
export interface Delivery {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  /** The id in the routing key, which survives a body that cannot be read; null when the key has another form. */
  readonly cqrsId: string | null;
  /** True when it was sent to this queue alone: a targeted SYNC, a retry, a dead letter put back. */
  readonly direct: boolean;
  /** True when the broker delivered it before and got no answer. */
  readonly redelivered: boolean;

  /** Applied, or not needed. */
  ack(): Promise<void>;
  /** Comes back to this queue alone, with this body, after the delay; the wait survives this process. */
  retry(body: string, delayMs: number, headers?: OutgoingMessage['headers']): Promise<void>;
  /** Goes to the dead-letter queue with this body. */
  deadLetter(body: string, headers?: OutgoingMessage['headers']): Promise<void>;
  /** Goes, as it came, to the queue for unreadable bodies. */
  unreadable(reason: string): Promise<void>;
  /** Comes back to this queue alone, as it came, after the delay; the wait survives this process. */
  putOff(delayMs: number): Promise<void>;
}

export interface QueueState {
  readonly messages: number;
  readonly consumers: number;
}

export interface DeadLetterOptions {
  readonly deadLetterQueue: string;
  /** The queue that letters are put back to. */
  readonly queue: string;
}

/**
 * Dead letters in an operator's hands. Others do not see what was taken until this is closed; then whatever was neither
 * put back nor purged is there again, its time to live running on, and in the same order where the broker can.
 */
export interface DeadLetters extends AsyncDisposable {
  /** How many there were when it was opened. */
  readonly count: number;
  /** The next ones, oldest first; fewer than `limit`, or none, at the end. Never waits for more to come. */
  take(limit: number): Promise<readonly DeadLetter[]>;
  /** Purges all that nobody has taken; answers how many. */
  purge(): Promise<number>;
}

/** One dead letter in hand. At most one of the two ends is called; it is there again when neither is. */
export interface DeadLetter {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  /** The id in the routing key; null when the key has another form. */
  readonly cqrsId: string | null;
  /** Set when the broker itself took it out of the queue, no worker: by which limit, and when if it says so. */
  readonly dropped?: { readonly reason: string; readonly at: Date | null } | undefined;
  /** Sends it to its queue with this body. It leaves the dead letters only once the broker has confirmed the copy. */
  putBack(body: string, headers?: OutgoingMessage['headers']): Promise<void>;
  /** Drops it for good. */
  purge(): Promise<void>;
}
