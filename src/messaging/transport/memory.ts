import { AsyncResource } from 'node:async_hooks';
import { ConfigurationError, TransportError } from '../../kernel/errors.js';
import { Header } from '../headers.js';
import { MemoryDeadLetters } from './memory-dead-letters.js';
import { MemoryConsumer, MemoryQueue, type MessageContent, type StoredMessage } from './memory-queue.js';
import { type MemoryAnswerer, MemoryQuestions } from './memory-questions.js';
import type {
  AskOptions,
  ConsumeOptions,
  DeadLetterOptions,
  DeadLetters,
  Delivery,
  OutgoingMessage,
  PublishResult,
  QueueState,
  Respond,
  Subscription,
  Transport,
  TransportContext,
} from './transport.js';

/**
 * A broker inside this process: for first steps, demos and tests. It keeps the whole contract of `Transport`, but
 * "durable" means as long as the `MemoryBroker` lives.
 *
 *   const broker = new MemoryBroker();
 *   new Cqrs({ transport: new MemoryTransport(broker), … });   // the master service
 *   new Cqrs({ transport: new MemoryTransport(broker), … });   // the replica service
 *
 * The broker owns exchanges, queues and waiting messages; a transport is one participant's connection to it. Closing a
 * transport gives back what that participant held and leaves everything else as it is.
 */
export class MemoryBroker {
  readonly #exchanges = new Map<string, Map<string, Set<MemoryQueue>>>();
  readonly #queues = new Map<string, MemoryQueue>();
  readonly #waiting = new Set<NodeJS.Timeout>();
  /** @internal */
  readonly questions = new MemoryQuestions();
  #participants = 0;

