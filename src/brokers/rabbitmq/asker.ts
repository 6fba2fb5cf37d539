import { randomUUID } from 'node:crypto';
import type { Channel, ConsumeMessage, Message } from 'amqplib';
import { TransportError } from '../../kernel/errors.js';
import type { AskOptions } from '../../messaging/transport/transport.js';
import { type BrokerConnection, closeChannel, openChannel } from './broker-connection.js';
import { brokerError } from './broker-error.js';
import { Deadline } from './deadline.js';
import { questionQueue } from './topology.js';

/** RabbitMQ's direct reply-to: answers come to the channel that asked, and no queue is made for them. */
const REPLY_TO = 'amq.rabbitmq.reply-to';

interface Waiting {
  readonly answered: (answer: Uint8Array) => void;
  readonly failed: (error: Error) => void;
}

/**
 * Puts questions to services, on a channel of its own.
 *
 *   ask ─▶ default exchange ─▶ Q.questions ─▶ an answerer ─▶ direct reply-to ─▶ the answer
 *             └─ no such queue: sent back ─▶ nobody answers
 *
 * The channel is opened by the first question, and again after it was lost. What is in the broker dies with the time that
 * its asker has.
 */
export class Asker {
  #channel?: Promise<Channel>;
  readonly #waiting = new Map<string, Waiting>();

  constructor(private readonly connection: BrokerConnection) {}

  /** Rejects with a TransportError. */
  async ask(queue: string, question: string, { timeoutMs, signal }: AskOptions): Promise<Uint8Array> {
    const { broker } = this.connection;
    const doing = `the question to '${queue}'`;
    const deadline = new Deadline(timeoutMs);
    const id = randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const giveUp = (): void => reject(new Error('was given up'));
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      promise.catch(() => {}); // told by the race below, which may not have begun
      const channel = await deadline.cap(this.#ready(), broker, doing);
      this.#waiting.set(id, { answered: resolve, failed: reject });
      channel.publish('', questionQueue(queue), Buffer.from(question), {
        mandatory: true,
        contentType: 'application/json',
        correlationId: id,
        replyTo: REPLY_TO,
        expiration: String(Math.max(1, Math.ceil(deadline.leftMs))),
      });
      return await deadline.cap(promise, broker, doing);
    } catch (error) {
      throw brokerError(broker, doing, error);
    } finally {
      signal?.removeEventListener('abort', giveUp);
      this.#waiting.delete(id);
    }
  }

  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (channel) await closeChannel(channel);
  }

  async #ready(): Promise<Channel> {
    await this.connection.ready();
    return this.#channel ?? this.#open();
  }

  #open(): Promise<Channel> {
    const forget = (): void => {
      if (this.#channel === opening) this.#channel = undefined;
    };
    const opening = this.#openAndListen(forget);
    opening.catch(forget);
    return (this.#channel = opening);
  }

  async #openAndListen(onClose: () => void): Promise<Channel> {
    const model = await this.connection.ready();
    const channel = await openChannel(() => model.createChannel());
    const { broker } = this.connection;
    channel.once('close', () => {
      onClose();
      for (const { failed } of this.#waiting.values()) failed(new Error('the connection was lost'));
    });
    channel.on('return', ({ properties, fields }: Message) => {
      const queue = fields.routingKey.slice(0, -questionQueue('').length);
      this.#waiting
        .get(String(properties.correlationId))
        ?.failed(new TransportError(`${broker}: nobody answers for the queue '${queue}'`, { broker, queue }));
    });
    await channel.consume(REPLY_TO, (answer) => this.#onAnswer(answer), { noAck: true });
    return channel;
  }

  #onAnswer(answer: ConsumeMessage | null): void {
    if (answer) this.#waiting.get(String(answer.properties.correlationId))?.answered(answer.content);
  }
}
