import type { QueueState } from './transport.js';

export interface MessageContent {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly cqrsId: string | null;
  readonly direct: boolean;
  readonly expiresAt: number | null;
}

export interface StoredMessage extends MessageContent {
  /** Grows with every message of the queue: what is given back finds its old place. */
  readonly position: number;
  redelivered: boolean;
}

/** One queue: what waits, in order, and who takes it in turn. Taking from the front costs the same at any length. */
export class MemoryQueue {
  #messages: StoredMessage[] = [];
  #front = 0;
  #lastPosition = 0;
  #consumers: MemoryConsumer[] = [];
  #turn = 0;
  #pumping = false;

  put(content: MessageContent): void {
    this.#messages.push({ ...content, position: ++this.#lastPosition, redelivered: false });
    this.pump();
  }

  giveBack(messages: Iterable<StoredMessage>): void {
    const given = [...messages];
    if (given.length === 0) return;
    for (const message of given) message.redelivered = true;
    this.#messages = [...given, ...this.#messages.slice(this.#front)].toSorted((a, b) => a.position - b.position);
    this.#front = 0;
    this.pump();
  }

  addConsumer(consumer: MemoryConsumer): void {
    this.#consumers.push(consumer);
    this.pump();
  }

  removeConsumer(consumer: MemoryConsumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
  }

  /** The next one, for who takes it by hand. */
  takeNext(): StoredMessage | undefined {
    return this.#take();
  }

  /** Drops what waits; answers how many. */
  purge(): number {
    const { messages } = this.state();
    this.#messages = [];
    this.#front = 0;
    return messages;
  }

  state(): QueueState {
    this.#dropExpired();
    return { messages: this.#messages.length - this.#front, consumers: this.#consumers.length };
  }

  /** Delivers on a later turn of the event loop, as a broker does: never from within the caller's own call. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      for (let consumer = this.#nextConsumer(); consumer; consumer = this.#nextConsumer()) {
        const message = this.#take();
        if (!message) return;
        consumer.deliver(message);
      }
    });
  }

  #nextConsumer(): MemoryConsumer | undefined {
    for (let step = 0; step < this.#consumers.length; step++) {
      const consumer = this.#consumers[this.#turn++ % this.#consumers.length]!;
      if (consumer.hasRoom) return consumer;
    }
    return undefined;
  }

  #take(): StoredMessage | undefined {
    this.#dropExpired();
    const message = this.#messages[this.#front];
    if (message) this.#advance();
    return message;
  }

  // Only the front is looked at: one queue's messages all have the same time to live.
  #dropExpired(): void {
    for (let first = this.#messages[this.#front]; first?.expiresAt != null; first = this.#messages[this.#front]) {
      if (first.expiresAt > Date.now()) return;
      this.#advance();
    }
  }

  #advance(): void {
    this.#front++;
    if (this.#front < 1_000 || this.#front * 2 < this.#messages.length) return;
    this.#messages = this.#messages.slice(this.#front);
    this.#front = 0;
  }
}

/**
 * One subscription and what it has in hand.
 *
 *   taking ──cancel──▶ settling only ──close──▶ closed (what was in hand is back in the queue)
 */
export class MemoryConsumer {
  readonly #inHand = new Set<StoredMessage>();

  constructor(
    private readonly queue: MemoryQueue,
    private readonly prefetch: number,
    private readonly onMessage: (message: StoredMessage) => void,
  ) {}

  get hasRoom(): boolean {
    return this.#inHand.size < this.prefetch;
  }

  deliver(message: StoredMessage): void {
    this.#inHand.add(message);
    this.onMessage(message);
  }

  /** Whether the message was still in hand; afterwards it is not. */
  letGo(message: StoredMessage): boolean {
    const wasInHand = this.#inHand.delete(message);
    if (wasInHand) this.queue.pump();
    return wasInHand;
  }

  close(): void {
    this.queue.removeConsumer(this);
    this.queue.giveBack(this.#inHand);
    this.#inHand.clear();
  }
}
