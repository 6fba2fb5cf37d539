import { connect, type ConsumeMessage } from 'amqplib';
import { amqpUrl } from '../../support/broker.js';
import { parseJson, type WireObject } from '../../../src/wire/values.js';
import { eventually } from './eventually.js';

/** A message as it went over the broker. */
export interface Tapped {
  readonly routingKey: string;
  readonly properties: ConsumeMessage['properties'];
  readonly body: WireObject;
}

/** The queue of another replica, which only listens: it hears broadcasts, and what is sent to it alone. */
export interface Tap extends AsyncDisposable {
  readonly queue: string;
  readonly heard: readonly Tapped[];
  /** Waits for the first message that matches. */
  next(matching: (message: Tapped) => boolean): Promise<Tapped>;
}

export async function tap(exchange: string, cqrsIds: readonly string[]): Promise<Tap> {
  const connection = await connect(amqpUrl);
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, 'topic', { durable: true });
  const queue = `${exchange}_tap`;
  await channel.assertQueue(queue, { durable: false, exclusive: true });
  for (const id of cqrsIds) {
    await channel.bindQueue(queue, exchange, id);
    await channel.bindQueue(queue, exchange, `cqrs.${queue}.${id}`);
  }
  const heard: Tapped[] = [];
  await channel.consume(
    queue,
    (message) => {
      if (!message) return;
      const { fields, properties, content } = message;
      heard.push({ routingKey: fields.routingKey, properties, body: parseJson(content.toString()) as WireObject });
    },
    { noAck: true },
  );
  return {
    queue,
    heard,
    async next(matching) {
      const found = await eventually(
        () => heard.find(matching),
        (message) => message !== undefined,
      );
      if (!found) throw new Error(`no such message among the ${heard.length} that went by`);
      return found;
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
