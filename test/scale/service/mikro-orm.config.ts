import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { MASTERS, REPLICAS } from './entities.js';

const { SCALE_DATABASE, SCALE_AMQP, SCALE_EXCHANGE, SCALE_QUEUE } = process.env;

/** The service of the replica where there is a queue, else that of the master. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: SCALE_DATABASE,
  entities: SCALE_QUEUE ? REPLICAS : MASTERS,
  extensions: [
    new Cqrs({
      transport: new RabbitMQTransport({ url: SCALE_AMQP! }),
      exchange: SCALE_EXCHANGE,
      queue: SCALE_QUEUE,
      relay: { enabled: false },
    }),
  ],
});
