import { once } from 'node:events';
import type { Socket } from 'node:net';
import { AmqpConnectionManagerClass as AmqpConnectionManager } from 'amqp-connection-manager';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { TransportError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { backoffMilliseconds } from '../../kernel/retrying.js';
import { brokerError, brokerText, connectionError, replyCode, withoutUser } from './broker-error.js';
import { Deadline } from './deadline.js';
import { gatherWrites } from './gathered-writes.js';
import type { BrokerAddress, BrokerOptions } from './options.js';

/**
 * One connection that comes back by itself.
 *
 *   new ──open──▶ opening ──▶ up ◀──lost, back-off──▶ down
 *                    │         └─ blocked ⇄ unblocked
 *                    └─ every host refused: closed
 *   any ──close──▶ closed
 *
 * amqp-connection-manager connects, reconnects and goes from host to host. Its channel wrapper is not used: that one
 * keeps messages while there is no connection and sends them later, behind the back of a relay that has given them up
 * and sends them in order again.
 */
export class BrokerConnection {
  readonly #manager: AmqpConnectionManager;
  readonly #addresses: ReadonlyMap<unknown, BrokerAddress>;
  #model?: ChannelModel;
  #address: BrokerAddress;
  #blocked = false;
  #ended = false;
  #closed?: Promise<void>;
  #changed = Promise.withResolvers<void>();

  constructor(
    private readonly options: BrokerOptions,
    private readonly events: Events,
  ) {
    const [first] = options.addresses;
    this.#address = first!;
    // The manager quotes a URL it cannot parse in its errors; parts leave it nothing to parse.
    const hosts = options.addresses.map(toConnectOptions);
    this.#addresses = new Map(hosts.map((host, index) => [host, options.addresses[index]!]));
    this.#manager = new AmqpConnectionManager(hosts, {
      heartbeatIntervalInSeconds: this.#address.heartbeat,
      connectionOptions: {
        ...options.tls,
        noDelay: true,
        keepAlive: true,
        timeout: options.connectTimeoutMs,
        clientProperties: { connection_name: options.connectionName },
      } as object,
    });
    this.#listen();
  }

  /** The host in use, or the last one tried; never with its user or password. */
  get broker(): string {
    return this.#address.name;
  }

  /** Rejects when every host has refused once, or after the time; the connection is then closed for good. */
  async open(timeoutMs: number): Promise<void> {
    const { promise: refused, reject } = Promise.withResolvers<never>();
    let failures = 0;
    this.#manager.reconnectTimeInSeconds = NEXT_HOST_MS / 1_000;
    const onFailed = ({ err }: { err: Error }): void => {
      if (++failures >= this.options.addresses.length) reject(connectionError(this.broker, err));
    };
    this.#manager.on('connectFailed', onFailed);
    try {
      // It keeps trying whatever becomes of this promise, which is why ours counts.
      this.#manager.connect().catch(() => {});
      await new Deadline(timeoutMs).cap(Promise.race([this.ready(), refused]), this.broker, 'connecting');
    } catch (error) {
      void this.close();
      throw error;
    } finally {
      this.#manager.off('connectFailed', onFailed);
      refused.catch(() => {});
    }
  }

  /** Resolves as soon as there is a connection that takes messages; rejects when it is closed. */
  async ready({ orBlocked = false } = {}): Promise<ChannelModel> {
    for (;;) {
      if (this.#ended) throw new TransportError(`The connection to ${this.broker} is closed`, { broker: this.broker });
      if (this.#model && (orBlocked || !this.#blocked)) return this.#model;
      await this.#changed.promise;
    }
  }

  /** Whether the queue is there. */
  findQueue(queue: string): Promise<{ messageCount: number; consumerCount: number } | undefined> {
    return this.#find(`queue '${queue}'`, (channel) => channel.checkQueue(queue));
  }

  /** Whether the exchange is there. */
  async hasExchange(exchange: string): Promise<boolean> {
    return (await this.#find(`exchange '${exchange}'`, (channel) => channel.checkExchange(exchange))) !== undefined;
  }

  /** Whether the broker takes a declaration, or has the queue with another dead-letter exchange. */
  async accepts(declare: (channel: Channel) => Promise<void>): Promise<boolean> {
    const model = await this.ready({ orBlocked: true });
    const channel = await openChannel(() => model.createChannel());
    try {
      await declare(channel);
      void closeChannel(channel);
      return true;
    } catch (error) {
      if (replyCode(error) === 406 && /inequivalent arg 'x-dead-letter-/.test(brokerText(error))) return false;
      throw error;
    }
  }

  /**
   * Makes something, or, where the user may not, makes sure that it is there: on channels of its own, since every "no" of the
   * broker closes one.
   * @returns whether it may be made
   */
  async ensure(declare: (channel: Channel) => Promise<unknown>, check: Check): Promise<boolean> {
    try {
      await this.#onOwnChannel(declare);
      return true;
    } catch (error) {
      if (replyCode(error) !== 403) throw error;
      await this.#onOwnChannel(check).catch(() => {
        throw error;
      });
      return false;
    }
  }

  /** Whether the user has the right to it; other refusals are not looked at. */
  async mayMake(declare: (channel: Channel) => Promise<unknown>): Promise<boolean> {
    return this.#onOwnChannel(declare).then(
      () => true,
      (error: unknown) => replyCode(error) !== 403,
    );
  }

  async #onOwnChannel(work: (channel: Channel) => Promise<unknown>): Promise<void> {
    const model = await this.ready({ orBlocked: true });
    const channel = await openChannel(() => model.createChannel());
    await work(channel);
    void closeChannel(channel);
  }

  /** @returns false when there is none */
  async removeQueue(queue: string): Promise<boolean> {
    if ((await this.findQueue(queue)) === undefined) return false;
    return (await this.#find(`queue '${queue}'`, (channel) => channel.deleteQueue(queue))) !== undefined;
  }

  /** Asks on a channel of its own, since the answer "no" closes it. */
  async #find<T>(what: string, ask: (channel: Channel) => Promise<T>): Promise<T | undefined> {
    const model = await this.ready({ orBlocked: true });
    try {
      const channel = await openChannel(() => model.createChannel());
      const found = await ask(channel);
      // Not waited for: the farewell of a channel whose connection is lost meanwhile is never answered.
      void closeChannel(channel);
      return found;
    } catch (error) {
      if (replyCode(error) === 404) return undefined;
      throw brokerError(this.broker, `looking at ${what}`, error);
    }
  }

  /** Whether it is closing or closed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Ends every wait for a connection; one that is there stays until `close`, so that work in hand can be finished. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const wasUp = this.#model !== undefined;
    this.#model = undefined;
    this.end();
    await new Deadline(GOODBYE_MS).cap(this.#manager.close(), this.broker, 'closing').catch(() => {});
    if (wasUp) this.events.emit('cqrs.transport.disconnected', { broker: this.broker });
  }

  #listen(): void {
    let failures = 0;
    this.#manager.on('connect', ({ connection, url }) => {
      failures = 0;
      this.#address = this.#addresses.get(url) ?? this.#address;
      if (this.#ended) return;
      this.#model = connection as unknown as ChannelModel;
      gatherWrites(socketOf(this.#model));
      this.#blocked = false;
      this.#manager.reconnectTimeInSeconds = NEXT_HOST_MS / 1_000;
      this.#notify();
      this.events.emit('cqrs.transport.connected', { broker: this.broker });
    });
    this.#manager.on('connectFailed', ({ url }) => {
      this.#address = this.#addresses.get(url) ?? this.#address;
      const rounds = Math.floor(++failures / this.options.addresses.length);
      // Once closed it waits only to find that out.
      const wait = this.#ended || rounds === 0 ? NEXT_HOST_MS : backoffMilliseconds(rounds - 1, RECONNECT);
      this.#manager.reconnectTimeInSeconds = wait / 1_000;
    });
    this.#manager.on('disconnect', ({ err }) => {
      if (this.#closed) return;
      this.#model = undefined;
      this.#notify();
      this.events.emit('cqrs.transport.disconnected', { broker: this.broker, error: err && withoutUser(err) });
    });
    this.#manager.on('blocked', ({ reason }) => {
      this.#blocked = true;
      this.events.emit('cqrs.transport.blocked', { broker: this.broker, reason });
    });
    this.#manager.on('unblocked', () => {
      this.#blocked = false;
      this.#notify();
      this.events.emit('cqrs.transport.unblocked', { broker: this.broker });
    });
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Fails unless what it asks for is there. */
type Check = (channel: Channel) => Promise<unknown>;

