import type { Channel, ConfirmChannel } from 'amqplib';
import { MessageRefusedError, TransportError } from '../../kernel/errors.js';
import { Header } from '../../messaging/headers.js';
import type { ConsumeOptions, OutgoingMessage } from '../../messaging/transport/transport.js';
import type { BrokerConnection } from './broker-connection.js';
import { brokerText, replyCode } from './broker-error.js';
import { ConfirmedPublisher } from './confirmed-publisher.js';
import type { PublishedMessage } from './published-message.js';
import { Deadline } from './deadline.js';
import { type Identity, messageProperties, passedOn } from './message-properties.js';
import type { Dialect } from './options.js';
import { directKey, MAX_DELAY_MS, type Topology } from './topology.js';

/**
 * Puts consumed messages where they go next: back to the queue after a delay, to the dead letters, to the unreadable
 * ones. Each call resolves when the broker has confirmed, so that the original may be acknowledged; when it rejects,
 * the original is still the only one.
 *
 * It publishes beside the relay on a channel of its own: a declaration that the broker refuses closes the channel.
 */
export class Settler {
  readonly #publisher: ConfirmedPublisher;
  readonly #made = new WeakMap<ConfirmChannel, Made>();

  constructor(
    private readonly parts: {
      readonly connection: BrokerConnection;
      readonly topology: Topology;
      readonly dialect: Dialect;
      readonly timeoutMs: number;
    },
  ) {
    this.#publisher = new ConfirmedPublisher(parts.connection, () => parts.topology.ensureExchange(parts.connection));
  }

  /** Back to the queue it came from, after the delay. */
  retry(
    queue: string,
    cqrsId: string | null,
    body: string,
    delayMs: number,
    headers: OutgoingMessage['headers'],
    identity?: Identity,
  ): Promise<void> {
    const properties = messageProperties(this.parts.dialect, { headers: headers && passedOn(headers), identity });
    return this.#putBack(queue, { cqrsId, body: Buffer.from(body), properties }, delayMs);
  }

  /** The same for a message as it came. */
  putOff(
    queue: string,
    cqrsId: string | null,
    body: Buffer,
    delayMs: number,
    headers: Readonly<Record<string, unknown>>,
    identity?: Identity,
  ): Promise<void> {
    const properties = messageProperties(this.parts.dialect, { headers: passedOn(headers), identity });
    return this.#putBack(queue, { cqrsId, body, properties }, delayMs);
  }

