import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { interop } from './support/python.js';
import { type PythonToUs, pythonToUs } from './support/python-to-us.js';
import { pairs } from './support/transports.js';

const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
const foreign = 'Grüße, 日本語, 🎉 "quoted" back\\slash / <b>&amp; \t\r\n\u0007\u2028\u00a0 end';

interop('values of a Python master in our replica', () => {
  describe.each(pairs)('over %s', (_library, pair) => {
    let world: PythonToUs;
    beforeAll(async () => {
      world = await pythonToUs(pair);
    });
    afterAll(async () => {
      await world[Symbol.asyncDispose]();
    });

    test('nulls', async () => {
      await world.python.create('sample', {
        id: 199,
        title: 'filled',
        body: 'text',
        amount: '1.5',
        ratio: 0.1,
        active: true,
        total: '42',
        day: '2024-02-29',
        at: '2024-01-02 03:04:05+00:00',
        uid: uuid,
        data: {},
      });
      await world.databases.same('sample');
      await world.python.create('sample', { id: 200, title: '' });
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '200')).toMatchObject({
        title: '',
        body: null,
        amount: null,
        ratio: null,
        active: null,
        total: null,
        day: null,
        at: null,
        uid: null,
        data: null,
      });
      await world.python.change('sample', 199, {
        body: null,
        amount: null,
        active: null,
        day: null,
        at: null,
        uid: null,
        data: null,
      });
      await world.databases.same('sample');
    });

    test('non-ASCII, control characters', async () => {
      await world.python.create('sample', {
        id: 201,
        title: foreign,
        body: foreign.repeat(50),
        data: { [foreign]: foreign },
      });
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '201')!['title']).toBe(foreign);
    });

    test('decimals: through a float, as django-cqrs sends them', async () => {
      await world.python.bulkCreate('sample', [
        { id: 210, title: 'small', amount: '0.000001' },
        { id: 211, title: 'whole', amount: '20.00' },
        { id: 212, title: 'negative', amount: '-12345678.125' },
      ]);
      await world.databases.same('sample');
      await world.python.create('sample', { id: 213, title: 'digits', amount: '123456789012345678.123456' });
      await world.databases.sameRows(
        // what a double has of it
        'select id, amount::float8::text::numeric(24,6) as amount from sample where id = 213',
        'select id, amount from sample where id = 213',
      );
      expect(await world.databases.replica('select amount from sample where id = 213')).toEqual([
        { amount: '123456789012345680.000000' },
      ]);
      await world.python.delete('sample', 213);
    });

    test('numbers: 64 bits, floats to the last digit, NaN and infinities', async () => {
      await world.python.bulkCreate('sample', [
        { id: 220, title: 'beyond doubles', total: '9007199254740993' },
        { id: 221, title: 'greatest', total: '9223372036854775807' },
        { id: 222, title: 'least', total: '-9223372036854775808' },
        { id: 223, title: 'digits', ratio: 1.2345678901234567 },
        { id: 224, title: 'huge', ratio: 1.7976931348623157e308 },
        { id: 225, title: 'tiny', ratio: 5e-324 },
        { id: 226, title: 'whole', ratio: 3 },
        { id: 227, title: 'not a number', ratio: 'NaN' },
        { id: 228, title: 'infinite', ratio: '-inf' },
      ]);
      await world.databases.same('sample');
    });

    test('numbers: negative zero, whose sign the Python driver of PostgreSQL drops and the message keeps', async () => {
      await world.python.create('sample', { id: 229, title: 'negative zero', ratio: '-0.0' });
      await world.databases.replicaHas('select ratio from sample where id = 229', [{ ratio: '-0' }]);
      await world.python.delete('sample', 229);
    });

    test('dates and times: microseconds, offsets, leap days, far away', async () => {
      await world.python.bulkCreate('sample', [
        { id: 230, title: 'microseconds', at: '2024-01-02 03:04:05.000001+00:00', day: '2024-02-29' },
        { id: 231, title: 'offset', at: '2024-07-01T23:30:00.5+05:45', day: '0001-01-01' },
        { id: 232, title: 'west', at: '2024-07-01 23:30:00-11:00', day: '9999-12-31' },
        { id: 233, title: 'far', at: '9999-12-31 23:59:59.999999+00:00' },
        { id: 234, title: 'long ago', at: '0100-01-01 00:00:00+00:00' },
      ]);
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '231')).toMatchObject({ at: '2024-07-01 17:45:00.5+00' });
    });

    test('JSON', async () => {
      const deep = {
        b: [1, 2.5, null, true, 'é/ü', []],
        a: { nested: { deep: '🎉' } },
        big: 1e21,
        '': 'empty key',
        html: 'https://x/y?a=<b>&c',
      };
      await world.python.bulkCreate('sample', [
        { id: 240, title: 'object', data: deep },
        { id: 241, title: 'array', data: [] },
        { id: 242, title: 'text', data: 'text' },
        { id: 243, title: 'number', data: 7 },
        { id: 244, title: 'false', data: false },
      ]);
      await world.databases.same('sample');
    });

    test('JSON: numbers arrive by their value, not by their spelling', async () => {
      await world.python.create('sample', { id: 245, title: 'floats', data: { n: [JSON.rawJSON('2.0'), 0.5] } });
      await world.databases.sameRows(`select id, data = '{"n":[2,0.5]}' as same from sample where id = 245`);
      expect(await world.databases.master('select data from sample where id = 245')).toEqual([
        { data: '{"n": [2.0, 0.5]}' },
      ]);
      expect(await world.databases.replica('select data from sample where id = 245')).toEqual([
        { data: '{"n": [2, 0.5]}' },
      ]);
      await world.python.delete('sample', 245);
    });

    test('nothing was set aside on the way', () => {
      const names = new Set(world.heard.map(({ name }) => name));
      expect([...names].filter((name) => /dead-lettered|unreadable|failed|distrusted/.test(name))).toEqual([]);
    });
  });
});
