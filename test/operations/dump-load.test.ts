import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { TransportPayload } from '../../src/wire/payload.js';
import { parseJson, type WireObject } from '../../src/wire/values.js';
import { dumpRows } from '../../src/operations/dump.js';
import { loadRows } from '../../src/operations/load.js';
import { twoServices, type TwoServices } from '../support/two-services.js';
import { Author, Filtered, masters, Pair, replicas, Serialized } from './models.js';
import { golden, GOLDEN_PRODUCTS, loadResult, pieces, Sink } from './streams.js';

let services: TwoServices;
const master = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.master.orm.em.getConnection().execute(sql);
const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);

beforeAll(async () => {
  services = await twoServices({ masters, replicas });
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await services.master.cqrs.withoutReplication(async () => {
    await master('delete from product /* cqrs */');
    await master(GOLDEN_PRODUCTS);
  });
  await replica('delete from product_ref');
  await replica('delete from cqrs_tombstones');
});

async function dump(cqrsId: string, options: Partial<Parameters<typeof dumpRows>[1]> = {}) {
  const sink = new Sink();
  const result = await dumpRows(services.master.cqrs, { cqrsId, write: sink.write, pageSize: 2, ...options });
  return { text: sink.text, result };
}

async function load(text: string, options: Parameters<typeof loadRows>[2] = {}) {
  const problems: string[] = [];
  const onFailure = (line: number, reason: string): void => void problems.push(`${line}: ${reason}`);
  const result = await loadRows(services.replica.cqrs, pieces(text), { batchSize: 3, onFailure, ...options });
  return { result, problems };
}

const product = (id: number, revision: number, over: WireObject = {}): string =>
  JSON.stringify({
    cqrs_revision: revision,
    cqrs_updated: `2024-01-02 03:04:0${revision}.000000+00:00`,
    id,
    name: `n${revision}`,
    quantity: 1,
    price: 1.5,
    created_at: '2024-01-02 03:04:05.123456+00:00',
    active: true,
    ...over,
  });
const file = (...lines: string[]): string => ['product', ...lines].join('\n');
const stored = () =>
  replica<{ id: number; name: string; r: number }>('select id, name, cqrs_revision as r from product_ref order by id');

