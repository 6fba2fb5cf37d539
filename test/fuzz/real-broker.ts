import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { amqpUrl } from '../support/broker.ts';
import type { Hostile } from './messages.ts';

/** A program that is not ours, on the same exchange. */
export class Stranger implements AsyncDisposable {
  private constructor(
    private readonly model: ChannelModel,
    private readonly channel: ConfirmChannel,
    private readonly exchange: string,
    private readonly queue: string,
  ) {}

  static async join(exchange: string, queue: string): Promise<Stranger> {
    const model = await connect(amqpUrl);
    return new Stranger(model, await model.createConfirmChannel(), exchange, queue);
  }

  /** Answers whether the message could be sent at all: some headers fit into no frame. */
  send({ body, headers, properties, route }: Hostile): boolean {
    const [exchange, key] = {
      broadcast: [this.exchange, 'plain'],
      direct: [this.exchange, `cqrs.${this.queue}.note`],
      'no id': ['', this.queue],
      'default exchange': ['', this.queue],
    }[route] as [string, string];
    try {
      this.channel.publish(exchange, key, body, { ...properties, headers });
      return true;
    } catch {
      return false;
    }
  }

  async confirmed(): Promise<void> {
    await this.channel.waitForConfirms();
  }

  async depth(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model.close();
  }
}
