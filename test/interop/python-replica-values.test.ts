import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { raw } from '@mikro-orm/postgresql';
import { Sample } from './models/our-masters.js';
import { interop } from './support/python.js';
import { pairs } from './support/transports.js';
import { type UsToPython, usToPython } from './support/us-to-python.js';

const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
const foreign = 'Grüße, 日本語, 🎉 "quoted" back\\slash / <b>&amp; \t\r\n\u0007\u2028\u00a0 end';
const time = (text: string) => raw(`'${text}'::timestamptz`);

interop('values of our master in a Python replica', () => {
  describe.each(pairs)('over %s', (_library, pair) => {
    let world: UsToPython;
    const em = () => world.ours.orm.em.fork();
    beforeAll(async () => {
      world = await usToPython(pair);
    });
    afterAll(async () => {
      await world[Symbol.asyncDispose]();
    });

    test('nulls', async () => {
      const filled = {
        body: 'text',
        amount: '1.5',
        ratio: 0.1,
        active: true,
        total: 42n,
        day: '2024-02-29',
        uid: uuid,
        data: {},
      };
      await em().insert(Sample, { id: 199, title: 'filled', at: new Date(), ...filled });
      await world.databases.same('sample');
      await em().insert(Sample, { id: 200, title: '' });
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '200')).toMatchObject({
        title: '', body: null, amount: null, ratio: null, active: null, total: null, day: null, at: null, uid: null, data: null,
      }); // prettier-ignore
      const nothing = { body: null, amount: null, active: null, day: null, at: null, uid: null, data: null };
      await em().nativeUpdate(Sample, { id: 199 }, nothing);
      await world.databases.same('sample');
    });

    test('non-ASCII, control characters', async () => {
      await em().insert(Sample, { id: 201, title: foreign, body: foreign.repeat(50), data: { [foreign]: foreign } });
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '201')!['title']).toBe(foreign);
    });

    test('decimals: every digit, since ours are strings', async () => {
      await em().insertMany(Sample, [
        { id: 210, title: 'small', amount: '0.000001' },
        { id: 211, title: 'whole', amount: '20.00' },
        { id: 212, title: 'negative', amount: '-12345678.125' },
        { id: 213, title: 'digits', amount: '123456789012345678.123456' },
      ]);
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '213')!['amount']).toBe('123456789012345678.123456');
    });

    test('numbers: 64 bits, floats to the last digit, NaN and infinities', async () => {
      await em().insertMany(Sample, [
        { id: 220, title: 'beyond doubles', total: 9007199254740993n },
        { id: 221, title: 'greatest', total: 9223372036854775807n },
        { id: 222, title: 'least', total: -9223372036854775808n },
        { id: 223, title: 'digits', ratio: 1.2345678901234567 },
        { id: 224, title: 'huge', ratio: 1.7976931348623157e308 },
        { id: 225, title: 'tiny', ratio: 5e-324 },
        { id: 226, title: 'whole', ratio: 3 },
        { id: 227, title: 'not a number', ratio: raw(`'NaN'::float8`) as never },
        { id: 228, title: 'infinite', ratio: raw(`'-Infinity'::float8`) as never },
      ]);
      await world.databases.same('sample');
    });

    test('numbers: negative zero, whose sign the Python driver of PostgreSQL drops', async () => {
      await em().insert(Sample, { id: 229, title: 'negative zero', ratio: raw(`'-0'::float8`) as never });
      await world.databases.sameRows(
        'select id, abs(ratio) as ratio from sample order by 1',
        'select id, abs(ratio) as ratio from sample order by 1',
      );
      await em().nativeDelete(Sample, { id: 229 });
    });

    test('dates and times: microseconds, offsets, leap days, far away', async () => {
      await em().insertMany(Sample, [
        { id: 230, title: 'microseconds', at: time('2024-01-02 03:04:05.000001+00') as never, day: '2024-02-29' },
        { id: 231, title: 'offset', at: time('2024-07-01 23:30:00.5+05:45') as never, day: '0001-01-01' },
        { id: 232, title: 'west', at: time('2024-07-01 23:30:00-11:00') as never, day: '9999-12-31' },
        { id: 233, title: 'far', at: time('9999-12-31 23:59:59.999999+00') as never },
        { id: 234, title: 'long ago', at: time('0100-01-01 00:00:00+00') as never },
      ]);
      const rows = await world.databases.same('sample');
      expect(rows.find(({ id }) => id === '231')).toMatchObject({ at: '2024-07-01 17:45:00.5+00' });
    });

    test('JSON', async () => {
      const deep = {
        b: [1, 2.5, null, true, 'é/ü', []],
        a: { nested: { deep: '🎉' } },
        '': 'empty key',
        html: 'https://x/y?a=<b>&c',
      };
      await em().insertMany(Sample, [
        { id: 240, title: 'object', data: deep },
        { id: 241, title: 'array', data: [] },
        { id: 242, title: 'text', data: 'text' },
        { id: 243, title: 'number', data: 7 },
        { id: 244, title: 'false', data: false },
        { id: 245, title: 'digits', data: raw(`'{"n": 9007199254740993}'::jsonb`) },
      ]);
      await world.databases.same('sample');
    });

    test('what only cqrs_texts can say: Python reads what JSON says', async () => {
      for (const [id, data] of [
        [250, `'{"price": 1.10}'`],
        [251, "'null'"],
      ] as const) {
        await em()
          .createQueryBuilder(Sample)
          .insert({ id, title: 'x', data: raw(data) } as never)
          .execute();
      }
      const read = `select id, case when jsonb_typeof(data) = 'object' then (data ->> 'price')::float8 end as price,
        nullif(data, 'null') is null as nothing from sample where id >= 250 order by 1`;
      const rows = await world.databases.sameRows(read, read);
      expect(rows).toEqual([
        { id: '250', price: '1.1', nothing: 'f' },
        { id: '251', price: null, nothing: 't' },
      ]);
      await em().nativeDelete(Sample, { id: { $gte: 250 } });
    });
  });
});