describe('bulk-dump', () => {
  test("has the form and the data of django-cqrs's, decimals as strings", async () => {
    const { text, result } = await dump('product');
    expect(result).toEqual({ saved: 5, processed: 5, failed: 0 });
    const [ours, theirs] = [text, golden('cqrs_bulk_dump.txt')].map((stream) => stream.split('\n'));
    expect(ours![0]).toBe(theirs![0]);
    expect(ours).toHaveLength(theirs!.length); // no newline at the end either
    for (const [index, line] of ours!.entries()) {
      if (index === 0) continue;
      const { cqrs_incarnation: incarnation, ...data } = parseJson(line) as WireObject;
      expect(incarnation).toBeGreaterThan(0);
      const expected = parseJson(theirs![index]!) as WireObject;
      expect(data).toEqual({ ...expected, price: `${String(expected['price'])}0` });
    }
    expect(text).not.toMatch(/[:,] /); // no blanks, as ujson writes it
  });

  test('leaves out what replicas are not to have, and takes a filter', async () => {
    const em = services.master.orm.em.fork();
    await em.insertMany(Filtered, [{ name: 'skip me' }, { name: 'take me' }]);
    expect((await dump('filtered')).result).toEqual({ saved: 1, processed: 2, failed: 0 });
    const { text } = await dump('product', { filter: { id: { $in: [2, 4] }, active: false } });
    expect(
      text
        .split('\n')
        .slice(1)
        .map((line) => (parseJson(line) as WireObject)['id']),
    ).toEqual([2, 4]);
    await expect(dump('product', { filter: { nothing: 1 } as never })).rejects.toThrow(/Product.nothing/);
  });

  test('runs serializers with what they ask to be loaded; a row whose serializer fails is told and left out', async () => {
    const em = services.master.orm.em.fork();
    await em.insert(Author, { id: 90, name: 'A' });
    await em.insertMany(Serialized, [
      { name: 's1', author: 90 },
      { name: 's2', author: 90 },
    ]);
    const original = Serialized.CQRS_SERIALIZER;
    expect((await dump('serialized')).text).toMatch(
      /\n\{"id":1,"name":"s1","author":\{"id":90,"name":"A"\},"cqrs_revision":0,/,
    );
    const definition = services.master.cqrs.masters.get('serialized') as { serializer: unknown };
    definition.serializer = (row: Serialized) => {
      if (row.name === 's1') throw new Error('broken');
      return original(row);
    };
    const failures: string[] = [];
    const { text, result } = await dump('serialized', {
      onFailure: (key, reason) => failures.push(`${key} ${reason}`),
    });
    definition.serializer = original;
    expect(result).toEqual({ saved: 1, processed: 2, failed: 1 });
    expect(failures).toEqual(['1 Error: broken']);
    expect(text).toMatch(/^serialized\n\{"id":2/);
  });

  test('is of one moment: what is committed meanwhile is not in it', async () => {
    let texts = '';
    await dump('product', {
      write: async (piece) => {
        if (texts === '') {
          await master(`insert into product (id, name, quantity, price, created_at, active)
            select 6, name, quantity, price, created_at, active from product where id = 1 /* cqrs */`);
          await master(`update product set name = 'later' where id = 5 /* cqrs */`);
        }
        texts += piece;
      },
    });
    expect(texts.split('\n')).toHaveLength(6);
    expect(texts).not.toContain('later');
  });

  test('of an empty table is the id alone', async () => {
    await services.master.cqrs.withoutReplication(() => master('delete from product /* cqrs */'));
    expect((await dump('product')).text).toBe('product');
  });
});

describe('bulk-load', () => {
  test("of a Python dump, then of ours, gives the master's rows", async () => {
    expect(await load(golden('cqrs_bulk_dump.txt'))).toEqual({ result: loadResult({ loaded: 5 }), problems: [] });
    const columns =
      'id, name, quantity::text, price::text, created_at::text, active, cqrs_revision, cqrs_updated::text';
    const expected = await master(`select ${columns.replace('price', 'price::float8')} from product order by id`);
    expect(await replica(`select ${columns} from product_ref order by id`)).toEqual(expected);
    await replica('delete from product_ref');
    expect((await load((await dump('product')).text)).result).toEqual(loadResult({ loaded: 5 }));
    expect(await replica(`select ${columns} from product_ref order by id`)).toEqual(expected);
    expect((await replica(`select 1 from product_ref where cqrs_incarnation is null`)).length).toBe(0);
  });

  test('leaves newer rows and deletions alone, writes over older ones, and may be repeated', async () => {
    await load(file(product(1, 5), product(2, 1)));
    expect((await load(file(product(1, 3), product(2, 3), product(3, 0)))).result).toEqual(
      loadResult({ loaded: 2, kept: 1 }),
    );
    expect(await stored()).toEqual([
      { id: 1, name: 'n5', r: 5 },
      { id: 2, name: 'n3', r: 3 },
      { id: 3, name: 'n0', r: 0 },
    ]);
    expect((await load(file(product(1, 3), product(2, 3), product(3, 0)))).result).toEqual(loadResult({ kept: 3 }));
  });

  test('does not bring back a row that was deleted later', async () => {
    await load(file(product(1, 1)));
    const gone = { id: 1, cqrs_revision: 5, cqrs_updated: '2024-01-02 03:04:09+00:00' };
    const payload = new TransportPayload({ signalType: 'DELETE', cqrsId: 'product', instanceData: gone });
    await services.replica.cqrs.replicaRuntime.handle([{ payload, committedAt: null, direct: false, expired: false }]);
    for (const clear of [false, true]) {
      expect((await load(file(product(1, 3)), { clear })).result).toEqual(loadResult({ kept: 1 }));
    }
    expect(await stored()).toEqual([]);
  });

  test('a bad line is told with its number and costs no other', async () => {
    const lines = [
      product(1, 1),
      '{"id":',
      product(2, 1, { name: 'x'.repeat(101) }),
      '[1]',
      product(3, 1, { created_at: 'never' }),
      product(4, 1),
      '{"id":7,"name":"no version"}',
      '',
      product(5, 1, { quantity: null }),
      product(6, 1),
    ];
    const { result, problems } = await load(file(...lines));
    expect(problems.toSorted((a, b) => parseInt(a) - parseInt(b))).toEqual([
      '3: it is not JSON.',
      expect.stringMatching(/^4: MappingError: .*SQLSTATE 22001/),
      '5: it is no JSON object.',
      expect.stringMatching(/^6: MappingError: .*SQLSTATE 22007/),
      expect.stringMatching(/^8: .*cqrs_revision/),
      expect.stringMatching(/^10: MappingError: .*SQLSTATE 23502/),
    ]);
    expect(problems.join()).not.toMatch(/xxx|never/);
    expect(result).toEqual(loadResult({ loaded: 3, failed: 6 }));
    expect((await stored()).map(({ id }) => id)).toEqual([1, 4, 6]);
  });

  test('several lines of one key end in the newest, though it be the one before a bad one', async () => {
    const { result } = await load(file(product(1, 1), product(1, 3), product(1, 4, { name: 'x'.repeat(101) })));
    expect(result.failed).toBe(1);
    expect(await stored()).toEqual([{ id: 1, name: 'n3', r: 3 }]);
  });

  test('an empty input, an unknown id', async () => {
    await expect(load('')).rejects.toThrow(/the input is empty/);
    await expect(load('ghost\n{}')).rejects.toThrow(/Unknown CQRS_ID 'ghost'/);
    expect((await load('product')).result).toEqual(loadResult({}));
  });
});

describe('bulk-load --clear', () => {
  const before = file(product(1, 2), product(2, 2), product(7, 2));

  test('makes the table that of the dump, damage of an equal revision included; what is newer stays', async () => {
    await load(before);
    await replica(`update product_ref set name = 'damaged' where id = 2`);
    await load(file(product(3, 9), product(8, 9)));
    const { result } = await load(file(product(1, 4), product(2, 2), product(3, 1), product(4, 1)), { clear: true });
    expect(result).toEqual(loadResult({ loaded: 3, kept: 1, removed: 1, newer: 1 }));
    expect(await stored()).toEqual([
      { id: 1, name: 'n4', r: 4 },
      { id: 2, name: 'n2', r: 2 },
      { id: 3, name: 'n9', r: 9 },
      { id: 4, name: 'n1', r: 1 },
      { id: 8, name: 'n9', r: 9 },
    ]);
  });

  test('readers see the old table until the end', async () => {
    await load(before);
    let during: unknown[] = [];
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`${file(...[1, 2, 3, 4].map((id) => product(id, 4)))}\n`);
      during = await stored();
      yield Buffer.from(product(5, 4));
    };
    const result = await loadRows(services.replica.cqrs, source(), { clear: true, batchSize: 1 });
    expect(result).toEqual(loadResult({ loaded: 5, removed: 1 }));
    expect(during).toMatchObject([
      { id: 1, r: 2 },
      { id: 2, r: 2 },
      { id: 7, r: 2 },
    ]);
    expect((await stored()).map(({ id, r }) => [id, r])).toEqual([1, 2, 3, 4, 5].map((id) => [id, 4]));
  });

  test('a bad line changes nothing', async () => {
    await load(before);
    const { result, problems } = await load(file(product(1, 4), '{', product(2, 4)), { clear: true });
    expect(result).toEqual(loadResult({ failed: 1 }));
    expect(problems).toHaveLength(1);
    expect((await stored()).map(({ id, r }) => [id, r])).toEqual([
      [1, 2],
      [2, 2],
      [7, 2],
    ]);
  });

  test('with an empty dump empties the table', async () => {
    await load(before);
    expect((await load('product', { clear: true })).result).toEqual(loadResult({ removed: 3 }));
    expect(await stored()).toEqual([]);
  });
});

test('pairs as keys travel through dump and load', async () => {
  const em = services.master.orm.em.fork();
  const rows = [1, 2].flatMap((left) => ['a', 'ß "q"', 'z'].map((right) => ({ left, right, note: null })));
  await services.master.cqrs.withoutReplication(() => em.insertMany(Pair, rows));
  const { text, result } = await dump('pair');
  expect(result).toMatchObject({ saved: 6, processed: 6 });
  await load(text, { clear: true });
  expect(await replica('select "left", "right", note from pair_ref')).toEqual(expect.arrayContaining(rows));
});
