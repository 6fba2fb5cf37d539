import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { raw } from '@mikro-orm/postgresql';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { Fragile, masters, Stock } from './models/our-masters.js';
import { FragileRef } from './models/our-replicas.js';
import { eventually } from './support/eventually.js';
import { type OurService, ourService } from './support/our-service.js';
import { interop } from './support/python.js';
import { PythonMaster } from './support/python-master.js';
import { type SharedQueue, sharedQueue } from './support/shared-queue.js';
import { pairs, type TransportPair } from './support/transports.js';
import { TwoDatabases } from './support/two-databases.js';

const COUNT = 100;
const ROUNDS = 15;
const ids = Array.from({ length: COUNT }, (_, index) => index + 1);

const unwanted = ids.slice(0, 10).map((id) => ({ id, name: 'ours will not have it' }));

/** What a master does to its rows, whoever it is; each row changed is one message. */
interface Sender extends AsyncDisposable {
  create(): Promise<unknown>;
  /** All rows at once. */
  change(): Promise<unknown>;
  /** The first ten rows, one after the other. */
  changeFew(round: number): Promise<unknown>;
  delete(): Promise<unknown>;
  fragile(): Promise<unknown>;
}

async function pythonSender(pair: TransportPair, databaseUrl: string, exchange: string): Promise<Sender> {
  const python = new PythonMaster({ transport: pair.python, databaseUrl, exchange });
  return {
    create: () =>
      python.bulkCreate(
        'stock',
        ids.map((id) => ({ id, name: `row ${id}` })),
      ),
    change: () => python.do({ do: 'bulk_update', model: 'stock', where: {}, values: { city: 'Bergen' } }),
    changeFew: (round) =>
      python.do({ do: 'bulk_update', model: 'stock', where: { id__lte: 10 }, values: { name: `round ${round}` } }),
    delete: () => python.do({ do: 'delete_where', model: 'stock', where: {} }),
    fragile: () => python.bulkCreate('fragile', unwanted),
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  };
}

async function ourSender(pair: TransportPair, databaseUrl: string, exchange: string): Promise<Sender> {
  const service: OurService = await ourService(databaseUrl, masters, { transport: pair.ours(), exchange });
  await service.orm.schema.create();
  await service.cqrs.start();
  const em = () => service.orm.em.fork();
  return {
    create: () =>
      em().insertMany(
        Stock,
        ids.map((id) => ({ id, name: `row ${id}` })),
      ),
    change: () => em().nativeUpdate(Stock, {}, { city: 'Bergen' }),
    changeFew: (round) =>
      em().nativeUpdate(Stock, { id: { $lte: 10 } }, { name: `round ${round}`, city: raw(`city || '.'`) as never }),
    delete: () => em().nativeDelete(Stock, {}),
    fragile: () => em().insertMany(Fragile, unwanted),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

interop('a queue shared by a Python worker and ours', () => {
  const senders = { 'a Python master': pythonSender, 'our master': ourSender };
  const cases = pairs.flatMap(([library, pair]) => [
    { library, pair, first: 'Python', master: 'a Python master' } as const,
    { library, pair, first: 'ours', master: 'our master' } as const,
  ]);

  describe.each(cases)('over $library, $first first, rows of $master', ({ pair, first, master }) => {
    let masterDatabase: TestDatabase;
    let replica: SharedQueue;
    let sender: Sender;
    let databases: TwoDatabases;
    beforeAll(async () => {
      FragileRef.permitted = false;
      masterDatabase = await createDatabase();
      replica = await sharedQueue(pair, first);
      sender = await senders[master](pair, masterDatabase.url, replica.exchange);
      databases = await TwoDatabases.open({ master: masterDatabase.url, replica: replica.replicaUrl });
    });
    afterAll(async () => {
      await Promise.all([sender, replica, databases].map((part) => part[Symbol.asyncDispose]()));
      await masterDatabase.drop();
    });

    if (first === 'Python') {
      test("the migration of Django's tables only adds", () => {
        const added = (table: string) => [
          `alter table "${table}" add "cqrs_incarnation" bigint null;`,
          `alter table "${table}" alter column "cqrs_revision" set default 0;`,
          `alter table "${table}" alter column "cqrs_updated" set default clock_timestamp();`,
        ];
        const ours = /^(create (table|index)|comment on table) "cqrs_(tombstones|activity|jobs)/;
        const changes = replica.migration.filter((line) => !ours.test(line));
        expect(changes).toEqual([...added('fragile'), ...added('stock')]);
      });
    }

    /** Does something that makes so many messages, and answers with how many each of the two has taken. */
    async function share(count: number, doing: () => Promise<unknown>): Promise<{ python: number; ours: number }> {
      const taken = () => ({
        python: replica.worker.applied,
        ours: replica.count('cqrs.inbox.applied') + replica.count('cqrs.inbox.skipped'),
      });
      const before = taken();
      await doing();
      const since = () => ({ python: taken().python - before.python, ours: taken().ours - before.ours });
      return eventually(since, ({ python, ours }) => python + ours >= count);
    }

    test('rows created, changed and deleted: each message to one of the two, every row the same', async () => {
      for (const step of ['create', 'change', 'delete'] as const) {
        const { python, ours } = await share(COUNT, () => sender[step]());
        const rows = await databases.same('stock');
        expect(rows).toHaveLength(step === 'delete' ? 0 : COUNT);
        expect(python + ours).toBe(COUNT);
        expect(Math.min(python, ours)).toBeGreaterThan(0);
      }
    });

    test('the same few rows changed again and again: the newest state is there in the end', async () => {
      await share(COUNT, () => sender.create());
      await share(COUNT, () => sender.change());
      const { python, ours } = await share(10 * ROUNDS, async () => {
        for (let round = 1; round <= ROUNDS; round++) await sender.changeFew(round);
      });
      expect((await databases.same('stock'))[9]).toMatchObject({
        id: '10',
        name: `round ${ROUNDS}`,
        cqrs_revision: String(ROUNDS + 1),
      });
      expect(python + ours).toBe(10 * ROUNDS);
      expect(Math.min(python, ours)).toBeGreaterThan(0);
    });

    test('messages that ours cannot apply are tried again until Python applies them', async () => {
      await databases.replica('insert into permit (id) values (1)');
      await sender.fragile();
      expect(await databases.same('fragile')).toHaveLength(unwanted.length);
      expect(replica.count('cqrs.inbox.retried')).toBeGreaterThan(0);
      for (const { id } of unwanted) await replica.worker.says(`CQRS is applied: pk = ${id} (fragile)`);
    });

    test('the broker was asked for nothing that it refuses, and nothing was set aside', () => {
      expect(replica.worker.log.filter((line) => /PRECONDITION|reconnect|dead letter/i.test(line))).toEqual([]);
      expect(replica.count('cqrs.inbox.dead-lettered') + replica.count('cqrs.transport.disconnected')).toBe(0);
    });
  });
});
