import type { ConsumeMessage } from 'amqplib';
import type { Events } from '../../kernel/events.js';
import { failPoint, type FailPoint } from '../../kernel/fail-points.js';
import type { ConsumeOptions, Delivery, OutgoingMessage } from '../../messaging/transport/transport.js';
import type { ConsumerChannel } from './consumer-channel.js';
import type { Settler } from './settler.js';
import { type Identity, identityOf } from './message-properties.js';
import { readAddress } from './topology.js';

/** What all deliveries of a subscription share. */
export interface DeliveryParts {
  readonly settler: Settler;
  readonly events: Events;
  readonly options: ConsumeOptions;
  /** What keys of its queue alone begin with. */
  readonly directPrefix: string;
}

/**
 * One message from RabbitMQ. Its copy is confirmed elsewhere before it is acknowledged here: a crash in between leaves
 * two, never none. AMQP does not answer an acknowledgement; one that is lost on the way brings the message again.
 */
export class RabbitMQDelivery implements Delivery {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly cqrsId: string | null;
  readonly direct: boolean;
  readonly redelivered: boolean;
  readonly #identity: Identity | undefined;
  readonly #tag: number;
  readonly #channel: ConsumerChannel;
  readonly #parts: DeliveryParts;

  // It keeps what it needs of the message and no more: thousands are in hand, and whatever lives is copied by the garbage
  // collector.
  constructor({ fields, properties, content }: ConsumeMessage, channel: ConsumerChannel, parts: DeliveryParts) {
    this.body = content;
    this.headers = properties.headers ?? {};
    this.#identity = identityOf(properties);
    this.redelivered = fields.redelivered;
    ({ cqrsId: this.cqrsId, direct: this.direct } = readAddress(fields, parts.directPrefix));
    this.#tag = fields.deliveryTag;
    this.#channel = channel;
    this.#parts = parts;
  }

  /** All of a batch get one and the same promise. */
  ack(): Promise<void> {
    const fault = failPoint(this.#parts.events, 'inbox.before-ack');
    return fault ? fault.then(() => this.#channel.ack(this.#tag)) : this.#channel.ack(this.#tag);
  }

  retry(body: string, delayMs: number, headers?: OutgoingMessage['headers']): Promise<void> {
    return this.#moveBy(
      ({ settler, options }) => settler.retry(options.queue, this.cqrsId, body, delayMs, headers, this.#identity),
      'inbox.while-requeueing',
    );
  }

  deadLetter(body: string, headers?: OutgoingMessage['headers']): Promise<void> {
    return this.#moveBy(
      ({ settler, options }) => settler.deadLetter(options, this.cqrsId, body, headers, this.#identity),
      'inbox.while-dead-lettering',
    );
  }

  unreadable(reason: string): Promise<void> {
    return this.#moveBy(
      ({ settler, options }) =>
        settler.unreadable(options.unreadableQueue, this.body, this.headers, reason, this.#identity),
      'inbox.while-dead-lettering',
    );
  }

  putOff(delayMs: number): Promise<void> {
    return this.#moveBy(
      ({ settler, options }) =>
        settler.putOff(options.queue, this.cqrsId, this.body, delayMs, this.headers, this.#identity),
      'inbox.while-requeueing',
    );
  }

  async #moveBy(put: (parts: DeliveryParts) => Promise<void>, moved: FailPoint): Promise<void> {
    if (!this.#channel.alive) return; // the broker has it again; a second copy would be one too many
    await put(this.#parts);
    await failPoint(this.#parts.events, moved);
    await this.ack();
  }
}
