import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../src/cqrs.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { CqrsProcess } from './cqrs-process.js';
import { Author, AuthorRef, Book, BookRef } from './restored/entities.js';

/** A replica whose database is put back to an older state, as docs/operating.md has it: with copies of real databases. */

interface Service {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  close(): Promise<void>;
}

let stack: AsyncDisposableStack;
let exchange: string;
let queue: string;
let [bank, shop] = [] as unknown as [TestDatabase, TestDatabase];
let master: Service;
let replica: Service;

async function open(database: TestDatabase, entities: unknown[], ownQueue: string | null): Promise<Service> {
  const cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange,
    queue: ownQueue,
    relay: { pollIntervalMs: 20 },
    replica: { retryDelaySeconds: 0.2 },
  });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: entities as never, extensions: [cqrs] });
  const consumer = ownQueue === null ? undefined : cqrs.createConsumer();
  const close = async (): Promise<void> => {
    await consumer?.stop();
    await cqrs.stop();
    await orm.close();
  };
  stack.defer(close);
  await orm.schema.update({ safe: true });
  await cqrs.start();
  await consumer?.start();
  return { orm, cqrs, close };
}

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  exchange = uniqueName('restored');
  queue = `${exchange}_shop`;
  stack.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  [bank, shop] = [await createDatabase(), await createDatabase()];
  stack.defer(() => bank.drop());
  stack.defer(() => shop.drop());
  replica = await open(shop, [AuthorRef, BookRef], queue);
  master = await open(bank, [Book, Author], null);
});
afterEach(async () => stack.disposeAsync());

async function asAdmin(text: string): Promise<void> {
  const server = new URL(shop.url);
  server.pathname = '/postgres';
  const client = new pg.Client({ connectionString: server.href });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

const nameOf = (database: TestDatabase): string => new URL(database.url).pathname.slice(1);

/** Copies a database that nobody uses meanwhile. */
async function backUp(database: TestDatabase): Promise<() => Promise<void>> {
  const name = nameOf(database);
  await asAdmin(`create database ${name}_backup template ${name}`);
  stack.defer(() => asAdmin(`drop database if exists ${name}_backup with (force)`));
  return async () => {
    await asAdmin(`drop database ${name} with (force)`);
    await asAdmin(`create database ${name} template ${name}_backup`);
  };
}

const em = () => master.orm.em.fork();
const read = ({ orm }: Service, sql: string): Promise<unknown[]> => orm.em.getConnection().execute(sql);
const COLUMNS = 'cqrs_revision, cqrs_incarnation::text, cqrs_updated::text';
const onMaster = async (): Promise<unknown[]> => [
  await read(master, `select id, name, ${COLUMNS} from author order by id`),
  await read(master, `select id, author, title, ${COLUMNS} from book order by id`),
];
const onReplica = async (): Promise<unknown[]> => [
  await read(replica, `select id, name, ${COLUMNS} from author_ref order by id`),
  await read(replica, `select id, author_id as author, title, ${COLUMNS} from book_ref order by id`),
];

async function equal(): Promise<void> {
  while (JSON.stringify(await onMaster()) !== JSON.stringify(await onReplica()));
}

async function reconcileCommand(...options: string[]): Promise<{ code: number | string; out: string; err: string }> {
  await using command = new CqrsProcess(
    ['reconcile', '--queue', queue, '--settle-seconds', '0', '--timeout', '2s', ...options],
    {
      RESTORED_DATABASE: bank.url,
      RESTORED_AMQP: amqpUrl,
      RESTORED_EXCHANGE: exchange,
      MIKRO_ORM_CLI_CONFIG: 'test/cli/restored/mikro-orm.config.ts',
    },
  );
  const code = await command.exited;
  return { code, out: command.out, err: command.err };
}

/** Until a worker answers questions, which it begins to do in its own time. */
async function untilAnswered(): Promise<void> {
  while (!(await master.cqrs.transport.ask(queue, '{}', { timeoutMs: 5_000 }).catch(() => undefined)));
}

async function fill(): Promise<void> {
  await em().insertMany(Author, Array.from({ length: 30 }, (_, id) => ({ id, name: `author ${id}` })) as never);
  const books = Array.from({ length: 60 }, (_, id) => ({ id, author: id % 30, title: `book ${id}` }));
  await em().insertMany(Book, books as never);
  // Tombstones that are in the backup.
  await em().nativeDelete(Book, { id: { $in: [0, 1] } });
  await equal();
}

/** What happens after the backup: every way in which a row can have got ahead of it. */
async function goOn(): Promise<void> {
  await em().nativeUpdate(Book, { id: { $gte: 50 } }, { title: 'changed' });
  await em().nativeUpdate(Book, { id: 50 }, { title: 'changed twice' });
  await em().insert(Book, { id: 0, author: 0, title: 'again, over a tombstone of the backup' } as never);
  await em().nativeDelete(Book, { id: 2 });
  await em().nativeDelete(Book, { id: 3 });
  await em().insert(Book, { id: 3, author: 3, title: 'deleted and made anew' } as never);
  await em().nativeUpdate(Book, { id: 4 }, { id: 400 } as never);
  // A parent that is gone with its children, and one that came with a child.
  await em().nativeDelete(Book, { author: 10 } as never);
  await em().nativeDelete(Author, { id: 10 });
  await em().insert(Author, { id: 100, name: 'later' } as never);
  await em().insert(Book, { id: 100, author: 100, title: 'later' } as never);
  await em().insert(Book, { id: 101, author: 100, title: 'came and went' } as never);
  await em().nativeDelete(Book, { id: 101 });
  await equal();
}

// claims: restored-replica
test('restored from a backup, it is right again: rows deleted since are gone, parents and children arrive', async () => {
  await fill();
  await replica.close();
  const restore = await backUp(shop);
  replica = await open(shop, [AuthorRef, BookRef], queue);
  await goOn();
  const applied = await onReplica();
  await replica.close();
  await restore();
  replica = await open(shop, [AuthorRef, BookRef], queue);
  expect(await onReplica()).not.toEqual(applied);
  await untilAnswered();

  const { code, out, err } = await reconcileCommand('--restored');
  expect([code, err]).toEqual([0, expect.not.stringContaining('Error')]);
  expect(out).toMatch(/extra/);
  await equal();
  // Nothing began a new incarnation: the master's rows are as they were.
  expect(await onReplica()).toEqual(applied);
  // Whatever comes afterwards arrives, over the tombstones that the repair has left, too.
  await em().insert(Book, { id: 2, author: 2, title: 'used again' } as never);
  await em().nativeUpdate(Author, { id: 5 }, { name: 'changed' });
  await em().nativeDelete(Book, { id: 3 });
  await equal();
  expect(await reconcileCommand('--dry-run')).toMatchObject({ code: 0 });
}, 180_000);

// claims: restored-replica
test('of another time than the restored master: what it has later is left alone, and with --restored repaired', async () => {
  await fill();
  await master.close();
  const restore = await backUp(bank);
  master = await open(bank, [Book, Author], null);
  await goOn();
  await master.close();
  await restore();
  master = await open(bank, [Book, Author], null);

  const plain = await reconcileCommand();
  expect(plain).toMatchObject({ code: 1, err: expect.stringContaining('cqrs reconcile --restored') });
  expect(JSON.stringify(await onReplica())).toContain('changed twice');
  const { code } = await reconcileCommand('--restored');
  expect(code).toBe(0);
  await equal();
  await em().nativeUpdate(Book, { id: { $gte: 0 } }, { title: 'goes on' });
  await equal();
}, 180_000);
