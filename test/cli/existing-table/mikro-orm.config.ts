import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { accountMaster } from './entities.js';

const { EXISTING_DATABASE, EXISTING_AMQP, EXISTING_EXCHANGE, EXISTING_PRODUCE } = process.env;

/** The service whose table becomes a master. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: EXISTING_DATABASE,
  entities: [accountMaster(EXISTING_PRODUCE !== 'false')],
  extensions: [new Cqrs({ transport: new RabbitMQTransport({ url: EXISTING_AMQP! }), exchange: EXISTING_EXCHANGE })],
});
