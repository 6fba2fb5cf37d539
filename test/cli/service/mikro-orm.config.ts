import { defineConfig } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/index.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { Account, AccountRef, StuckRef } from './entities.js';

const {
  CLI_TEST_DATABASE,
  CLI_TEST_AMQP,
  CLI_TEST_QUEUE,
  CLI_TEST_EXCHANGE,
  CLI_TEST_WITHOUT_CQRS,
  CLI_TEST_ONLY_FROM,
  CLI_TEST_QUEUE_TYPE,
  CLI_TEST_MANAGEMENT,
  CLI_TEST_CAPTURE,
} = process.env;

/** A service as a user would have it: master of accounts, with replicas, the relay as a process of its own. */
// oxlint-disable-next-line import/no-default-export -- that is how MikroORM finds it
export default defineConfig({
  clientUrl: CLI_TEST_DATABASE,
  entities: [Account, AccountRef, StuckRef],
  extensions: CLI_TEST_WITHOUT_CQRS
    ? []
    : [
        new Cqrs({
          transport: new RabbitMQTransport({
            url: CLI_TEST_AMQP!,
            queueType: CLI_TEST_QUEUE_TYPE === 'quorum' ? 'quorum' : 'classic',
            ...(CLI_TEST_MANAGEMENT && { managementUrl: CLI_TEST_MANAGEMENT }),
          }),
          exchange: CLI_TEST_EXCHANGE,
          queue: CLI_TEST_QUEUE,
          relay: { enabled: false },
          master: { capture: CLI_TEST_CAPTURE === 'trigger' ? 'trigger' : 'driver' },
          admin: {
            adjustSyncQuery: CLI_TEST_ONLY_FROM
              ? { account: (query) => query.andWhere({ id: { $gte: Number(CLI_TEST_ONLY_FROM) } }) }
              : {},
          },
        }),
      ],
});
