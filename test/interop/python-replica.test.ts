import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { raw } from '@mikro-orm/postgresql';
import {
  Album, BigKeyed, Book, Noted, OddBytes, OddDuration, OddOwner, OddTime, Rating, Removable, Review, Sample, Stock, TextKeyed,
  Tracked, UuidKeyed, Writer,
} from './models/our-masters.js'; // prettier-ignore
import { eventually } from './support/eventually.js';
import { interop } from './support/python.js';
import { tap, type Tap } from './support/tap.js';
import { pairs } from './support/transports.js';
import { type UsToPython, usToPython } from './support/us-to-python.js';

const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
const stock = 'select id, name, city, cqrs_revision, cqrs_updated from stock';
const time = (text: string) => raw(`'${text}'::timestamptz`);

interop('our master, Python replica', () => {
  describe.each(pairs)('over %s', (library, pair) => {
    let world: UsToPython;
    let other: Tap;
    const em = () => world.ours.orm.em.fork();
    const silently = (work: () => Promise<unknown>) => world.ours.cqrs.withoutReplication(work);
    beforeAll(async () => {
      world = await usToPython(pair, {
        master: {
          correlationFunction: ({ signalType, cqrsId, instancePk }) =>
            cqrsId === 'noted' ? `${signalType}/${cqrsId}/${String(instancePk)}` : null,
        },
      });
      other = await tap(world.exchange, ['stock']);
      await em().insertMany(Writer, [
        { id: 1, name: 'José Núñez' },
        { id: 2, name: 'B' },
      ]);
      await world.databases.same('writer');
    });
    afterAll(async () => {
      await other[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    test('create', async () => {
      const fork = em();
      fork.create(Sample, {
        id: 1,
        title: 'one',
        body: 'text',
        amount: '19.9',
        ratio: 0.1,
        active: true,
        total: 42n,
        day: '2024-02-29',
        at: new Date('2024-01-02T03:04:05.120Z'),
        uid: uuid,
        data: { a: 1 },
      });
      await fork.flush();
      const [row] = await world.databases.same('sample');
      expect(row).toMatchObject({
        title: 'one',
        amount: '19.900000',
        at: '2024-01-02 03:04:05.12+00',
        cqrs_revision: '0',
      });
    });

    test('update', async () => {
      const fork = em();
      const sample = await fork.findOneOrFail(Sample, 1);
      sample.title = 'changed';
      await fork.flush();
      sample.active = false;
      await fork.flush();
      await em().nativeUpdate(Sample, { id: 1 }, { body: raw(`body || '!'`) as never });
      expect(await world.databases.same('sample')).toMatchObject([
        { title: 'changed', active: 'f', body: 'text!', cqrs_revision: '3' },
      ]);
    });

    test('several saves in a transaction: one message, one step of the revision', async () => {
      await em().transactional(async (inner) => {
        inner.create(Sample, { id: 2, title: 'new' });
        const sample = await inner.findOneOrFail(Sample, 1);
        for (const title of ['a', 'b', 'c']) {
          sample.title = title;
          await inner.flush();
        }
      });
      expect(await world.databases.same('sample')).toMatchObject([
        { id: '1', title: 'c', cqrs_revision: '4' },
        { id: '2', title: 'new', cqrs_revision: '0' },
      ]);
    });

    test('a transaction rolled back: nothing arrives', async () => {
      const failing = em().transactional(async (inner) => {
        await inner.nativeUpdate(Sample, { id: 2 }, { title: 'lost' });
        throw new Error('rolled back');
      });
      await expect(failing).rejects.toThrow('rolled back');
      await em().nativeUpdate(Sample, { id: 2 }, { body: 'kept' });
      expect((await world.databases.same('sample'))[1]).toMatchObject({
        title: 'new',
        body: 'kept',
        cqrs_revision: '1',
      });
    });

    test('bulk create and bulk update', async () => {
      const rows = Array.from({ length: 30 }, (_, index) => ({
        id: 100 + index,
        title: `bulk ${index}`,
        total: BigInt(index),
      }));
      await Sample.cqrs(em()).bulkCreate(rows);
      await Sample.cqrs(em()).bulkUpdate(
        { id: { $gte: 110 } },
        { title: 'bulk', at: time('2024-01-02T03:04:05Z') as never },
      );
      const found = await world.databases.same('sample');
      expect(found.filter(({ title, cqrs_revision }) => title === 'bulk' && cqrs_revision === '1')).toHaveLength(20);
    });

    test('delete, one and many', async () => {
      const fork = em();
      fork.remove(await fork.findOneOrFail(Sample, 100));
      await fork.flush();
      await em().nativeDelete(Sample, { id: { $gt: 101 } });
      const rows = await world.databases.same('sample');
      expect(rows.map(({ id }) => id)).toEqual(['1', '2', '101']);
    });

    test('a key deleted and used again, in two transactions and in one', async () => {
      await em().insert(Stock, { id: 1, name: 'first life' });
      await em().nativeUpdate(Stock, { id: 1 }, { city: 'Bergen' });
      await em().nativeDelete(Stock, { id: 1 });
      await em().insert(Stock, { id: 1, name: 'second life' });
      expect(await world.databases.same('stock')).toMatchObject([
        { name: 'second life', city: null, cqrs_revision: '0' },
      ]);
      await em().transactional(async (inner) => {
        await inner.nativeDelete(Stock, { id: 1 });
        await inner.insert(Stock, { id: 1, name: 'third life' });
      });
      expect(await world.databases.same('stock')).toMatchObject([{ name: 'third life', cqrs_revision: '1' }]);
    });

    test('a row that leaves the filter is deleted, and comes back', async () => {
      await em().nativeUpdate(Stock, { id: 1 }, { city: 'hidden' });
      await world.databases.replicaHas('select id from stock', []);
      await em().nativeUpdate(Stock, { id: 1 }, { city: 'Bergen' });
      expect(await world.databases.same('stock')).toMatchObject([{ city: 'Bergen', cqrs_revision: '3' }]);
    });

    test('foreign keys: in a column called as the relation, mapped onto another, written by methods of the replica', async () => {
      await em().insert(Book, { id: 1, title: 'Book', writer: 1 });
      await em().nativeUpdate(Book, { id: 1 }, { writer: 2, editor: 1 });
      await em().insert(Review, { id: 1, writer: 1 });
      await em().nativeUpdate(Review, { id: 1 }, { writer: 2 });
      expect(await world.databases.same('book')).toMatchObject([
        { writer_id: '2', editor_id: '1', cqrs_revision: '1' },
      ]);
      expect(await world.databases.same('review')).toMatchObject([{ writer_id: '2', cqrs_revision: '1' }]);
      await em().nativeUpdate(Book, { id: 1 }, { editor: null });
      expect(await world.databases.same('book')).toMatchObject([{ editor_id: null }]);
    });

    test('keys: text, and not called id', async () => {
      const code = 'a/b é "q" #1';
      await em().insert(TextKeyed, { code, name: 'n' });
      await em().nativeUpdate(TextKeyed, { code }, { name: 'changed' });
      await em().insert(TextKeyed, { code: '007', name: 'stays' });
      expect(await world.databases.same('text_keyed')).toHaveLength(2);
      await em().nativeDelete(TextKeyed, { code });
      expect(await world.databases.same('text_keyed')).toMatchObject([{ code: '007' }]);
    });

    test('keys: beyond 2^53', async () => {
      await em().insertMany(BigKeyed, [
        { id: 9007199254740993n, name: 'odd' },
        { id: 9007199254740992n, name: 'even' },
      ]);
      await em().nativeUpdate(BigKeyed, { id: 9007199254740993n }, { name: 'changed' });
      expect(await world.databases.same('big_keyed')).toHaveLength(2);
      await em().nativeDelete(BigKeyed, { id: 9007199254740993n });
      expect(await world.databases.same('big_keyed')).toMatchObject([{ id: '9007199254740992' }]);
    });

    test('keys: UUID, its DELETE too', async () => {
      await em().insert(UuidKeyed, { id: uuid, name: 'n' });
      await em().nativeUpdate(UuidKeyed, { id: uuid }, { name: 'changed' });
      expect(await world.databases.same('uuid_keyed')).toMatchObject([{ id: uuid, name: 'changed' }]);
      await em().nativeDelete(UuidKeyed, { id: uuid });
      expect(await world.databases.same('uuid_keyed')).toEqual([]);
    });

    test('tracked fields: what was before reaches the replica', async () => {
      const previous = async () => {
        await world.databases.same('tracked');
        const [row] = await world.databases.replica('select previous from tracked');
        return JSON.parse(row!['previous'] ?? 'null') as unknown;
      };
      const at = time('2024-01-02 03:04:05.123456+00') as never;
      await em().insert(Tracked, { id: 1, name: 'one', price: '1.10', writer: 1, at, uid: uuid });
      expect(await previous()).toEqual({ name: null, price: null, writer: null, at: null, uid: null });
      await em().nativeUpdate(Tracked, { id: 1 }, { name: 'two', price: '2.50', writer: 2 });
      expect(await previous()).toEqual({ name: 'one', price: '1.10', writer: 1 });
      await em().nativeUpdate(Tracked, { id: 1 }, { untracked: 7 });
      expect(await previous()).toBeNull();
      await em().transactional(async (inner) => {
        await inner.nativeUpdate(Tracked, { id: 1 }, { untracked: 8 });
        await inner.nativeUpdate(Tracked, { id: 1 }, { at: null, uid: null });
      });
      expect(await previous()).toEqual({ at: '2024-01-02 03:04:05.123456+00:00', uid: uuid });
    });

    test(library === 'pika' ? 'meta reaches the replica' : 'meta: dropped by the replica, over kombu', async () => {
      await em().insert(Noted, { id: 1, name: 'n' });
      await world.databases.same('noted');
      const [row] = await world.databases.replica('select note from noted');
      const meta = { by: 'Zoë', signal: 'SAVE', roles: ['a', { n: 1 }] };
      expect(JSON.parse(row!['note'] ?? 'null')).toEqual(library === 'pika' ? meta : null);
    });

    test('correlation id', async () => {
      await em().nativeUpdate(Noted, { id: 1 }, { name: 'correlated' });
      await em().nativeDelete(Noted, { id: 1 });
      await world.worker.says('CQRS is applied: pk = 1 (noted), correlation_id = SAVE/noted/1.');
      await world.worker.says('CQRS is applied: pk = 1 (noted), correlation_id = DELETE/noted/1.');
      expect(await world.databases.same('noted')).toEqual([]);
    });

    test('custom serializer', async () => {
      await em().insert(Album, { id: 1, name: 'Überalbum', writer: 1 });
      await em().nativeUpdate(Album, { id: 1 }, { writer: 2 });
      const rows = await world.databases.sameRows(
        'select a.id, a.name, w.name as writer_name, a.cqrs_revision, a.cqrs_updated from album a join writer w on w.id = a.writer_id',
        'select id, name, writer_name, cqrs_revision, cqrs_updated from album',
      );
      expect(rows).toMatchObject([{ writer_name: 'B', cqrs_revision: '1' }]);
    });

    test('custom delete data reaches the replica', async () => {
      await em().insert(Removable, { id: 1, name: 'né' });
      await em().nativeDelete(Removable, { id: 1 });
      await world.databases.replicaHas('select * from removal', [
        { id: '1', custom: '{"steps": [1, 2], "reason": "né is void"}' },
      ]);
      expect(await world.databases.same('removable')).toEqual([]);
    });

    test('sync of everything', async () => {
      await silently(async () => {
        await em().nativeUpdate(Stock, { id: 1 }, { city: 'silent' });
        await em().insertMany(Stock, [
          { id: 10, name: 'unheard', city: 'Łódź' },
          { id: 11, name: 'unheard', city: 'Kraków' },
        ]);
      });
      expect(await world.ours.cqrs.sync({ cqrsId: 'stock' })).toMatchObject({ synced: 3, withdrawn: 0, unroutable: 0 });
      expect(await world.databases.same('stock')).toHaveLength(3);
      await other.next(({ body }) => body['signal_type'] === 'SYNC' && body['instance_pk'] === 11);
    });

    test('sync of a filter', async () => {
      const rows = [
        { id: 20, name: 'wanted', city: 'Gent' },
        { id: 21, name: 'left out', city: 'Oslo' },
      ];
      await silently(() => em().insertMany(Stock, rows));
      await world.ours.cqrs.sync({ cqrsId: 'stock', filter: { city: 'Gent' } });
      await world.databases.sameRows(`${stock} where id = 20`, `${stock} where id >= 20`);
    });

    test('sync to one queue', async () => {
      await world.ours.cqrs.sync({ cqrsId: 'stock', filter: { id: 21 }, queue: world.queue });
      await world.databases.sameRows(`${stock} where id = 21`);
      await silently(() => em().insert(Stock, { id: 22, name: 'for another' }));
      await world.ours.cqrs.sync({ cqrsId: 'stock', filter: { id: 22 }, queue: other.queue });
      await other.next(({ routingKey }) => routingKey === `cqrs.${other.queue}.stock`);
      expect(other.heard.filter(({ body }) => body['instance_pk'] === 21)).toEqual([]);
      await em().insert(Stock, { id: 23, name: 'marker' });
      await world.databases.replicaHas('select id from stock where id > 21', [{ id: '23' }]);
    });

    test('what Python could not send: times, durations, foreign keys to UUIDs', async () => {
      await em().insert(OddTime, { id: 1, clock: '10:11:12.000345' });
      await em().insert(OddDuration, { id: 1, span: '400 days 02:03:04.5' });
      await em().insert(UuidKeyed, { id: uuid, name: 'owner' });
      await em().insert(OddOwner, { id: 1, owner: uuid });
      for (const table of ['odd_time', 'odd_duration', 'odd_owner'])
        expect(await world.databases.same(table)).toHaveLength(1);
    });

    if (library === 'pika') {
      test('bytes and a real foreign key: Python cannot store them and sets them aside', async () => {
        await em().insert(OddBytes, { id: 1, bytes: Buffer.from([0, 255]) });
        await em().insert(Rating, { id: 1, writer: 1 });
        expect(
          await eventually(
            () => world.waitingIn(`dead_letter_${world.queue}`),
            (count) => count === 2,
          ),
        ).toBe(2);
        expect(await world.databases.replica('select id from odd_bytes union all select id from rating')).toEqual([]);
      });
    } else {
      test('a real foreign key: the Python worker dies of it, and the message waits', async () => {
        await em().insert(Rating, { id: 1, writer: 1 });
        await world.worker.says('must be a "WriterRef" instance');
        const state = () => world.ours.cqrs.transport.inspect(world.queue);
        expect(await eventually(state, (found) => found?.consumers === 0)).toEqual({ messages: 1, consumers: 0 });
      });
    }
  });
});
