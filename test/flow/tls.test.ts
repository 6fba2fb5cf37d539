import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityClass, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { RabbitMQTransport, type RabbitMQOptions } from '../../src/brokers/rabbitmq/index.js';
import { Authority, type Certificate } from '../faults/servers/certificates.js';
import { OwnPostgres } from '../faults/servers/own-postgres.js';
import { OwnRabbitMQ } from '../faults/servers/own-rabbitmq.js';

const columns = { id: p.integer().primary().autoincrement(false), name: p.string() };

const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties: columns });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

const AccountRefSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: columns });
class AccountRef extends replicaClass(AccountRefSchema) {
  static override CQRS_ID = 'account';
}
AccountRefSchema.setClass(AccountRef);

/** What a client brings to both servers; what is not there, it does without. */
interface Tls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

interface Service extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
}

const PASSWORD = 'guest';
const START_MS = 180_000;

let postgres: OwnPostgres;
let rabbitmq: OwnRabbitMQ;
let ca: string;
let client: Certificate;
let stranger: { readonly ca: string; readonly client: Certificate };

beforeAll(async () => {
  const [authority, other] = await Promise.all([Authority.create('ours'), Authority.create('another')]);
  // PostgreSQL wants the name of its user in the certificate.
  const [server, ours, theirs] = await Promise.all([
    authority.issue('server'),
    authority.issue('postgres'),
    other.issue('postgres'),
  ]);
  [ca, client, stranger] = [authority.ca, ours, { ca: other.ca, client: theirs }];
  const tls = { ca, server, client };
  [postgres, rabbitmq] = await Promise.all([OwnPostgres.create({ tls }), OwnRabbitMQ.create({ tls })]);
  await Promise.all(['master', 'replica'].map((name) => postgres.sql(`create database ${name}`)));
}, START_MS);
afterAll(async () => {
  await Promise.all([postgres?.[Symbol.asyncDispose](), rabbitmq?.[Symbol.asyncDispose]()]);
}, START_MS);

async function open(
  database: string,
  entities: EntityClass<object>[],
  { ssl = { ca, ...client }, ...settings }: { readonly ssl?: Tls | false } & Partial<CqrsOptions> = {},
): Promise<Service> {
  const transport = new RabbitMQTransport({ url: rabbitmq.url, tls: { ca, ...client } });
  const cqrs = new Cqrs({ transport, exchange: 'tls', ...settings });
  const orm = await MikroORM.init({
    clientUrl: postgres.url(database),
    driverOptions: { ssl },
    entities,
    extensions: [cqrs],
  });
  return {
    orm,
    cqrs,
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
    },
  };
}

/** What the work fails with, and everything that stands in it. */
async function failureOf(work: () => Promise<unknown>): Promise<{ message: string; everything: string }> {
  try {
    await work();
  } catch (error) {
    return { message: (error as Error).message, everything: inspect(error, { depth: 20, showHidden: true }) };
  }
  throw new Error('it did not fail');
}

/** No key, no line of one, and no password. */
function expectNoSecrets(text: string): void {
  for (const { key } of [client, stranger.client]) {
    for (const line of key.split('\n').filter((one) => one !== '' && !one.startsWith('-----'))) {
      expect(text).not.toContain(line);
    }
  }
  expect(text).not.toContain(`:${PASSWORD}@`);
  expect(text).not.toMatch(/password: *'/);
  expect(text).not.toContain('PRIVATE KEY');
}

// claims: mutual-tls
test('with certificates to broker and database, a change of the master reaches the replica', async () => {
  await using master = await open('master', [Account], { relay: { pollIntervalMs: 100 } });
  await using replica = await open('replica', [AccountRef], { queue: 'tls_replica' });
  await Promise.all([master.orm.schema.create(), replica.orm.schema.create()]);
  await using consumer = replica.cqrs.createConsumer();
  await consumer.start();
  await master.cqrs.start();

  const applied = replica.cqrs.events.next('cqrs.inbox.applied');
  const em = master.orm.em.fork();
  em.create(Account, { id: 1, name: 'Ada' });
  await em.flush();
  await applied;

  expect(await replica.orm.em.fork().findOneOrFail(AccountRef, 1)).toMatchObject({ name: 'Ada' });
  const [session] = await postgres.sql<{ all: boolean }>(
    `select bool_and(ssl and client_dn like '%CN=postgres') as all
       from pg_stat_ssl join pg_stat_activity using (pid) where datname in ('master', 'replica')`,
  );
  expect(session).toEqual({ all: true });
});

// claims: mutual-tls, no-secrets
describe('a broker and certificates that do not fit', () => {
  const connectWith = async (options: RabbitMQOptions) => {
    const cqrs = new Cqrs({ transport: new RabbitMQTransport(options), exchange: 'tls' });
    try {
      return await failureOf(() => cqrs.connect());
    } finally {
      await cqrs.stop();
    }
  };

  test.each<[string, () => Tls, RegExp]>([
    ['no client certificate', () => ({ ca }), /wants a client certificate/],
    ['a client certificate of another CA', () => ({ ca, ...stranger.client }), /refuses the client certificate/],
    ['another CA than the server has', () => ({ ca: stranger.ca, ...client }), /no CA in `ca`/],
    ['no CA of its own', () => ({ ...client }), /no CA in `ca`/],
  ])('%s: one error that names the host', async (_, tls, expected) => {
    const { message, everything } = await connectWith({ url: rabbitmq.url, tls: tls() });
    expect(message).toContain(`amqps://127.0.0.1:${rabbitmq.port}/`);
    expect(message).toMatch(expected);
    expectNoSecrets(everything);
  });

  test('a certificate for another host is refused', async () => {
    const tls = { ca, ...client, servername: 'elsewhere.example' };
    const { message } = await connectWith({ url: rabbitmq.url, tls });
    expect(message).toContain(`amqps://127.0.0.1:${rabbitmq.port}/`);
    expect(message).toMatch(/not for this host/);
  });
});

// claims: mutual-tls, no-secrets
describe('a database and certificates that do not fit', () => {
  test.each<[string, () => Tls, RegExp]>([
    ['no client certificate', () => ({ ca }), /client certificate/],
    ['a client certificate of another CA', () => ({ ca, ...stranger.client }), /refuses the client certificate/],
    ['another CA than the server has', () => ({ ca: stranger.ca, ...client }), /no CA in `ca`/],
    ['no CA of its own', () => ({ ...client }), /no CA in `ca`/],
  ])('%s: one error that names the host', async (_, ssl, expected) => {
    await using service = await open('master', [Account], { ssl: ssl() });
    const { message, everything } = await failureOf(() => service.cqrs.start());
    expect(message).toMatch(/^The database postgresql:/);
    expect(message).toContain(`127.0.0.1:${postgres.port}`);
    expect(message).toMatch(expected);
    expectNoSecrets(everything);
  });
});

test('neither server takes anybody without TLS', async () => {
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: rabbitmq.url.replace('amqps', 'amqp') }) });
  const { message } = await failureOf(() => cqrs.connect());
  expect(message).toContain(`amqp://127.0.0.1:${rabbitmq.port}/ cannot be reached`);

  await using service = await open('master', [Account], { ssl: false });
  const database = await failureOf(() => service.cqrs.start());
  expect(database.message).toContain(`127.0.0.1:${postgres.port}/master cannot be reached`);
  expect(database.message).toContain('no encryption');
});
