import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/cqrs.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { capture } from '../../support/capture.js';
import { masters } from '../models/our-masters.js';
import { replicas } from '../models/our-replicas.js';

const { INTEROP_ROLE, INTEROP_DATABASE_URL, INTEROP_AMQP_URL, INTEROP_EXCHANGE, INTEROP_QUEUE } = process.env;

/** Our services for the command `cqrs`; the environment says which one, as it does for the Django project. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: INTEROP_DATABASE_URL,
  entities: INTEROP_ROLE === 'master' ? masters : replicas,
  extensions: [
    new Cqrs({
      transport: new RabbitMQTransport({ url: INTEROP_AMQP_URL! }),
      exchange: INTEROP_EXCHANGE,
      queue: INTEROP_QUEUE ?? null,
      master: { capture },
    }),
  ],
});
