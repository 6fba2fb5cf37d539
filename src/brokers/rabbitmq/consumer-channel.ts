import type { Channel, ConsumeMessage } from 'amqplib';
import { AckWindow } from './ack-window.js';
import { closeChannel, GOODBYE_MS } from './broker-connection.js';
import { withoutUser } from './broker-error.js';
import { Deadline } from './deadline.js';

/** A channel with its one consumer and its acknowledgements. Once it is lost, everything done to it does nothing. */
export class ConsumerChannel {
  #alive = true;
  #consumerTag?: string;
  #failure?: Error;
  #flushing?: Promise<void>;
  readonly #acks = new AckWindow();

  constructor(private readonly amqp: Channel) {
    amqp.once('error', (error) => (this.#failure = withoutUser(error)));
    amqp.once('close', () => (this.#alive = false));
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Whether it ever began to deliver. */
  get consumed(): boolean {
    return this.#consumerTag !== undefined;
  }

  /** Why it ended, unless its connection was lost: that has an event of its own. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  async consume(queue: string, prefetch: number, onMessage: (message: ConsumeMessage | null) => void): Promise<void> {
    await this.amqp.prefetch(prefetch);
    this.#consumerTag = (await this.amqp.consume(queue, onMessage)).consumerTag;
  }

  /** Acknowledges together with all others of this turn of the event loop, in as few words as possible. */
  ack(tag: number): Promise<void> {
    this.#acks.settle(tag);
    return (this.#flushing ??= this.#flushSoon());
  }

  giveBack(message: ConsumeMessage): void {
    if (!this.#alive) return;
    this.amqp.nack(message, false, true);
    this.#acks.skip(message.fields.deliveryTag);
  }

  async cancel(): Promise<void> {
    if (!this.#alive || this.#consumerTag === undefined) return;
    await new Deadline(GOODBYE_MS).cap(this.amqp.cancel(this.#consumerTag), 'RabbitMQ', 'cancelling').catch(() => {});
  }

  /** Ends it, with the reason if it was not wanted. */
  async close(failure?: Error): Promise<void> {
    this.#failure ??= failure;
    await this.#flushing;
    // A quorum queue takes acknowledgements in its own time and forgets those it still owes when a channel closes. The
    // answer to a cancel comes after them.
    await this.cancel();
    if (this.#alive) await closeChannel(this.amqp);
  }

  async #flushSoon(): Promise<void> {
    await Promise.resolve();
    this.#flushing = undefined;
    for (const { tag, multiple } of this.#acks.take()) {
      if (!this.#alive) return;
      this.amqp.ack({ fields: { deliveryTag: tag } } as ConsumeMessage, multiple);
    }
  }
}
