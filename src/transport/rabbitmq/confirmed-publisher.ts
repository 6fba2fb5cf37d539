import type { ConfirmChannel, Message, Options } from 'amqplib';
import { TransportError } from '../../core/errors.js';
import type { PublishResult } from '../transport.js';
import { closeChannel, openChannel, type BrokerConnection } from './broker-connection.js';
import { brokerError } from './broker-error.js';
import { Deadline } from './deadline.js';
import { InFlight, type InFlightMessage } from './in-flight.js';

const PATIENCE_MS = 2_000;

export interface PublishedMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: Options.Publish;
}

/**
 * Publishes on a confirm channel of its own, pipelined: all messages are written at once, in order, and answered for
 * one by one. It holds nothing back: what the broker has not confirmed when the channel is lost or the time is over
 * has failed, and the caller decides what to send again.
 *
 * The channel is opened by the first message that needs it, and again after it was lost.
 */
export class ConfirmedPublisher {
  #channel?: Promise<ConfirmChannel>;
  readonly #inFlight = new WeakMap<ConfirmChannel, InFlight>();

  constructor(
    private readonly connection: BrokerConnection,
    /** Makes what must be there before anything is published; called for each new channel. */
    private readonly prepare: (channel: ConfirmChannel) => Promise<void>,
  ) {}

  /** One result a message, in the same order; never rejects. */
  async publish(messages: readonly PublishedMessage[], deadline: Deadline): Promise<PublishResult[]> {
    let channel: ConfirmChannel;
    try {
      channel = await deadline.cap(this.#ready(deadline), this.connection.broker, 'publishing');
    } catch (error) {
      const failed = brokerError(this.connection.broker, 'publishing', error);
      return messages.map(() => ({ failed }));
    }
    const results: (PublishResult | undefined)[] = messages.map(() => undefined);
    const confirms = messages.map(async (message, index) => {
      results[index] = await this.#publishOne(channel, message);
    });
    const late = await deadline.cap(Promise.all(confirms), this.connection.broker, 'confirming').then(
      () => undefined,
      (error: Error) => error,
    );
    return results.map((result) => result ?? { failed: late! });
  }

  /** Publishes one message that is made once its channel is there, e.g. after it has declared where it goes. */
  async publishMade(
    make: (channel: ConfirmChannel) => Promise<PublishedMessage>,
    deadline: Deadline,
  ): Promise<PublishResult> {
    const { broker } = this.connection;
    const publish = async (): Promise<PublishResult> => {
      const channel = await this.#ready(deadline);
      const message = await make(channel);
      deadline.check(broker, 'publishing'); // who was told that it failed must not find it sent after all
      return this.#publishOne(channel, message);
    };
    return deadline
      .cap(publish(), broker, 'publishing')
      .catch((error) => ({ failed: brokerError(broker, 'publishing', error) }));
  }

  /** Resolves when everything is there that publishing needs; rejects with a TransportError. */
  async prepared(deadline: Deadline): Promise<void> {
    const { broker } = this.connection;
    await deadline.cap(this.#ready(deadline), broker, 'preparing to publish').catch((error: unknown) => {
      throw brokerError(broker, 'preparing to publish', error);
    });
  }

  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (channel) await closeChannel(channel);
  }

  /** Outlasts a short break, no more: the caller keeps the messages and has better means to wait for a long one. */
  async #ready(deadline: Deadline): Promise<ConfirmChannel> {
    const patience = new Deadline(Math.min(PATIENCE_MS, deadline.leftMs));
    // A blocked connection is waited for as well: the broker does not read, and what is written now piles up in memory.
    await patience.cap(this.connection.ready(), this.connection.broker, 'waiting for the connection');
    return this.#channel ?? this.#open();
  }

  #open(): Promise<ConfirmChannel> {
    const forget = (): void => {
      if (this.#channel === opening) this.#channel = undefined;
    };
    const opening = this.#openAndPrepare(forget);
    opening.catch(forget);
    return (this.#channel = opening);
  }

  async #openAndPrepare(onClose: () => void): Promise<ConfirmChannel> {
    const model = await this.connection.ready();
    const channel = await openChannel(() => model.createConfirmChannel());
    const inFlight = new InFlight();
    this.#inFlight.set(channel, inFlight);
    channel.on('return', ({ fields, content }: Message) => inFlight.markReturned({ ...fields, body: content }));
    channel.once('close', onClose);
    try {
      await this.prepare(channel);
      return channel;
    } catch (error) {
      void closeChannel(channel);
      throw error;
    }
  }

  #publishOne(
    channel: ConfirmChannel,
    { exchange, routingKey, body, properties }: PublishedMessage,
  ): Promise<PublishResult> {
    const inFlight = this.#inFlight.get(channel)!;
    const message: InFlightMessage = { exchange, routingKey, body, returned: false };
    const { broker } = this.connection;
    return new Promise((resolve) => {
      const failed = (error: unknown): void => resolve({ failed: brokerError(broker, 'publishing', error) });
      inFlight.add(message);
      try {
        channel.publish(exchange, routingKey, body, properties, (error: Error | null) => {
          inFlight.remove(message);
          if (!error) resolve(message.returned ? 'unroutable' : 'confirmed');
          else if (error.message === 'message nacked') {
            resolve({ failed: new TransportError(`${broker} could not store a message`, { broker, routingKey }) });
          } else failed(error);
        });
      } catch (error) {
        inFlight.remove(message);
        failed(error);
      }
    });
  }
}
