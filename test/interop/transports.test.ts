import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { deleteTopology, uniqueName } from '../support/broker.js';
import { masters, Noted } from './models/our-masters.js';
import { eventually } from './support/eventually.js';
import { type OurService, ourService } from './support/our-service.js';
import { interop } from './support/python.js';
import { PythonMaster } from './support/python-master.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { tap, type Tap } from './support/tap.js';
import { kombu, pairs } from './support/transports.js';

interop('our transport of the same name', () => {
  describe.each(pairs)('over %s', (library, pair) => {
    const exchange = uniqueName('interop');
    let databases: TestDatabase[];
    let python: PythonMaster;
    let ours: OurService;
    let heard: Tap;
    beforeAll(async () => {
      databases = await Promise.all([createDatabase(), createDatabase()]);
      python = new PythonMaster({ transport: pair.python, databaseUrl: databases[0]!.url, exchange });
      ours = await ourService(databases[1]!.url, masters, { transport: pair.ours(), exchange });
      await ours.orm.schema.create();
      await ours.cqrs.start();
      heard = await tap(exchange, ['noted']);
    });
    afterAll(async () => {
      await Promise.all([heard, python, ours].map((part) => part[Symbol.asyncDispose]()));
      await Promise.all(databases.map((database) => database.drop()));
      await deleteTopology(exchange, []);
    });

    test(`sends messages with the properties that ${library} gives them`, async () => {
      await python.create('noted', { id: 1, name: 'theirs' });
      await ours.orm.em.fork().insert(Noted, { id: 2, name: 'ours' });
      const theirs = await heard.next(({ body }) => body['instance_pk'] === 1);
      const own = await heard.next(({ body }) => body['instance_pk'] === 2);
      const { headers: _, ...expected } = theirs.properties;
      expect(own.properties).toMatchObject(expected);
      expect(own.routingKey).toBe(theirs.routingKey);
      expect(theirs.properties).toMatchObject(
        library === 'kombu'
          ? { contentType: 'text/plain', contentEncoding: 'utf-8', priority: 0, deliveryMode: 2, headers: {} }
          : {
              contentType: 'text/plain',
              contentEncoding: undefined,
              priority: undefined,
              deliveryMode: 2,
              headers: {},
            },
      );
    });

    test('sends bodies with the keys of Python, and one of our own', async () => {
      const theirs = await heard.next(({ body }) => body['instance_pk'] === 1);
      const own = await heard.next(({ body }) => body['instance_pk'] === 2);
      expect(Object.keys(own.body).toSorted()).toEqual([...Object.keys(theirs.body), 'cqrs_incarnation'].toSorted());
      expect(Object.keys(own.body['instance_data'] as object).toSorted()).toEqual(
        Object.keys(theirs.body['instance_data'] as object).toSorted(),
      );
    });
  });

  interop('KombuTransport, receiving', () => {
    let world: PythonToUs;
    beforeAll(async () => void (world = await pythonToUs(kombu)));
    afterAll(async () => world[Symbol.asyncDispose]());

    test('holds ten messages, as kombu does, and leaves the others to other workers', async () => {
      const locker = new pg.Client({ connectionString: world.replicaUrl });
      await locker.connect();
      await locker.query('begin; lock table stock');
      await world.python.bulkCreate(
        'stock',
        Array.from({ length: 25 }, (_, id) => ({ id, name: 'waits' })),
      );
      const waiting = () => world.ours.cqrs.transport.inspect(world.queue);
      expect(await eventually(waiting, (state) => state?.messages === 15)).toMatchObject({ messages: 15 });
      await locker.query('commit');
      await locker.end();
      expect(await world.databases.same('stock')).toHaveLength(25);
    });
  });
});
