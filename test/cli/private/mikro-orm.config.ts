import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { CustomRef, PatientRef, TokenRef } from './entities.js';

const { CLI_TEST_DATABASE, CLI_TEST_AMQP, CLI_TEST_QUEUE, CLI_TEST_EXCHANGE } = process.env;

/** A replica of masters that send more than everybody may see. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: CLI_TEST_DATABASE,
  entities: [PatientRef, CustomRef, TokenRef],
  extensions: [
    new Cqrs({
      transport: new RabbitMQTransport({ url: CLI_TEST_AMQP! }),
      exchange: CLI_TEST_EXCHANGE,
      queue: CLI_TEST_QUEUE,
      replica: { maxRetries: 0 },
    }),
  ],
});
