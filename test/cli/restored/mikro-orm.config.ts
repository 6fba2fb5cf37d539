import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { Author, Book } from './entities.js';

const { RESTORED_DATABASE, RESTORED_AMQP, RESTORED_EXCHANGE } = process.env;

/** The service with the masters. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: RESTORED_DATABASE,
  entities: [Book, Author],
  extensions: [new Cqrs({ transport: new RabbitMQTransport({ url: RESTORED_AMQP! }), exchange: RESTORED_EXCHANGE })],
});
