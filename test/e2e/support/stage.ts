import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type EntityClass, MikroORM } from '@mikro-orm/postgresql';
import { type Admin, createAdmin, toNodeHandler } from '../../../src/admin/index.js';
import { Cqrs, type CqrsOptions } from '../../../src/cqrs.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { Proxy } from '../../faults/proxy.js';
import { amqpUrl, deleteTopology, uniqueName } from '../../support/broker.js';
import { createDatabase } from '../../support/database.js';
import { Account, AccountRef, Payment, PaymentRef } from './entities.js';

export interface Site {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  /** Of its admin page, with a slash at its end. */
  readonly url: string;
  sql<T = Record<string, unknown>>(text: string): Promise<T[]>;
}

/** A bank that owns accounts and payments, a shop that copies them, and the admin page of each, on real servers. */
export interface Stage extends AsyncDisposable {
  readonly bank: Site;
  readonly shop: Site;
  /** The shop's queue. */
  readonly queue: string;
  /** The wire between the bank and the broker. */
  readonly wire: Proxy;
}

/** The cookie says who is asking: `name:role`. Without it nobody is. */
export const USER_COOKIE = 'e2e-user';

export async function openStage(): Promise<Stage> {
  await using undo = new AsyncDisposableStack();
  const exchange = uniqueName('e2e');
  const queue = exchange.replace('test_e2e', 'shop');
  undo.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  const wire = undo.use(await Proxy.before(amqpUrl));
  const bank = await openSite(undo, [Account, Payment], wire.through(amqpUrl), {
    exchange,
    relay: { pollIntervalMs: 100, sentRetentionSeconds: 3_600 },
    activity: { intervalSeconds: 1 },
    admin: { name: 'bank', environment: 'staging', queues: [queue] },
  });
  const shop = await openSite(undo, [AccountRef, PaymentRef], amqpUrl, {
    exchange,
    queue,
    replica: { maxRetries: 1, retryDelaySeconds: 0.2 },
    activity: { intervalSeconds: 1 },
    admin: { name: 'shop', environment: 'staging' },
  });
  const consumer = shop.cqrs.createConsumer();
  undo.defer(() => consumer.stop());
  await consumer.start();
  const all = undo.move();
  return { bank, shop, queue, wire, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function openSite(
  undo: AsyncDisposableStack,
  entities: EntityClass<object>[],
  brokerUrl: string,
  settings: Partial<CqrsOptions>,
): Promise<Site> {
  const database = await createDatabase();
  undo.defer(() => database.drop());
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: brokerUrl }), ...settings });
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  undo.defer(() => orm.close());
  await orm.schema.create();
  undo.defer(() => cqrs.stop());
  await cqrs.start();
  const admin = createAdmin(cqrs, {
    basePath: '/admin',
    authorize(request) {
      const cookie = new RegExp(`${USER_COOKIE}=(\\w+):([\\w-]+)`).exec(request.headers.get('cookie') ?? '');
      return cookie && { user: cookie[1]!, role: cookie[2] as 'operator' | 'read-only' };
    },
  });
  const url = await serve(undo, admin);
  return { orm, cqrs, url, sql: (text) => orm.em.getConnection().execute(text) };
}

async function serve(undo: AsyncDisposableStack, admin: Admin<never>): Promise<string> {
  const server = createServer(toNodeHandler(admin));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.defer(async () => {
    await admin.stop();
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/admin/`;
}
