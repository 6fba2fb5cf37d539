import type { ConsumeMessage } from 'amqplib';
import type { Events } from '../../core/events.js';
import { failPoint, type FailPoint } from '../../core/fail-points.js';
import type { ConsumeOptions, Delivery, OutgoingMessage } from '../transport.js';
import type { ConsumerChannel } from './consumer-channel.js';
import type { Settler } from './settler.js';
import { readAddress } from './topology.js';

/**
 * One message from RabbitMQ. Its copy is confirmed elsewhere before it is acknowledged here: a crash in between leaves
 * two, never none. AMQP does not answer an acknowledgement; one that is lost on the way brings the message again.
 */
export class RabbitMQDelivery implements Delivery {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly cqrsId: string | null;
  readonly direct: boolean;
  readonly redelivered: boolean;

  constructor(
    private readonly message: ConsumeMessage,
    private readonly channel: ConsumerChannel,
    private readonly parts: { readonly settler: Settler; readonly events: Events },
    private readonly options: ConsumeOptions,
    directPrefix: string,
  ) {
    const { fields, properties, content } = message;
    this.body = content;
    this.headers = properties.headers ?? {};
    this.redelivered = fields.redelivered;
    ({ cqrsId: this.cqrsId, direct: this.direct } = readAddress(fields, directPrefix));
  }

  /** All of a batch get one and the same promise. */
  ack(): Promise<void> {
    const acknowledge = (): Promise<void> => this.channel.ack(this.message.fields.deliveryTag);
    const fault = failPoint(this.parts.events, 'inbox.before-ack');
    return fault ? fault.then(acknowledge) : acknowledge();
  }

  retry(body: string, delayMs: number, headers?: OutgoingMessage['headers']): Promise<void> {
    return this.#moveBy(
      () => this.parts.settler.retry(this.options.queue, this.cqrsId, body, delayMs, headers),
      'inbox.while-requeueing',
    );
  }

  deadLetter(body: string, headers?: OutgoingMessage['headers']): Promise<void> {
    return this.#moveBy(
      () => this.parts.settler.deadLetter(this.options, this.cqrsId, body, headers),
      'inbox.while-dead-lettering',
    );
  }

  unreadable(reason: string): Promise<void> {
    return this.#moveBy(
      () => this.parts.settler.unreadable(this.options.unreadableQueue, this.message.content, this.headers, reason),
      'inbox.while-dead-lettering',
    );
  }

  async #moveBy(put: () => Promise<void>, moved: FailPoint): Promise<void> {
    if (!this.channel.alive) return; // the broker has it again; a second copy would be one too many
    await put();
    await failPoint(this.parts.events, moved);
    await this.ack();
  }
}
