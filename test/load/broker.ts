import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { amqpUrl } from '../support/broker.ts';

const PIPELINED = 2_000;

/** Publishes prepared bodies, and looks at queues, past our own code. */
export class Publisher implements AsyncDisposable {
  private constructor(
    private readonly model: ChannelModel,
    private readonly channel: ConfirmChannel,
  ) {}

  static async join(): Promise<Publisher> {
    const model = await connect(amqpUrl);
    return new Publisher(model, await model.createConfirmChannel());
  }

  async send(exchange: string, key: string, count: number, body: (index: number) => string): Promise<void> {
    for (let from = 0; from < count; from += PIPELINED) {
      for (let index = from; index < Math.min(count, from + PIPELINED); index++) {
        this.channel.publish(exchange, key, Buffer.from(body(index)), { persistent: true, contentType: 'text/plain' });
      }
      await this.channel.waitForConfirms();
    }
  }

  /** Messages that no worker has in hand. */
  async ready(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue)).messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model.close();
  }
}

/** The body of a SAVE, new each time: `value` tells them apart. */
export function saveOf(cqrsId: string, id: number, revision: number, value: number | null): string {
  const micros = String(revision % 1_000_000).padStart(6, '0');
  return (
    `{"signal_type":"SAVE","cqrs_id":"${cqrsId}","instance_data":{"id":${id},"value":${value},"text":"${'x'.repeat(80)}",` +
    `"cqrs_revision":${revision},"cqrs_updated":"2026-11-21 12:00:00.${micros}+00:00"},"previous_data":null,` +
    `"instance_pk":${id},"correlation_id":null,"retries":0,"expires":null,"meta":{},"cqrs_incarnation":1700000000000000}`
  );
}