/** A channel that can be lost without harm: an `error` nobody listens to would end the process. */
export async function openChannel<C extends Channel | ConfirmChannel>(open: () => Promise<C>): Promise<C> {
  const channel = await open();
  channel.on('error', () => {});
  return channel;
}

/** Ends a channel after everything already written to it, which a connection that closes may overtake. */
export async function closeChannel(channel: Channel): Promise<void> {
  try {
    await new Deadline(GOODBYE_MS).cap(
      Promise.race([channel.close(), once(channel, 'close')]),
      'RabbitMQ',
      'closing a channel',
    );
  } catch {
    // It is closed already, or its connection is about to be.
  }
}

/** amqplib's types do not tell of it. */
function socketOf({ connection }: ChannelModel): Socket {
  return (connection as unknown as { readonly stream: Socket }).stream;
}

const NEXT_HOST_MS = 50;
/** How long the broker may take to say goodbye; a host that is gone never does. */
export const GOODBYE_MS = 3_000;
const RECONNECT = { base: 200, max: 30_000 };

function toConnectOptions(address: BrokerAddress): object {
  const { protocol, hostname, port, username, password, vhost, heartbeat } = address;
  // amqplib unescapes the vhost, which is right for a piece of a URL only.
  return { protocol, hostname, port, username, password, heartbeat, vhost: encodeURIComponent(vhost) };
}
