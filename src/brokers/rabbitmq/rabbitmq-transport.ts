import { ConfigurationError, TransportError } from '../../kernel/errors.js';
import type {
  AskOptions,
  ConsumeOptions,
  DeadLetterOptions,
  DeadLetters,
  Delivery,
  OutgoingMessage,
  PublishResult,
  QueueExamination,
  QueueState,
  Respond,
  ServiceQueues,
  Subscription,
  Transport,
  TransportContext,
} from '../../messaging/transport/transport.js';
import { answering } from './answering.js';
import { Asker } from './asker.js';
import { BrokerConnection } from './broker-connection.js';
import { brokerError } from './broker-error.js';
import { ConfirmedPublisher } from './confirmed-publisher.js';
import { RabbitMQDeadLetters } from './dead-letters.js';
import { Deadline } from './deadline.js';
import { delivering } from './delivering.js';
import { messageProperties } from './message-properties.js';
import { findBindings, findQueueFacts } from './queue-facts.js';
import { judgeQueues } from './queue-policies.js';
import { parseRabbitMQOptions, type BrokerOptions, type RabbitMQOptions } from './options.js';
import { RabbitMQSubscription, type SubscriptionPlan } from './rabbitmq-subscription.js';
import { Settler } from './settler.js';
import { routingKey, Topology } from './topology.js';

/**
 * RabbitMQ, wire-compatible with django-cqrs: a Python service on the same exchange sends to us and receives from us.
 *
 * It publishes on one connection and consumes on another, opened by the first `consume`: a broker short of memory
 * stops reading from connections that publish, and acknowledgements must not wait behind them, or the queues that fill
 * the memory would never empty.
 */
export class RabbitMQTransport implements Transport {
  readonly #options: BrokerOptions;
  #session?: Session;

  /** @throws ConfigurationError listing every wrong option; it quotes no URL. */
  constructor(options: RabbitMQOptions = {}) {
    this.#options = parseRabbitMQOptions(options);
  }

  /** Where it connects to, without user and password: for start-up logs. */
  get brokers(): readonly string[] {
    return this.#options.addresses.map(({ name }) => name);
  }

  async connect(context: TransportContext): Promise<void> {
    if (this.#session) requireSameOwner(this.#session.context, context);
    const session = (this.#session ??= new Session(this.#options, context));
    try {
      await session.opened;
    } catch (error) {
      if (this.#session === session) this.#session = undefined;
      void session.close();
      throw error;
    }
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishResult[]> {
    if (!this.#session) return messages.map(() => ({ failed: this.#notConnected() }));
    return messages.length === 0 ? [] : this.#session.publish(messages);
  }

  async consume(options: ConsumeOptions, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.consume(options, onDelivery);
  }

  async ask(queue: string, question: string, options: AskOptions): Promise<Uint8Array> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.ask(queue, question, options);
  }

  async answer(queue: string, respond: Respond): Promise<Subscription> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.answer(queue, respond);
  }

  async inspect(queue: string): Promise<QueueState | undefined> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.inspect(queue);
  }

  async removeQueue(queue: string): Promise<boolean> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.removeQueue(queue);
  }

  async openDeadLetters(options: DeadLetterOptions): Promise<DeadLetters | undefined> {
    if (!this.#session) throw this.#notConnected();
    return this.#session.openDeadLetters(options);
  }

  async examineQueues(queues: ServiceQueues): Promise<QueueExamination> {
    const found = await findQueueFacts(this.#options, queues);
    if ('why' in found) return { findings: [], notExamined: found.why };
    return { findings: judgeQueues(found.queues, queues, found), notExamined: null };
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  #notConnected(): TransportError {
    const broker = this.brokers[0];
    return new TransportError(`Not connected to ${broker}`, { broker });
  }
}

/** Whoever looks wants to be told soon that the broker is away. */
const LOOK_MS = 5_000;

/** Everything between one `connect` and its `close`. */
class Session {
  readonly opened: Promise<void>;
  readonly #topology: Topology;
  readonly #publishing: BrokerConnection;
  readonly #publisher: ConfirmedPublisher;
  readonly #settler: Settler;
  readonly #asker: Asker;
  readonly #subscriptions = new Set<Promise<RabbitMQSubscription>>();
  #consuming?: { readonly connection: BrokerConnection; readonly opened: Promise<void> };
  #closed?: Promise<void>;

  constructor(
    private readonly options: BrokerOptions,
    readonly context: TransportContext,
  ) {
    const { exchange, events, publishTimeoutMs } = context;
    this.#topology = new Topology(exchange, options.queueType);
    this.#publishing = new BrokerConnection(options, events);
    this.#publisher = new ConfirmedPublisher(this.#publishing, () => this.#topology.ensureExchange(this.#publishing));
    this.#settler = new Settler({
      connection: this.#publishing,
      topology: this.#topology,
      dialect: options.dialect,
      timeoutMs: publishTimeoutMs,
    });
    this.#asker = new Asker(this.#publishing);
    this.opened = this.#open();
    this.opened.catch(() => {});
  }

  publish(messages: readonly OutgoingMessage[]): Promise<PublishResult[]> {
    const { dialect } = this.options;
    return this.#publisher.publish(
      messages.map(({ route, body, headers }) => ({
        exchange: this.#topology.exchange,
        routingKey: routingKey(route),
        body: Buffer.from(body),
        properties: messageProperties(dialect, { headers }),
      })),
      new Deadline(this.context.publishTimeoutMs),
    );
  }

