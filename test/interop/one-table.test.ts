import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { CqrsEventName, CqrsEvents } from '../../src/kernel/events.js';
import { planAdditions } from '../../src/operations/schema/additive-plan.js';
import { runAdditions } from '../../src/operations/schema/run-additions.js';
import type { Relay } from '../../src/messaging/outbox/relay.js';
import { deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { Stock } from './models/our-masters.js';
import { StockRef } from './models/our-replicas.js';
import { type DjangoService, pythonCommand } from './support/django-service.js';
import { eventually } from './support/eventually.js';
import { type OurService, ourService } from './support/our-service.js';
import { interop } from './support/python.js';
import { PythonMaster } from './support/python-master.js';
import { PythonWorker } from './support/python-worker.js';
import { pika } from './support/transports.js';
import { TwoDatabases } from './support/two-databases.js';
import { workerReady } from './support/us-to-python.js';

/** How long a key lives at least, and is free between two lives, for its messages to be told apart in any order. */
const LIFE = 4;

/**
 * A table on its way from Django to MikroORM: both write it, each announces its own changes, and a replica of ours and one of
 * django-cqrs follow both. Django's role owns nothing, and has the grant that the guide for migrating names.
 */
interop('one table that Django and MikroORM write', () => {
  const role = `cqrs_django_${randomBytes(4).toString('hex')}`;
  const heard: { name: CqrsEventName; fields: CqrsEvents[CqrsEventName] }[] = [];
  const exchange = uniqueName('interop');
  const [queue, pythonQueue] = [`${exchange}_replica`, `${exchange}_python`];
  let databases: Record<'master' | 'replica' | 'python', TestDatabase>;
  let owner: pg.Client;
  let python: PythonMaster;
  let worker: PythonWorker;
  let ours: OurService;
  let replica: OurService;
  /** The table, and the replica of ours. */
  let views: TwoDatabases;
  /** The table, and the replica of django-cqrs. */
  let pythonViews: TwoDatabases;
  let relay: Relay | undefined;

  beforeAll(async () => {
    const [master, replicaDatabase, pythonDatabase] = await Promise.all([1, 2, 3].map(() => createDatabase()));
    databases = { master: master!, replica: replicaDatabase!, python: pythonDatabase! };
    const django = { transport: pika.python, exchange, databaseUrl: databases.master.url } as const;
    const migrated = await pythonCommand({ ...django, role: 'master' } satisfies DjangoService, [
      'migrate',
      '--run-syncdb',
    ]);
    expect([migrated.code, migrated.stderr]).toEqual([0, '']);

    ours = await ourService(databases.master.url, [Stock], {
      transport: pika.ours(),
      exchange,
      relay: { enabled: false, pollIntervalMs: 50 },
    });
    await runAdditions(ours.cqrs, (await planAdditions(ours.cqrs)).tables, () => {});
    owner = new pg.Client({ connectionString: databases.master.url });
    await owner.connect();
    await owner.query(`create role ${role} login password 'x'`);
    await owner.query(`grant select, insert, update, delete on stock to ${role}`);
    const url = new URL(databases.master.url);
    [url.username, url.password] = [role, 'x'];
    python = new PythonMaster({ ...django, databaseUrl: url.href, keepTables: true });

    replica = await ourService(databases.replica.url, [StockRef], { transport: pika.ours(), exchange, queue });
    await replica.orm.schema.create();
    replica.cqrs.events.onAny((name, fields) => heard.push({ name, fields }));
    await replica.cqrs.createConsumer().start();
    worker = new PythonWorker({ ...django, databaseUrl: databases.python.url, queue: pythonQueue });
    await workerReady(replica, pythonQueue, worker);
    views = await TwoDatabases.open({ master: databases.master.url, replica: databases.replica.url });
    pythonViews = await TwoDatabases.open({ master: databases.master.url, replica: databases.python.url });
  });
  afterAll(async () => {
    await stopRelay();
    await Promise.all([python, worker, ours, replica, views, pythonViews].map((one) => one[Symbol.asyncDispose]()));
    await owner.query(`drop owned by ${role}; drop role ${role}`);
    await owner.end();
    await Promise.all(Object.values(databases).map((database) => database.drop()));
    const queues = [queue, `dead_letter_${queue}`, `unreadable_${queue}`, pythonQueue, `dead_letter_${pythonQueue}`];
    await deleteTopology(exchange, queues);
  });

  const em = () => ours.orm.em.fork();
  const startRelay = async (): Promise<void> => {
    relay = ours.cqrs.createRelay();
    await relay.start();
  };
  const stopRelay = async (): Promise<void> => {
    await relay?.stop();
    relay = undefined;
  };
  const { create, change, remove } = {
    create: (id: number, name: string) => em().insert(Stock, { id, name }),
    change: (id: number, name: string) => em().nativeUpdate(Stock, { id }, { name }),
    remove: (id: number) => em().nativeDelete(Stock, { id }),
  };
  const seconds = (count: number) => owner.query('select pg_sleep($1)', [count]);
  const rows = (first: number, last = first) =>
    `select id, name, cqrs_revision, cqrs_updated from stock where id between ${first} and ${last} order by id`;
  const sameInOurs = (first: number, last?: number) => views.sameRows(rows(first, last));
  /** Both replicas have what the table has. */
  const same = async (first: number, last?: number) => {
    await pythonViews.sameRows(rows(first, last));
    return sameInOurs(first, last);
  };
  const deadLetters = () => heard.filter(({ name }) => name === 'cqrs.inbox.dead-lettered');

  test("without the grant on the sequence Django's INSERTs fail, with it they are announced", async () => {
    const row = { id: 1, name: 'of Django' };
    await expect(python.create('stock', row)).rejects.toThrow('permission denied for sequence cqrs_outbox_id_seq');
    await owner.query(`grant usage on sequence cqrs_outbox_id_seq to ${role}`);
    await python.create('stock', row);
    expect(await same(1)).toMatchObject([{ name: 'of Django', cqrs_revision: '0' }]);
    expect((await views.master('select cqrs_incarnation > 0 as given from stock where id = 1'))[0]).toEqual({
      given: 't',
    });
  });

  test('by turns: one counter of revisions, and one announcement a change', async () => {
    await startRelay();
    await python.create('stock', { id: 10, name: 'Django makes it' });
    await same(10);
    await change(10, 'MikroORM changes it');
    await same(10);
    await python.change('stock', 10, { name: 'Django changes it' });
    await same(10);
    await change(10, 'MikroORM again');
    expect(await same(10)).toMatchObject([{ name: 'MikroORM again', cqrs_revision: '3' }]);
    const told = heard.filter(({ fields }) => String(Reflect.get(fields, 'instancePk')) === '10');
    expect(told.map(({ name }) => name)).not.toContain('cqrs.replica.skipped');
    await create(11, 'MikroORM makes it');
    await same(11);
    await python.change('stock', 11, { name: 'Django changes it' });
    expect(await same(11)).toMatchObject([{ cqrs_revision: '1' }]);
    await remove(10);
    await python.delete('stock', 11);
    expect(await same(10, 11)).toEqual([]);
    await seconds(LIFE);
    await python.create('stock', { id: 10, name: 'Django makes it again' });
    await create(11, 'MikroORM makes it again');
    await same(10, 11);
    await change(10, 'and MikroORM changes it');
    await python.change('stock', 11, { name: 'and Django changes it' });
    expect(await same(10, 11)).toMatchObject([{ cqrs_revision: '1' }, { cqrs_revision: '1' }]);
    await stopRelay();
  });

  test('with our relay behind: what Django has announced meanwhile stays', async () => {
    for (const id of [20, 21, 22]) await python.create('stock', { id, name: 'start' });
    await create(23, 'start');
    await change(20, 'MikroORM first');
    await python.change('stock', 20, { name: 'Django after it' });
    await python.change('stock', 21, { name: 'Django first' });
    await change(21, 'MikroORM after it');
    await change(22, 'between two of Django');
    await python.change('stock', 23, { name: 'Django changes what no replica has heard of' });
    const before = `select name, cqrs_revision from stock where id in (20, 23) order by id`;
    await views.sameRows(before);
    await pythonViews.sameRows(before);
    await startRelay();
    await create(24, 'behind it');
    expect(await same(20, 24)).toMatchObject([
      { name: 'Django after it', cqrs_revision: '2' },
      { name: 'MikroORM after it', cqrs_revision: '2' },
      { name: 'between two of Django', cqrs_revision: '1' },
      { name: 'Django changes what no replica has heard of', cqrs_revision: '1' },
      { name: 'behind it' },
    ]);
    await stopRelay();
  });

  // A replica of django-cqrs keeps no memory of deletions: what comes late makes the row again, or takes a later one away.
  test('with our relay behind: deletions, and keys that are used again', async () => {
    for (const id of [30, 31, 32, 33]) await python.create('stock', { id, name: 'start' });
    await sameInOurs(30, 33);
    await seconds(LIFE);
    await change(30, 'changed by us before Django deletes it');
    await python.delete('stock', 30);
    await remove(31);
    await remove(32);
    await change(33, 'ours, then deleted by Django and made by us');
    await python.delete('stock', 33);
    await seconds(LIFE);
    await python.create('stock', { id: 31, name: 'made again by Django' });
    await create(32, 'made again by us');
    await create(33, 'made again by us');
    await views.replicaHas('select name from stock where id = 31', [{ name: 'made again by Django' }]);
    await python.change('stock', 32, { name: 'and changed by Django' });
    await startRelay();
    await create(34, 'behind it');
    await sameInOurs(34);
    expect(await sameInOurs(30, 33)).toMatchObject([
      { name: 'made again by Django', cqrs_revision: '0' },
      { name: 'and changed by Django', cqrs_revision: '1' },
      { name: 'made again by us', cqrs_revision: '0' },
    ]);
    expect(deadLetters()).toEqual([]);
    await stopRelay();
  });

  test('both at once, on the same rows, while our relay is away and comes back', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => 40 + index);
    for (const id of keys) await (id % 2 ? create(id, 'start') : python.create('stock', { id, name: 'start' }));
    await seconds(LIFE);
    const django = async (): Promise<void> => {
      for (let round = 0; round < 3; round++) {
        for (const id of keys) await python.change('stock', id, { name: `Django ${round}` });
      }
      for (const id of keys.slice(0, 4)) await python.delete('stock', id);
    };
    const mikroOrm = async (): Promise<void> => {
      for (let round = 0; round < 6; round++) {
        if (round === 3) await startRelay();
        for (const id of keys.toReversed()) await change(id, `MikroORM ${round}`);
      }
      for (const id of keys.slice(-4)) await remove(id);
    };
    await Promise.all([django(), mikroOrm()]);
    await create(60, 'behind it');
    await sameInOurs(60);
    await eventually(
      async () => (await ours.cqrs.outboxState())?.depth,
      (depth) => depth === 0,
    );
    const left = await sameInOurs(40, 59);
    expect(left.map(({ id }) => Number(id))).toEqual(keys.slice(4, -4));
    // Nobody's change was lost on the way: three of Django and six of ours.
    for (const { cqrs_revision } of left) expect(cqrs_revision).toBe('9');
    expect(deadLetters()).toEqual([]);
    await stopRelay();
  });
});
