import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { amqpUrl, uniqueName } from '../../test/support/broker.ts';

export type QueueType = 'classic' | 'quorum';

/** An exchange and queues of a benchmark's own on the real broker. */
export class BenchBroker {
  readonly exchange = uniqueName('bench');
  readonly #queues: string[] = [];

  readonly connection: ChannelModel;
  readonly channel: ConfirmChannel;

  private constructor(connection: ChannelModel, channel: ConfirmChannel) {
    this.connection = connection;
    this.channel = channel;
  }

  static async open(): Promise<BenchBroker> {
    const connection = await connect(amqpUrl, { noDelay: true });
    const broker = new BenchBroker(connection, await connection.createConfirmChannel());
    await broker.channel.assertExchange(broker.exchange, 'topic', { durable: true });
    return broker;
  }

  /** A queue that gets every product, or what else these keys name; with the arguments that the transport declares, so that it may do so again. */
  async queue(name: string, type: QueueType = 'classic', keys: readonly string[] = ['product']): Promise<string> {
    const queue = `${this.exchange}_${name}`;
    const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000 };
    await this.channel.assertQueue(queue, { durable: true, arguments: type === 'quorum' ? quorum : {} });
    for (const key of keys) await this.channel.bindQueue(queue, this.exchange, key);
    this.#queues.push(queue);
    return queue;
  }

  async purge(queue: string): Promise<void> {
    await this.channel.purgeQueue(queue);
  }

  /** Publishes persistent messages to every queue, and waits until all are stored. */
  async fill(bodies: Iterable<string | { body: string; key: string }>): Promise<void> {
    let inFlight = 0;
    for (const one of bodies) {
      const { body, key } = typeof one === 'string' ? { body: one, key: 'product' } : one;
      publishRaw(this.channel, this.exchange, body, undefined, key);
      if (++inFlight % 1_000 === 0) await this.channel.waitForConfirms();
    }
    await this.channel.waitForConfirms();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#queues) {
      for (const name of [queue, `dead_letter_${queue}`, `unreadable_${queue}`]) await this.channel.deleteQueue(name);
    }
    await this.channel.deleteExchange(this.exchange);
    await this.connection.close();
  }
}

export function publishRaw(
  channel: ConfirmChannel,
  exchange: string,
  body: string,
  onConfirm?: (error: unknown) => void,
  key = 'product',
): void {
  const properties = {
    contentType: 'text/plain',
    deliveryMode: 2,
    mandatory: true,
    headers: { 'x-cqrs-committed-at': Date.now() },
  };
  channel.publish(exchange, key, Buffer.from(body), properties, onConfirm);
}

export type { Channel, ConfirmChannel };