  deadLetter(
    { deadLetterQueue, deadLetterTtlMs }: Pick<ConsumeOptions, 'deadLetterQueue' | 'deadLetterTtlMs'>,
    cqrsId: string | null,
    body: string,
    headers: OutgoingMessage['headers'],
    identity?: Identity,
  ): Promise<void> {
    const { topology, dialect } = this.parts;
    return this.#put(deadLetterQueue, async (channel, made) => {
      await made.once(`${deadLetterQueue} ${cqrsId}`, async () => {
        await this.#make(channel, deadLetterQueue, (on) => topology.declareQueue(on, deadLetterQueue));
        await this.#make(channel, deadLetterQueue, (on) => topology.bindDirect(on, deadLetterQueue, cqrsId));
      });
      return {
        exchange: topology.exchange,
        routingKey: directKey(deadLetterQueue, cqrsId),
        body: Buffer.from(body),
        properties: messageProperties(dialect, {
          headers: headers && passedOn(headers),
          expirationMs: deadLetterTtlMs,
          identity,
        }),
      };
    });
  }

  /** By the default exchange: a body that cannot be read has no id to be routed by. */
  unreadable(
    queue: string,
    body: Buffer,
    headers: Readonly<Record<string, unknown>>,
    reason: string,
    identity?: Identity,
  ): Promise<void> {
    const { topology, dialect } = this.parts;
    return this.#put(queue, async (channel, made) => {
      await made.once(queue, () => this.#make(channel, queue, (on) => topology.declareQueue(on, queue)));
      const properties = messageProperties(dialect, {
        headers: { ...passedOn(headers), [Header.reason]: reason },
        identity,
      });
      return { exchange: '', routingKey: queue, body, properties };
    });
  }

  close(): Promise<void> {
    return this.#publisher.close();
  }

  #putBack(
    queue: string,
    { cqrsId, body, properties }: { cqrsId: string | null } & Pick<PublishedMessage, 'body' | 'properties'>,
    delayMs: number,
  ): Promise<void> {
    const { topology } = this.parts;
    const wait = Math.min(Math.ceil(delayMs), MAX_DELAY_MS);
    return this.#put(queue, async (channel, made) => {
      // An id that came by an old binding may have no way back; from a waiting room it would vanish without a word.
      await made.once(`${queue} ${cqrsId}`, () =>
        this.#make(channel, queue, (on) => topology.bindDirect(on, queue, cqrsId)),
      );
      const exchange =
        wait <= 0
          ? topology.exchange
          : await made.delay(`${queue} ${wait}`, () => topology.declareDelay(channel, queue, wait));
      return { exchange, routingKey: directKey(queue, cqrsId), body, properties };
    });
  }

  /**
   * Publishes one message; if its way has vanished since it was made, makes it anew and publishes once more.
   * @throws MessageRefusedError naming the queue when the broker does not take it
   */
  async #put(queue: string, make: (channel: ConfirmChannel, made: Made) => Promise<PublishedMessage>): Promise<void> {
    const { broker } = this.parts.connection;
    const deadline = new Deadline(this.parts.timeoutMs);
    for (const attempt of ['first', 'last'] as const) {
      const result = await this.#publisher.publishMade(
        (channel) => make(channel, this.#madeOn(channel, attempt === 'last')),
        deadline,
      );
      if (result === 'confirmed') return;
      if (result === 'unroutable') continue;
      if ('failed' in result) throw refusedByRights(queue, result.failed);
      const { message, passing, data } = result.refused;
      throw new MessageRefusedError(`the queue '${queue}' takes no message: ${message.slice(0, -1)}`, passing, data);
    }
    throw new TransportError(`${broker} has no queue for the message`, { broker });
  }

  /**
   * Makes a queue or a binding, unless the user may not and the queue is there. Tried on a channel of its own first: here, a
   * refusal would be taken for one of the message.
   */
  async #make(channel: Channel, queue: string, declare: (channel: Channel) => Promise<unknown>): Promise<void> {
    const { connection } = this.parts;
    const may = await connection.ensure(declare, (own) => own.checkQueue(queue)).catch(() => true);
    if (may) await declare(channel);
  }

  #madeOn(channel: ConfirmChannel, anew: boolean): Made {
    let made = this.#made.get(channel);
    if (!made || anew) this.#made.set(channel, (made = new Made()));
    return made;
  }
}

/** What one channel has declared already; forgotten with the channel, as the broker may have been replaced. */
class Made {
  readonly #once = new Map<string, Promise<void>>();
  readonly #delays = new Map<string, { exchange: Promise<string>; goodUntil: number }>();

  once(what: string, make: () => Promise<void>): Promise<void> {
    let made = this.#once.get(what);
    if (!made) this.#once.set(what, (made = make()));
    return made;
  }

  delay(what: string, declare: () => Promise<{ exchange: string; leaseMs: number }>): Promise<string> {
    const known = this.#delays.get(what);
    if (known && performance.now() < known.goodUntil) return known.exchange;
    const declared = { exchange: Promise.resolve(''), goodUntil: Infinity };
    const from = performance.now();
    declared.exchange = declare().then(({ exchange, leaseMs }) => {
      declared.goodUntil = from + leaseMs;
      return exchange;
    });
    this.#delays.set(what, declared);
    return declared.exchange;
  }
}

/** A right that is missing concerns the messages that need it; what only has to be acknowledged goes on. */
function refusedByRights(queue: string, failed: Error): Error {
  if (replyCode(failed) !== 403) return failed;
  return new MessageRefusedError(`the queue '${queue}' takes no message: ${brokerText(failed)}`, false, {
    replyCode: 403,
  });
}
