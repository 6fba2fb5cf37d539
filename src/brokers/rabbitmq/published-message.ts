import type { Options } from 'amqplib';

/** A message as it is handed to a channel. */
export interface PublishedMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: Options.Publish;
}