  /** @internal */
  join(): void {
    this.#participants++;
    for (const timer of this.#waiting) timer.ref();
  }

  /** @internal Without participants a waiting message keeps no process alive, as with a broker elsewhere. */
  leave(): void {
    this.#participants--;
    if (this.#participants === 0) for (const timer of this.#waiting) timer.unref();
  }

  /** @internal The queues bound for a routing key. */
  route(exchange: string, key: string): ReadonlySet<MemoryQueue> {
    return this.#exchanges.get(exchange)?.get(key) ?? NO_QUEUES;
  }

  /** @internal Answers false when the queue was bound already. */
  bind(exchange: string, key: string, queue: MemoryQueue): boolean {
    const keys = getOrMake(this.#exchanges, exchange, () => new Map<string, Set<MemoryQueue>>());
    const queues = getOrMake(keys, key, () => new Set<MemoryQueue>());
    return queues.size < queues.add(queue).size;
  }

  /** @internal */
  find(name: string): MemoryQueue | undefined {
    return this.#queues.get(name);
  }

  /** @internal */
  declare(name: string): MemoryQueue {
    return getOrMake(this.#queues, name, () => new MemoryQueue());
  }

  /** @internal Answers false when there is none. */
  remove(name: string): boolean {
    const queue = this.#queues.get(name);
    if (!queue) return false;
    for (const keys of this.#exchanges.values()) for (const queues of keys.values()) queues.delete(queue);
    return this.#queues.delete(name);
  }

  /** @internal */
  putAfter(delayMs: number, queue: MemoryQueue, message: MessageContent): void {
    if (delayMs <= 0) return queue.put(message);
    const timer = setTimeout(
      () => {
        this.#waiting.delete(timer);
        queue.put(message);
      },
      Math.min(delayMs, MAX_TIMER_MS),
    );
    if (this.#participants === 0) timer.unref();
    this.#waiting.add(timer);
  }
}

/**
 * One participant's connection to a `MemoryBroker`; without one it has a broker of its own. Each `Cqrs` needs its own
 * transport. Lasting as long as the process, not longer: use RabbitMQ where messages must survive it.
 */
export class MemoryTransport implements Transport {
  #context?: TransportContext;
  readonly #consumers = new Set<MemoryConsumer>();
  readonly #answerers = new Set<MemoryAnswerer>();
  readonly #closed = new Set<AbortController>();

  constructor(private readonly broker: MemoryBroker = new MemoryBroker()) {}

  async connect(context: TransportContext): Promise<void> {
    if (this.#context) return requireSameOwner(this.#context, context);
    this.#context = context;
    this.broker.join();
    context.events.emit('cqrs.transport.connected', { broker: BROKER_NAME });
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
    const exchange = this.#context?.exchange;
    return messages.map((message) =>
      exchange === undefined ? { failed: notConnected() } : this.#publishOne(exchange, message),
    );
  }

  async consume(options: ConsumeOptions, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    const { exchange, events } = this.#connected();
    const existed = this.broker.find(options.queue) !== undefined;
    const queue = this.broker.declare(options.queue);
    const deadLetters = this.broker.declare(options.deadLetterQueue);
    const unreadable = this.broker.declare(options.unreadableQueue);
    const newlyBound = options.cqrsIds.filter((cqrsId) => {
      const broadcast = this.broker.bind(exchange, cqrsId, queue);
      const direct = this.broker.bind(exchange, directKey(options.queue, cqrsId), queue);
      this.broker.bind(exchange, directKey(options.deadLetterQueue, cqrsId), deadLetters);
      return broadcast || direct;
    });
    if (!existed) events.emit('cqrs.inbox.gap', { queue: options.queue, missing: 'queue', cqrsIds: options.cqrsIds });
    else if (newlyBound.length > 0)
      events.emit('cqrs.inbox.gap', { queue: options.queue, missing: 'binding', cqrsIds: newlyBound });

    const deliver = AsyncResource.bind(onDelivery);
    const consumer: MemoryConsumer = new MemoryConsumer(queue, options.prefetch, (message) =>
      deliver(
        new MemoryDelivery(message, consumer, this.broker, {
          queue,
          deadLetters,
          unreadable,
          deadLetterTtlMs: options.deadLetterTtlMs,
        }),
      ),
    );
    this.#consumers.add(consumer);
    queue.addConsumer(consumer);
    return {
      cancel: async () => queue.removeConsumer(consumer),
    };
  }

  async ask(queue: string, question: string, { timeoutMs, signal }: AskOptions): Promise<Uint8Array> {
    this.#connected();
    const closed = new AbortController();
    this.#closed.add(closed);
    const late = AbortSignal.timeout(timeoutMs);
    const given = AbortSignal.any([late, closed.signal, ...(signal ? [signal] : [])]);
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(new Error(late.aborted ? `took longer than ${timeoutMs} ms` : 'was given up'));
    given.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      return await Promise.race([this.broker.questions.ask(queue, encode(question)), givenUp]);
    } catch (error) {
      const why = error instanceof Error ? error.message : 'was given up';
      throw new TransportError(`The question to '${queue}': ${why}`, { broker: BROKER_NAME }, { cause: error });
    } finally {
      given.removeEventListener('abort', giveUp);
      this.#closed.delete(closed);
    }
  }

  async answer(queue: string, respond: Respond): Promise<Subscription> {
    this.#connected();
    // As on every other broker: who sends or asks is in the middle of something, a transaction maybe, that is none of theirs.
    const answerer = this.broker.questions.join(queue, AsyncResource.bind(respond));
    this.#answerers.add(answerer);
    return { cancel: () => answerer.cancel() };
  }

  async inspect(name: string): Promise<QueueState | undefined> {
    this.#connected();
    return this.broker.find(name)?.state();
  }

  async removeQueue(name: string): Promise<boolean> {
    this.#connected();
    return this.broker.remove(name);
  }

  async openDeadLetters({ queue, deadLetterQueue }: DeadLetterOptions): Promise<DeadLetters | undefined> {
    this.#connected();
    const deadLetters = this.broker.find(deadLetterQueue);
    return deadLetters && new MemoryDeadLetters(deadLetters, (content) => this.#queue(queue).put(content));
  }

  async close(): Promise<void> {
    const context = this.#context;
    if (!context) return;
    this.#context = undefined;
    for (const consumer of this.#consumers) consumer.close();
    this.#consumers.clear();
    for (const answerer of this.#answerers) answerer.close();
    this.#answerers.clear();
    for (const asking of this.#closed) asking.abort();
    this.broker.leave();
    context.events.emit('cqrs.transport.disconnected', { broker: BROKER_NAME });
  }

  #publishOne(exchange: string, { route, body, headers = {} }: OutgoingMessage): PublishResult {
    const key = route.queue === null ? route.cqrsId : directKey(route.queue, route.cqrsId);
    const queues = this.broker.route(exchange, key);
    if (queues.size === 0) return 'unroutable';
    const content: MessageContent = {
      body: encode(body),
      headers,
      cqrsId: route.cqrsId,
      direct: route.queue !== null,
      expiresAt: null,
    };
    for (const queue of queues) queue.put(content);
    return 'confirmed';
  }

  #queue(name: string): MemoryQueue {
    const queue = this.broker.find(name);
    if (queue) return queue;
    throw new TransportError(`The memory transport has no queue '${name}'`, { broker: BROKER_NAME });
  }

  #connected(): TransportContext {
    if (this.#context) return this.#context;
    throw notConnected();
  }
}

const BROKER_NAME = 'memory';
const MAX_TIMER_MS = 2 ** 31 - 1;
const NO_QUEUES: ReadonlySet<MemoryQueue> = new Set();

class MemoryDelivery implements Delivery {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly cqrsId: string | null;
  readonly direct: boolean;
  readonly redelivered: boolean;

  constructor(
    private readonly message: StoredMessage,
    private readonly consumer: MemoryConsumer,
    private readonly broker: MemoryBroker,
    private readonly ways: {
      readonly queue: MemoryQueue;
      readonly deadLetters: MemoryQueue;
      readonly unreadable: MemoryQueue;
      readonly deadLetterTtlMs: number | null;
    },
  ) {
    this.body = message.body;
    this.headers = message.headers;
    this.cqrsId = message.cqrsId;
    this.direct = message.direct;
    this.redelivered = message.redelivered;
  }

  async ack(): Promise<void> {
    this.consumer.letGo(this.message);
  }

  async retry(body: string, delayMs: number, headers: OutgoingMessage['headers'] = {}): Promise<void> {
    if (this.consumer.letGo(this.message))
      this.broker.putAfter(delayMs, this.ways.queue, this.#reissue(body, headers, null));
  }

  async deadLetter(body: string, headers: OutgoingMessage['headers'] = {}): Promise<void> {
    if (!this.consumer.letGo(this.message)) return;
    const { deadLetters, deadLetterTtlMs } = this.ways;
    deadLetters.put(this.#reissue(body, headers, deadLetterTtlMs === null ? null : Date.now() + deadLetterTtlMs));
  }

  async unreadable(reason: string): Promise<void> {
    if (!this.consumer.letGo(this.message)) return;
    this.ways.unreadable.put({
      ...this.message,
      headers: { ...this.headers, [Header.reason]: reason },
      expiresAt: null,
    });
  }

  async putOff(delayMs: number): Promise<void> {
    const { body, headers, cqrsId } = this.message;
    if (this.consumer.letGo(this.message))
      this.broker.putAfter(delayMs, this.ways.queue, { body, headers, cqrsId, direct: true, expiresAt: null });
  }

  #reissue(body: string, headers: Readonly<Record<string, unknown>>, expiresAt: number | null): MessageContent {
    return { body: encode(body), headers, cqrsId: this.cqrsId, direct: true, expiresAt };
  }
}

function requireSameOwner(present: TransportContext, wanted: TransportContext): void {
  if (present.events === wanted.events && present.exchange === wanted.exchange) return;
  throw new ConfigurationError([
    {
      where: 'settings.transport',
      what: 'this MemoryTransport already belongs to another Cqrs.',
      cure: 'Give each Cqrs its own: new MemoryTransport(broker), with one MemoryBroker for all.',
    },
  ]);
}

function notConnected(): TransportError {
  return new TransportError('The memory transport is not connected', { broker: BROKER_NAME });
}

function directKey(queue: string, cqrsId: string): string {
  return `cqrs.${queue}.${cqrsId}`;
}

const encoder = new TextEncoder();

function encode(body: string): Uint8Array {
  return encoder.encode(body);
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