  consume(options: ConsumeOptions, onDelivery: (delivery: Delivery) => void): Promise<Subscription> {
    const prefetch = Math.min(options.prefetch, this.options.prefetchLimit ?? options.prefetch);
    const { exchange, events } = this.context;
    const bindings = () => findBindings(this.options, { queue: options.queue, exchange });
    const parts = { topology: this.#topology, settler: this.#settler, events, prefetch, bindings };
    return this.#subscribe(delivering(options, onDelivery, parts));
  }

  ask(queue: string, question: string, options: AskOptions): Promise<Uint8Array> {
    return this.#asker.ask(queue, question, options);
  }

  answer(queue: string, respond: Respond): Promise<Subscription> {
    const timeoutMs = this.context.publishTimeoutMs;
    return this.#subscribe(
      answering(queue, respond, { topology: this.#topology, publisher: this.#publisher, timeoutMs }),
    );
  }

  async inspect(queue: string): Promise<QueueState | undefined> {
    const connection = this.#consuming?.connection ?? this.#publishing;
    const deadline = new Deadline(Math.min(this.context.publishTimeoutMs, LOOK_MS));
    const found = await deadline.cap(connection.findQueue(queue), connection.broker, `looking at queue '${queue}'`);
    return found && { messages: found.messageCount, consumers: found.consumerCount };
  }

  async removeQueue(queue: string): Promise<boolean> {
    const connection = this.#publishing;
    const deadline = new Deadline(this.context.publishTimeoutMs);
    return deadline.cap(connection.removeQueue(queue), connection.broker, `removing queue '${queue}'`);
  }

  async openDeadLetters(options: DeadLetterOptions): Promise<DeadLetters | undefined> {
    return RabbitMQDeadLetters.open(options, {
      connection: await this.#openConsuming(),
      settler: this.#settler,
      timeoutMs: this.context.publishTimeoutMs,
    });
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const consuming = this.#consuming;
    this.#publishing.end();
    consuming?.connection.end();
    await Promise.all([
      ...[...this.#subscriptions].map((starting) =>
        starting.then((subscription) => subscription.close()).catch(() => {}),
      ),
      this.#publisher.close(),
      this.#settler.close(),
      this.#asker.close(),
    ]);
    await Promise.all([this.#publishing.close(), consuming?.connection.close()]);
  }

  async #open(): Promise<void> {
    const { publishTimeoutMs } = this.context;
    await this.#publishing.open(publishTimeoutMs);
    // An exchange of the same name and another kind is found now, not by the first message.
    await this.#publisher.prepared(new Deadline(publishTimeoutMs));
  }

  #subscribe(plan: SubscriptionPlan): Promise<Subscription> {
    const starting = this.#openConsuming().then((connection) =>
      RabbitMQSubscription.start(plan, {
        connection,
        events: this.context.events,
        verifyMs: this.options.verifySeconds * 1_000,
      }),
    );
    this.#subscriptions.add(starting);
    starting.catch(() => this.#subscriptions.delete(starting));
    return starting;
  }

  async #openConsuming(): Promise<BrokerConnection> {
    if (!this.#consuming) {
      const connection = new BrokerConnection(this.options, this.context.events);
      this.#consuming = { connection, opened: connection.open(this.context.publishTimeoutMs) };
    }
    const consuming = this.#consuming;
    try {
      await consuming.opened;
      return consuming.connection;
    } catch (error) {
      if (this.#consuming === consuming) this.#consuming = undefined;
      throw brokerError(consuming.connection.broker, 'connecting', error);
    }
  }
}

function requireSameOwner(present: TransportContext, wanted: TransportContext): void {
  if (present.events === wanted.events && present.exchange === wanted.exchange) return;
  throw new ConfigurationError([
    {
      where: 'settings.transport',
      what: 'this RabbitMQTransport already belongs to another Cqrs.',
      cure: 'Give each Cqrs a transport of its own.',
    },
  ]);
}
