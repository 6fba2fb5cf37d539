import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Events } from '../../src/kernel/events.js';
import { InputError } from '../../src/kernel/errors.js';
import { TransportPayload } from '../../src/wire/payload.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { Author, StrPk, UuidPk } from '../golden/master-models.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { Pair } from './models.js';

/** A long sync on a real broker, as what reaches a queue shows it. */

const exchange = uniqueName('sync');
const queue = `${exchange}_replica`;
const reader = new RabbitMQTransport({ url: amqpUrl });
let service: MasterService;
let received: TransportPayload[] = [];
let arrived = (): void => {};

beforeAll(async () => {
  service = await masterService([Author, Pair, StrPk, UuidPk], {
    settings: { transport: new RabbitMQTransport({ url: amqpUrl }), exchange },
  });
  await reader.connect({ events: new Events(), exchange, publishTimeoutMs: 10_000 });
  await reader.consume(
    {
      queue,
      deadLetterQueue: `dead_letter_${queue}`,
      unreadableQueue: `unreadable_${queue}`,
      cqrsIds: ['author', 'pair', 'str_pk', 'uuid_pk'],
      prefetch: 1_000,
      deadLetterTtlMs: null,
    },
    (delivery) => {
      received.push(TransportPayload.fromMessage(delivery.body));
      void delivery.ack();
      arrived();
    },
  );
  await service.cqrs.start();
});
afterAll(async () => {
  await reader.close();
  await service.cqrs.stop();
  await service[Symbol.asyncDispose]();
  await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
});
beforeEach(() => {
  received = [];
});

const until = (count: number): Promise<void> =>
  new Promise((resolve) => {
    arrived = () => void (received.length >= count && resolve());
    arrived();
  });
const authors = async (count: number): Promise<void> => {
  await service.sql('delete from author /* cqrs */');
  await service.sql(`insert into author (id, name) select n, 'a' from generate_series(1, ${count}) n /* cqrs */`);
};
const keys = (): unknown[] => received.map(({ instancePk }) => instancePk);

test('a change during a long sync arrives before all rows but those of the pages in hand', async () => {
  await authors(2_000);
  let told = 0;
  let toldAtCommit: Promise<number> | undefined;
  await service.cqrs.sync({
    cqrsId: 'author',
    pageSize: 20,
    onProgress({ synced }) {
      told = synced;
      toldAtCommit ??= service.orm.em
        .fork()
        .insert(Author, { id: 100_000, name: 'live' })
        .then(() => told);
    },
  });
  await until(2_001);
  const place = received.findIndex(({ signalType }) => signalType === 'SAVE');
  expect(received[place]).toMatchObject({ instancePk: 100_000 });
  // Told is what has left; two pages wait in the outbox, and one may have been begun before the change.
  expect(place).toBeLessThanOrEqual((await toldAtCommit!) + 3 * 20);
  expect(place).toBeLessThan(1_000);
});

test('a rate is kept', async () => {
  await authors(60);
  const startedAt = performance.now();
  const pages: number[] = [];
  await service.cqrs.sync({ cqrsId: 'author', rate: 40, onProgress: ({ synced }) => pages.push(synced) });
  expect(performance.now() - startedAt).toBeGreaterThan(980);
  expect(pages).toEqual([40, 60]);
  await expect(service.cqrs.sync({ cqrsId: 'author', rate: 0 })).rejects.toThrow(InputError);
});

test('stopped and continued, each row is sent once', async () => {
  await authors(100);
  const abort = new AbortController();
  const first = await service.cqrs.sync({
    cqrsId: 'author',
    pageSize: 10,
    signal: abort.signal,
    onProgress: ({ synced }) => void (synced >= 30 && abort.abort()),
  });
  expect(first.synced).toBeGreaterThanOrEqual(30);
  expect(first.synced).toBeLessThan(100);
  expect(first.lastKey).toEqual([String(first.synced)]);
  const second = await service.cqrs.sync({ cqrsId: 'author', pageSize: 10, after: first.lastKey! });
  expect(second).toMatchObject({ synced: 100 - first.synced, lastKey: ['100'] });
  await until(100);
  expect(keys()).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
});

test('every kind of key', async () => {
  const uuids = ['0', '7', 'f'].map((digit) => `${digit}0000000-0000-4000-8000-000000000000`);
  const em = service.orm.em.fork();
  await service.cqrs.withoutReplication(async () => {
    await em.insertMany(
      UuidPk,
      uuids.map((id) => ({ id, name: 'u' })),
    );
    await em.insertMany(
      StrPk,
      ['a', "b's", 'c'].map((code) => ({ code, name: 's' })),
    );
    await em.insertMany(
      Pair,
      [1, 2].flatMap((left) => ['x', 'y'].map((right) => ({ left, right }))),
    );
  });
  const after = async (cqrsId: string, key: string[]): Promise<unknown> =>
    (await service.cqrs.sync({ cqrsId, after: key })).synced;
  expect(await after('uuid_pk', [uuids[0]!])).toBe(2);
  expect(await after('str_pk', ["b's"])).toBe(1);
  expect(await after('pair', ['1', 'x'])).toBe(3);
  expect(await after('pair', ['2', 'y'])).toBe(0);
});

test.each([
  ['author', ['x'], '["x"] is no key of author, whose key is (id int).'],
  ['author', ['1', '2'], '["1","2"] is no key of author, whose key is (id int).'],
  ['uuid_pk', ['7'], '["7"] is no key of uuid_pk, whose key is (id uuid).'],
  ['pair', ['1'], /^\["1"\] is no key of pair, whose key is \(left int, right varchar\(255\)\)\.$/],
])('%s: a key of another kind is refused: %j', async (cqrsId, after, message) => {
  const work = service.cqrs.sync({ cqrsId, after });
  await expect(work).rejects.toThrow(InputError);
  await expect(work).rejects.toThrow(message);
});

test('keys that choose rows leave nothing to begin behind', async () => {
  await expect(service.cqrs.sync({ cqrsId: 'author', keys: [['1']], after: ['1'] })).rejects.toThrow(InputError);
});
