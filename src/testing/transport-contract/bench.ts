import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Events } from '../../kernel/events.js';
import type {
  ConsumeOptions,
  Delivery,
  OutgoingMessage,
  QueueState,
  Subscription,
  Transport,
} from '../../messaging/transport/transport.js';

/** A named promise and how to see whether it is kept. */
export type Case = readonly [name: string, run: (bench: Bench) => Promise<void>];

/** What the author of a transport brings along; made once a case. */
export interface TransportHarness {
  /** Another participant, not yet connected, of the same broker. */
  transport(): Transport;
  /** Removes from the broker what the case made; called last, when all participants are closed. */
  cleanUp?(made: { readonly exchange: string; readonly queues: readonly string[] }): Promise<void>;
}

export const ID = 'billing.invoice';
export const OTHER_ID = 'billing.payment';
const DEADLINE_MS = 10_000;

/** The participants, names and inboxes of one case; everything ends with it. */
export class Bench {
  readonly #exchange = unique('exchange');
  readonly #queues: string[] = [];
  readonly #transports: Transport[] = [];

  constructor(private readonly harness: TransportHarness) {}

  queueName(): string {
    const name = unique('queue');
    this.#queues.push(name);
    return name;
  }

  async join({ connect = true } = {}): Promise<{ transport: Transport; events: Events }> {
    const transport = this.harness.transport();
    const events = new Events();
    this.#transports.push(transport);
    if (connect) await this.connect(transport, events);
    return { transport, events };
  }

  connect(transport: Transport, events: Events): Promise<void> {
    return transport.connect({ events, exchange: this.#exchange, publishTimeoutMs: DEADLINE_MS });
  }

  async consume(transport: Transport, given: Partial<ConsumeOptions> = {}): Promise<Inbox> {
    const options: ConsumeOptions = {
      queue: given.queue ?? this.queueName(),
      deadLetterQueue: this.queueName(),
      unreadableQueue: this.queueName(),
      cqrsIds: [ID],
      prefetch: 100,
      deadLetterTtlMs: null,
      ...given,
    };
    const inbox = new Inbox(options);
    inbox.subscription = await transport.consume(options, inbox.accept);
    return inbox;
  }

  /** Reads a queue without binding anything to it. */
  read(transport: Transport, queue: string): Promise<Inbox> {
    return this.consume(transport, { queue, cqrsIds: [] });
  }

  async confirmed(transport: Transport, ...messages: OutgoingMessage[]): Promise<void> {
    const results = await transport.publish(messages);
    assert.deepEqual(
      results,
      messages.map(() => 'confirmed'),
    );
  }

  async state(transport: Transport, queue: string): Promise<QueueState> {
    const state = await transport.inspect(queue);
    assert.ok(state, `the queue ${queue} should exist`);
    return state;
  }

  /** Looks until the queue is as expected: brokers count a moment after they have answered. */
  async eventually(transport: Transport, queue: string, expected: (state: QueueState) => boolean): Promise<void> {
    for (const deadline = Date.now() + DEADLINE_MS; ;) {
      const state = await this.state(transport, queue);
      if (expected(state)) return;
      if (Date.now() > deadline) assert.fail(`the queue never became as expected; last seen: ${JSON.stringify(state)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
    await this.harness.cleanUp?.({ exchange: this.#exchange, queues: this.#queues });
  }
}

/** Deliveries in the order they came, for whoever waits for them. */
export class Inbox {
  subscription!: Subscription;
  readonly #deliveries: Delivery[] = [];
  #arrived?: () => void;

  constructor(readonly options: ConsumeOptions) {}

  get queue(): string {
    return this.options.queue;
  }

  /** How many have come and were not taken. */
  get waiting(): number {
    return this.#deliveries.length;
  }

  readonly accept = (delivery: Delivery): void => {
    this.#deliveries.push(delivery);
    this.#arrived?.();
  };

  async take(count: number): Promise<Delivery[]> {
    const deadline = Date.now() + DEADLINE_MS;
    while (this.#deliveries.length < count) {
      if (Date.now() >= deadline) assert.fail(`expected ${count} deliveries, got ${this.#deliveries.length}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        this.#arrived = () => (clearTimeout(timer), resolve());
      });
    }
    return this.#deliveries.splice(0, count);
  }

  async next(): Promise<Delivery> {
    return (await this.take(1))[0]!;
  }

  async bodies(count: number): Promise<string[]> {
    return (await this.take(count)).map(text);
  }
}

export function message(
  body: string,
  { cqrsId = ID, queue = null }: { cqrsId?: string; queue?: string | null } = {},
): OutgoingMessage {
  return { route: { cqrsId, queue }, body };
}

export function text(delivery: Delivery): string {
  return new TextDecoder().decode(delivery.body);
}

function unique(kind: string): string {
  return `contract_${kind}_${randomBytes(5).toString('hex')}`;
}
