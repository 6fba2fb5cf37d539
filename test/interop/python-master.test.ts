import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { interop } from './support/python.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { tap, type Tap } from './support/tap.js';
import { pairs } from './support/transports.js';

const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
const stock = 'select id, name, city, cqrs_revision, cqrs_updated from stock';

interop('Python master, our replica', () => {
  describe.each(pairs)('over %s', (_library, pair) => {
    let world: PythonToUs;
    let other: Tap;
    beforeAll(async () => {
      world = await pythonToUs(pair, { replica: { retryDelaySeconds: 0.2 } });
      other = await tap(world.exchange, ['sample', 'noted', 'stock', 'tracked']);
      await world.python.bulkCreate('writer', [
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
      await world.python.create('sample', {
        id: 1,
        title: 'one',
        body: 'text',
        amount: '19.90',
        ratio: 0.1,
        active: true,
        total: '42',
        day: '2024-02-29',
        at: '2024-01-02 03:04:05.123456+00:00',
        uid: uuid,
        data: { a: 1 },
      });
      const [row] = await world.databases.same('sample');
      expect(row).toMatchObject({
        title: 'one',
        amount: '19.900000',
        at: '2024-01-02 03:04:05.123456+00',
        cqrs_revision: '0',
      });
    });

    test('update', async () => {
      await world.python.change('sample', 1, { title: 'changed', active: false });
      await world.python.change('sample', 1, { title: 'changed again' });
      const [row] = await world.databases.same('sample');
      expect(row).toMatchObject({ title: 'changed again', active: 'f', cqrs_revision: '2' });
    });

    test('a save of chosen fields: django-cqrs keeps silent, the next full save carries it', async () => {
      await world.python.do({
        do: 'change',
        model: 'sample',
        key: 1,
        values: { title: 'unheard' },
        update_fields: true,
      });
      await world.python.change('sample', 1, { active: true });
      expect((await world.databases.same('sample'))[0]).toMatchObject({ title: 'unheard', cqrs_revision: '3' });
    });

    test('several saves in a transaction: one message, a revision for each save', async () => {
      await world.python.transaction([
        { do: 'create', model: 'sample', values: { id: 2, title: 'new' } },
        { do: 'change_repeatedly', model: 'sample', key: 1, values: [{ title: 'a' }, { title: 'b' }, { body: 'c' }] },
      ]);
      const rows = await world.databases.same('sample');
      expect(rows).toMatchObject([
        { id: '1', title: 'b', body: 'c', cqrs_revision: '6' },
        { id: '2', title: 'new', cqrs_revision: '0' },
      ]);
    });

    test('a transaction rolled back: nothing arrives', async () => {
      await world.python.do({
        do: 'transaction',
        roll_back: true,
        steps: [{ do: 'change', model: 'sample', key: 2, values: { title: 'lost' } }],
      });
      await world.python.change('sample', 2, { body: 'kept' });
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
        total: String(index),
      }));
      await world.python.bulkCreate('sample', rows);
      await world.databases.same('sample');
      await world.python.do({
        do: 'bulk_update',
        model: 'sample',
        where: { id__gte: 110 },
        values: { title: 'bulk', at: '2024-01-02T03:04:05Z' },
      });
      const found = await world.databases.same('sample');
      expect(found.filter(({ title, cqrs_revision }) => title === 'bulk' && cqrs_revision === '1')).toHaveLength(20);
    });

    test('delete, one and many', async () => {
      await world.python.delete('sample', 100);
      await world.python.do({ do: 'delete_where', model: 'sample', where: { id__gt: 101 } });
      const rows = await world.databases.same('sample');
      expect(rows.map(({ id }) => id)).toEqual(['1', '2', '101']);
    });

    test('a key deleted and used again', async () => {
      await world.python.create('stock', { id: 1, name: 'first life' });
      await world.python.change('stock', 1, { city: 'Bergen' });
      await world.databases.same('stock');
      await world.python.delete('stock', 1);
      await world.python.create('stock', { id: 1, name: 'second life' });
      expect(await world.databases.same('stock')).toMatchObject([
        { name: 'second life', city: null, cqrs_revision: '0' },
      ]);
    });

    test('an object saved and deleted in one transaction: django-cqrs cannot tell, and we keep the row', async () => {
      await world.python.create('stock', { id: 2, name: 'orphan' });
      const failed = world.python.do({
        do: 'change_and_delete',
        model: 'stock',
        key: 2,
        values: { name: 'last words' },
      });
      await expect(failed).rejects.toThrow('TypeError');
      await world.python.create('stock', { id: 3, name: 'later' });
      await world.databases.replicaHas('select id, name from stock order by id', [
        { id: '1', name: 'second life' },
        { id: '2', name: 'orphan' },
        { id: '3', name: 'later' },
      ]);
      expect(await world.databases.master('select id from stock order by id')).toEqual([{ id: '1' }, { id: '3' }]);
    });

    test('foreign keys: a row, none, changed, and a row that comes before the one it refers to', async () => {
      await world.python.create('book', { id: 1, title: 'Book', writer: 1 });
      await world.python.change('book', 1, { writer: 2, editor: 1 });
      await world.databases.same('book');
      await world.python.createSilently('writer', [{ id: 3, name: 'late' }]);
      await world.python.create('book', { id: 2, title: 'early', writer: 3 });
      await world.python.do({ do: 'sync', model: 'writer', key: 3 });
      await world.databases.same('writer');
      expect(await world.databases.same('book')).toMatchObject([
        { id: '1', writer_id: '2', editor_id: '1' },
        { id: '2', writer_id: '3', editor_id: null },
      ]);
    });

    test('keys: text, and not called id', async () => {
      const key = 'a/b é "q" #1';
      await world.python.create('text_keyed', { code: key, name: 'n' });
      await world.python.change('text_keyed', key, { name: 'changed' });
      await world.python.create('text_keyed', { code: '007', name: 'stays' });
      expect(await world.databases.same('text_keyed')).toHaveLength(2);
      await world.python.delete('text_keyed', key);
      expect(await world.databases.same('text_keyed')).toMatchObject([{ code: '007' }]);
    });

    test('keys: beyond 2^53', async () => {
      await world.python.bulkCreate('big_keyed', [
        { id: '9007199254740993', name: 'odd' },
        { id: '9007199254740992', name: 'even' },
      ]);
      await world.python.change('big_keyed', '9007199254740993', { name: 'changed' });
      expect(await world.databases.same('big_keyed')).toHaveLength(2);
      await world.python.delete('big_keyed', '9007199254740993');
      expect(await world.databases.same('big_keyed')).toMatchObject([{ id: '9007199254740992' }]);
    });

    test('keys: UUID; its DELETE never leaves Python', async () => {
      await world.python.create('uuid_keyed', { id: uuid, name: 'n' });
      await world.python.change('uuid_keyed', uuid, { name: 'changed' });
      expect(await world.databases.same('uuid_keyed')).toMatchObject([{ id: uuid, name: 'changed' }]);
      await expect(world.python.delete('uuid_keyed', uuid)).rejects.toThrow('TypeError');
      const next = '00000000-0000-0000-0000-00000000000a';
      await world.python.create('uuid_keyed', { id: next, name: 'later' });
      await world.databases.replicaHas('select id from uuid_keyed order by id', [{ id: next }, { id: uuid }]);
    });

    test('tracked fields: what was before reaches the hooks', async () => {
      const previous = async () => {
        await world.databases.same('tracked');
        const [row] = await world.databases.replica('select previous from tracked');
        return JSON.parse(row!['previous']!) as unknown;
      };
      await world.python.create('tracked', {
        id: 1,
        name: 'one',
        price: '1.10',
        writer: 1,
        at: '2024-01-02 03:04:05.123456+00:00',
        uid: uuid,
      });
      expect(await previous()).toEqual({ name: null, price: null, writer: null, at: null, uid: null });
      await world.python.change('tracked', 1, { name: 'two', price: '2.50', writer: 2 });
      expect(await previous()).toEqual({ name: 'one', price: '1.1', writer: 1 });
      await world.python.change('tracked', 1, { untracked: 7 });
      expect(await previous()).toBeNull();
      await world.python.change('tracked', 1, { at: null, uid: null });
      expect(await previous()).toEqual({ at: '2024-01-02T03:04:05.123Z', uid: uuid });
      await world.python.do({ do: 'bulk_update', model: 'tracked', where: {}, values: { name: 'bulk', writer: null } });
      expect(await previous()).toEqual({ name: 'two', price: '2.5', writer: 2, at: null, uid: null });
    });

    test('meta reaches the hooks', async () => {
      await world.python.create('noted', { id: 1, name: 'n' });
      await world.databases.same('noted');
      const note = async () =>
        JSON.parse((await world.databases.replica('select note from noted'))[0]!['note']!) as unknown;
      expect(await note()).toEqual({ by: 'Zoë', signal: 'SAVE', roles: ['a', { n: 1 }] });
      await world.python.do({ do: 'sync', model: 'noted', key: 1 });
      await world.databases.replicaHas(`select note->>'signal' as signal from noted`, [{ signal: 'SYNC' }]);
    });

    test('correlation id', async () => {
      await world.python.change('noted', 1, { name: 'correlated' });
      const { body } = await other.next(
        ({ body: { instance_data: data } }) => (data as { name?: string }).name === 'correlated',
      );
      expect(body['correlation_id']).toBe('SAVE/noted/1');
      await world.databases.same('noted');
    });

    test('custom serializer', async () => {
      await world.python.create('album', { id: 1, name: 'Überalbum', writer: 1 });
      await world.python.change('album', 1, { writer: 2 });
      const rows = await world.databases.sameRows(
        `select a.id, a.name, w.name as writer_name, a.cqrs_revision, a.cqrs_updated from album a join writer w on w.id = a.writer_id`,
        'select id, name, writer_name, cqrs_revision, cqrs_updated from album',
      );
      expect(rows).toMatchObject([{ writer_name: 'B', cqrs_revision: '1' }]);
    });

    test('custom delete data reaches the hook', async () => {
      await world.python.create('removable', { id: 1, name: 'né' });
      await world.databases.same('removable');
      await world.python.delete('removable', 1);
      expect(await world.databases.same('removable')).toEqual([]);
      await world.databases.replicaHas('select * from removal', [
        { id: '1', custom: '{"steps": [1, 2], "reason": "né is void"}' },
      ]);
    });

    test('sync of everything', async () => {
      await world.python.command('cqrs_sync', '--cqrs-id', 'stock', '--filter', '{}');
      await world.ours.orm.em
        .getConnection()
        .execute(`update stock set name = 'damaged', city = 'nowhere' where id = 1`);
      await world.python.createSilently('stock', [
        { id: 10, name: 'unheard', city: 'Łódź' },
        { id: 11, name: 'unheard', city: 'Kraków' },
      ]);
      await world.python.do({
        do: 'bulk_update',
        model: 'stock',
        where: { id: 3 },
        values: { city: 'silent' },
        announced: false,
      });
      const printed = await world.python.command('cqrs_sync', '--cqrs-id', 'stock', '--filter', '{"id__gt":0}');
      expect(printed).toContain('4 instance(s) synced');
      await world.databases.sameRows(`${stock} order by id`, `${stock} where id <> 2 order by id`);
    });

    test('sync of a filter', async () => {
      await world.python.createSilently('stock', [
        { id: 20, name: 'wanted', city: 'Gent' },
        { id: 21, name: 'left out', city: 'Oslo' },
      ]);
      await world.python.command('cqrs_sync', '-cid', 'stock', '-f', '{"city":"Gent"}');
      await world.databases.sameRows(`${stock} where id = 20`, `${stock} where id >= 20`);
    });

    test('sync to one queue', async () => {
      await world.python.command('cqrs_sync', '-cid', 'stock', '-f', '{"id":21}', '--queue', world.queue);
      await world.databases.sameRows(`${stock} where id = 21`);
      await world.python.createSilently('stock', [{ id: 22, name: 'for another' }]);
      await world.python.command('cqrs_sync', '-cid', 'stock', '-f', '{"id":22}', '--queue', other.queue);
      await other.next(({ routingKey }) => routingKey === `cqrs.${other.queue}.stock`);
      expect(other.heard.filter(({ body }) => (body['instance_data'] as { id: number }).id === 21)).toEqual([]);
      await world.python.create('stock', { id: 23, name: 'marker' });
      await world.databases.replicaHas('select id from stock where id > 21', [{ id: '23' }]);
    });

    test('what Python cannot send: times, durations, bytes, foreign keys to UUIDs', async () => {
      await expect(world.python.create('odd_time', { id: 1, clock: '10:11:12' })).rejects.toThrow('TypeError');
      await expect(world.python.create('odd_duration', { id: 1, span: '1 02:03:04' })).rejects.toThrow('TypeError');
      await expect(world.python.create('odd_bytes', { id: 1, bytes: '00ff' })).rejects.toThrow('TypeError');
      await world.python.create('uuid_keyed', { id: uuid.replace('6', '7'), name: 'owner' });
      await expect(world.python.create('odd_owner', { id: 1, owner: uuid.replace('6', '7') })).rejects.toThrow(
        'TypeError',
      );
    });

    test('nothing was set aside on the way', () => {
      const names = new Set(world.heard.map(({ name }) => name));
      expect([...names].filter((name) => /dead-lettered|unreadable|failed|distrusted/.test(name))).toEqual([]);
    });
  });
});
