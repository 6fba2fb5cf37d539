import { KombuTransport, RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { amqpUrl } from '../../support/broker.js';
import type { PythonTransport } from './python.js';

/** A transport of django-cqrs, and the one of the same name that stands on our end of the line. */
export interface TransportPair {
  readonly python: PythonTransport;
  readonly library: 'pika' | 'kombu';
  ours(): RabbitMQTransport;
}

export const pika: TransportPair = {
  python: 'RabbitMQTransport',
  library: 'pika',
  ours: () => new RabbitMQTransport({ url: amqpUrl }),
};

export const kombu: TransportPair = {
  python: 'KombuTransport',
  library: 'kombu',
  ours: () => new KombuTransport({ url: amqpUrl }),
};

/** For `describe.each`: the title, the pair. */
export const pairs: [library: string, pair: TransportPair][] = [pika, kombu].map((pair) => [pair.library, pair]);
