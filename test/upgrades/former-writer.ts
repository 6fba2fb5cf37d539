import { once } from 'node:events';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import type * as Index from '../../src/index.js';
import type * as RabbitMQ from '../../src/brokers/rabbitmq/index.js';
import { SteadyWriters, writesOf } from '../support/steady-writers.js';

/** A process of a former release, whose sources are in `FORMER_SOURCES`: writes and relays until its input ends. */

const { FORMER_SOURCES, FORMER_DATABASE, FORMER_AMQP, FORMER_EXCHANGE } = process.env;
const former = (await import(`${FORMER_SOURCES}/index.js`)) as typeof Index;
const { RabbitMQTransport } = (await import(`${FORMER_SOURCES}/transport/rabbitmq/index.js`)) as typeof RabbitMQ;

const Thing = former.master(
  defineEntity({
    name: 'Thing',
    extends: former.MasterEntity,
    properties: { id: p.integer().primary().autoincrement(false), name: p.text() },
  }),
  { id: 'thing' },
);
const cqrs = new former.Cqrs({
  transport: new RabbitMQTransport({ url: FORMER_AMQP! }),
  exchange: FORMER_EXCHANGE!,
  relay: { pollIntervalMs: 50 },
});
const orm = await MikroORM.init({ clientUrl: FORMER_DATABASE!, entities: [Thing], extensions: [cqrs] });
await cqrs.start();
const writers = new SteadyWriters();
writers.start('former', writesOf(orm));
process.stdout.write('ready\n');
process.stdin.resume();
await once(process.stdin, 'end');
await writers.stop();
while ((await cqrs.outboxState())!.depth > 0);
await cqrs.stop();
await orm.close();
process.stdout.write(`${writers.written}\n`);
