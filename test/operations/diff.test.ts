import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { checksum } from '../../src/replication/compare/checksum.js';
import { diffMaster, diffReplica, diffSync } from '../../src/operations/diff.js';
import { loadRows } from '../../src/operations/load.js';
import { deletedDiffMaster, deletedDiffReplica, deletedSyncReplica } from '../../src/operations/deleted-diff.js';
import { twoServices, type TwoServices } from '../support/two-services.js';
import { Author, Filtered, FilteredRef, masters, Pair, Product, replicas, StrPk, UuidPk } from './models.js';
import { golden, GOLDEN_PRODUCTS, pieces, Sink, withoutTime } from './streams.js';

let services: TwoServices;
const master = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.master.orm.em.getConnection().execute(sql);
const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);
const silently = (work: () => Promise<unknown>): Promise<unknown> => services.master.cqrs.withoutReplication(work);

beforeAll(async () => {
  services = await twoServices({ masters, replicas });
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await silently(async () => {
    await master('delete from product /* cqrs */');
    await master(GOLDEN_PRODUCTS);
  });
  await replica('delete from product_ref');
  await replica('delete from cqrs_tombstones');
  await loadRows(services.replica.cqrs, pieces(golden('cqrs_bulk_dump.txt')));
});

async function listMaster(cqrsId: string, options: Partial<Parameters<typeof diffMaster>[1]> = {}): Promise<string> {
  const sink = new Sink();
  await diffMaster(services.master.cqrs, { cqrsId, write: sink.write, settleSeconds: 0, ...options });
  return sink.text;
}

async function compare(stream: string, options: { settleSeconds?: number } = {}) {
  const sink = new Sink();
  const result = await diffReplica(services.replica.cqrs, pieces(stream), { write: sink.write, ...options });
  return { text: sink.text, result };
}

/** Sends what a stream asks for and waits until the replica has it. */
async function syncAll(stream: string) {
  const before = services.heard.filter(({ name }) =>
    /^cqrs\.inbox\.(applied|skipped|dead-lettered|unreadable)$/.test(name),
  ).length;
  const result = await diffSync(services.master.cqrs, pieces(stream), {});
  await services.ended(before + result.synced);
  return result;
}

const columns = 'id, name, quantity::int, price::float8, created_at::text, active, cqrs_revision';
async function expectEqualTables(): Promise<void> {
  const expected = await master(`select ${columns} from product order by id`);
  expect(await replica(`select ${columns} from product_ref order by id`)).toEqual(expected);
}

describe('the streams are those of django-cqrs', () => {
  test.each([
    ['cqrs_diff_master.txt', 1_000],
    ['cqrs_diff_master_batch2.txt', 2],
  ])('diff-master: %s', async (recording, pageSize) => {
    expect(withoutTime(await listMaster('product', { pageSize }))).toBe(withoutTime(golden(recording)));
  });

  test('diff-replica: the keys that differ, under the header with our queue', async () => {
    await replica('delete from product_ref where id in (2, 5)');
    await replica('update product_ref set cqrs_revision = 7 where id = 4');
    const { text, result } = await compare(golden('cqrs_diff_master_batch2.txt'));
    expect(text).toBe(golden('cqrs_diff_replica.txt').replace(',replica', `,${services.queue}`));
    expect(result).toEqual({ compared: 5, missing: 2, stale: 1, damaged: 0, ahead: 0 });
  });

  test.each([
    ['cqrs_deleted_diff_replica.txt', 1_000],
    ['cqrs_deleted_diff_replica_batch2.txt', 2],
  ])('deleted-diff-replica: %s', async (recording, pageSize) => {
    await replica('delete from product_ref where id in (4, 5)');
    const names = 'name, quantity, price, created_at, active, cqrs_revision, cqrs_updated';
    await replica(`insert into product_ref (id, ${names}) select id + 5, ${names} from product_ref where id < 3`);
    const sink = new Sink();
    await deletedDiffReplica(services.replica.cqrs, { cqrsId: 'product', pageSize, write: sink.write });
    expect(withoutTime(sink.text)).toBe(withoutTime(golden(recording)));
  });

  test('deleted-diff-master', async () => {
    const sink = new Sink();
    const result = await deletedDiffMaster(
      services.master.cqrs,
      pieces(golden('cqrs_deleted_diff_replica_batch2.txt')),
      { write: sink.write },
    );
    expect(sink.text).toBe(golden('cqrs_deleted_diff_master.txt'));
    expect(result).toEqual({ compared: 5, deleted: 2 });
  });

  test('are never empty', async () => {
    await silently(() => master('delete from product /* cqrs */'));
    await replica('delete from product_ref');
    const listed = await listMaster('product');
    expect(withoutTime(listed)).toBe('product,<time>\n');
    const { text } = await compare(listed);
    expect(withoutTime(text)).toBe(`product,<time>,${services.queue}\n`);
    expect(await syncAll(text)).toEqual({ processed: 0, synced: 0, withdrawn: 0, unroutable: 0, refused: 0 });
    const sink = new Sink();
    await deletedDiffReplica(services.replica.cqrs, { cqrsId: 'product', write: sink.write });
    expect(withoutTime(sink.text)).toBe('product,<time>\n');
  });
});

describe('diff-master | diff-replica | diff-sync', () => {
  test('ends with equal tables, and sends no more than what differs', async () => {
    await replica('delete from product_ref where id = 1');
    await replica('update product_ref set cqrs_revision = cqrs_revision - 1 where id = 3');
    const { text, result } = await compare(await listMaster('product', { pageSize: 2 }));
    expect(result).toMatchObject({ missing: 1, stale: 1, damaged: 0 });
    expect(await syncAll(text)).toEqual({ processed: 2, synced: 2, withdrawn: 0, unroutable: 0, refused: 0 });
    await expectEqualTables();
    expect((await compare(await listMaster('product'))).result).toMatchObject({ missing: 0, stale: 0 });
  });

  test('with checksums it finds damage that the revision does not show, and nothing where only the columns are declared otherwise', async () => {
    const listed = await listMaster('product', { checksums: 'all' });
    expect(withoutTime(listed)).toMatch(
      /^product,<time>,checksums=id\+name\+quantity\+price\+created_at\+active\n\[\[1,0,"[\w-]{16}"\],/,
    );
    expect((await compare(listed)).result).toEqual({ compared: 5, missing: 0, stale: 0, damaged: 0, ahead: 0 });
    await replica(`update product_ref set created_at = created_at + interval '1 microsecond' where id = 2`);
    await replica(`update product_ref set price = 0 where id = 4`);
    expect((await compare(await listMaster('product'))).result).toMatchObject({ damaged: 0 });
    const { text, result } = await compare(await listMaster('product', { checksums: 'all' }));
    expect(result).toMatchObject({ compared: 5, damaged: 2, stale: 0 });
    expect(withoutTime(text).split('\n').slice(1)).toEqual(['[2,4]', '']);
    expect(await syncAll(text)).toMatchObject({ synced: 2 });
    await expectEqualTables();
  });

  test('checksums want fields that both ends have', async () => {
    const em = services.master.orm.em.fork();
    await silently(() => em.insert(Author, { id: 1, name: 'A', bio: 'b' }));
    await expect(compare(await listMaster('author', { checksums: 'all' }))).rejects.toThrow(
      /the replica of 'author' does not have the field 'bio'. .*--fields id,name/,
    );
    const { result } = await compare(await listMaster('author', { checksums: ['name'] }));
    expect(result).toMatchObject({ compared: 1, missing: 1 });
    await expect(listMaster('author', { checksums: ['salary'] })).rejects.toThrow(
      /sends no field 'salary'. It sends id, name, bio/,
    );
    await silently(() => em.nativeDelete(Author, {}));
  });

  test('rows in flight are no difference', async () => {
    const em = services.master.orm.em.fork();
    await silently(() => em.nativeUpdate(Product, { id: 2 }, { name: 'just changed' }));
    const sink = new Sink();
    const result = await diffMaster(services.master.cqrs, { cqrsId: 'product', write: sink.write });
    expect(result).toEqual({ listed: 4, unsettled: 1 });
    expect((await compare(sink.text)).result).toMatchObject({ compared: 4, stale: 0 });
    // changed and received between the two looks
    await replica('update product_ref set cqrs_revision = 9, cqrs_updated = clock_timestamp() where id = 3');
    expect((await compare(sink.text)).result).toMatchObject({ stale: 0, ahead: 1 });
    // ahead of the master for long is damage
    await replica(`update product_ref set cqrs_updated = now() - interval '1 hour' where id = 3`);
    expect((await compare(sink.text)).result).toMatchObject({ stale: 1, ahead: 0 });
  });

  test('keys of every kind: UUIDs in any spelling, texts, pairs', async () => {
    const em = services.master.orm.em.fork();
    const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
    const code = 'a/b é "q", #1';
    await silently(async () => {
      await em.insert(UuidPk, { id: uuid, name: 'u' });
      await em.insert(StrPk, { code, name: 's' });
      await em.insertMany(Pair, [
        { left: 1, right: code, note: null },
        { left: 1, right: 'b', note: null },
      ]);
    });
    const expected = {
      uuid_pk: [uuid],
      str_pk: [code],
      pair: [
        [1, 'b'],
        [1, code],
      ],
    };
    for (const [cqrsId, keys] of Object.entries(expected)) {
      const listed = await listMaster(cqrsId, { pageSize: 1 });
      expect(
        listed
          .trim()
          .split('\n')
          .slice(1)
          .flatMap((line) => JSON.parse(line))
          .map(([key]) => key),
      ).toEqual(expect.arrayContaining(keys));
      const { text, result } = await compare(
        cqrsId === 'uuid_pk' ? listed.replace(uuid, uuid.toUpperCase().replaceAll('-', '')) : listed,
      );
      expect(result).toMatchObject({ missing: keys.length });
      expect(await syncAll(text)).toMatchObject({ processed: keys.length, synced: keys.length });
      const again = cqrsId === 'uuid_pk' ? listed.replace(uuid, uuid.toUpperCase()) : listed;
      expect((await compare(again)).result).toMatchObject({ compared: keys.length, missing: 0, stale: 0 });
    }
  });

  test('rows that are not replicated are not listed, and a filter chooses', async () => {
    const em = services.master.orm.em.fork();
    await silently(() => em.insertMany(Filtered, [{ name: 'skip' }, { name: 'a' }, { name: 'b' }]));
    const listed = await listMaster('filtered');
    expect(JSON.parse(listed.split('\n')[1]!)).toHaveLength(2);
    expect(await listMaster('product', { filter: { id: { $gte: 4 } } })).toMatch(/\n\[\[4,0\],\[5,2\]\]\n$/);
    await expect(listMaster('product', { filter: { nothing: 1 } as never })).rejects.toThrow(/Product.nothing/);
    await silently(() => em.nativeDelete(Filtered, {}));
  });

  test.each([
    ['', /the input is empty. Did the command before it fail/],
    ['product', /line 1 is no header/],
    ['product,yesterday\n', /line 1 is no header/],
    ['ghost,2024-01-01 00:00:00+00:00\n', /Unknown CQRS_ID 'ghost'/],
    ['product,2024-01-01 00:00:00+00:00\n[[1,0]]\nno json\n', /line 3 is not JSON/],
    ['product,2024-01-01 00:00:00+00:00\n{}\n', /line 2 is no JSON array/],
    ['product,2024-01-01 00:00:00+00:00\n[[1]]\n', /line 2 is no list of \[key,revision\]/],
    ['product,2024-01-01 00:00:00+00:00\n[["one",0]]\n', /line 2: a key does not fit those of 'product'/],
    ['product,2024-01-01 00:00:00+00:00\n[[[1,2],0]]\n', /line 2: a key does not fit/],
    ['product,2024-01-01 00:00:00+00:00\n[[\xff', /line 2/],
  ])('diff-replica refuses %j in one line', async (stream, message) => {
    await expect(compare(stream)).rejects.toThrow(message);
    await compare(stream).catch((error: Error) => expect(error.message).not.toContain('\n'));
  });

  test('diff-sync wants to know whom to send to; None is all; a queue that does not exist is told', async () => {
    const stream = (tail: string): string => `product,2024-01-01 00:00:00+00:00${tail}\n[1]\n[99]\n`;
    await expect(diffSync(services.master.cqrs, pieces(stream('')), {})).rejects.toThrow(/line 1 names no queue/);
    expect(await syncAll(stream(',None'))).toEqual({
      processed: 2,
      synced: 1,
      withdrawn: 0,
      unroutable: 0,
      refused: 0,
    });
    expect(await diffSync(services.master.cqrs, pieces(stream(',nowhere')), {})).toMatchObject({
      processed: 2,
      unroutable: 1,
    });
    const none = diffSync(services.master.cqrs, pieces(stream(',nowhere')), { queue: services.queue });
    expect(await none).toMatchObject({ unroutable: 0 });
  });
});

describe('deleted-diff-replica | deleted-diff-master | deleted-sync-replica', () => {
  async function list(cqrsId: string): Promise<string> {
    const [first, second] = [new Sink(), new Sink()];
    await deletedDiffReplica(services.replica.cqrs, { cqrsId, pageSize: 2, write: first.write });
    await deletedDiffMaster(services.master.cqrs, pieces(first.text), { write: second.write });
    return second.text;
  }

  test('ends with equal tables, and remembers the deletions', async () => {
    await silently(() => master('delete from product where id in (1, 4) /* cqrs */'));
    const result = await deletedSyncReplica(services.replica.cqrs, pieces(await list('product')));
    expect(result).toEqual({ processed: 2, deleted: 2, gone: 0, kept: 0, failed: 0 });
    await expectEqualTables();
    expect(await replica(`select key from cqrs_tombstones order by key`)).toEqual([{ key: '["1"]' }, { key: '["4"]' }]);
    await loadRows(services.replica.cqrs, pieces(golden('cqrs_bulk_dump.txt'))); // an old state does not come back
    await expectEqualTables();
  });

  test('a row created again meanwhile stays, one that is gone is counted as such', async () => {
    await silently(() => master('delete from product where id in (1, 2, 3) /* cqrs */'));
    const stream = await list('product');
    await replica(
      'update product_ref set cqrs_incarnation = 7, cqrs_revision = 0, cqrs_updated = clock_timestamp() where id = 1',
    );
    await replica('delete from product_ref where id = 2');
    const result = await deletedSyncReplica(services.replica.cqrs, pieces(stream));
    expect(result).toEqual({ processed: 3, deleted: 1, gone: 1, kept: 1, failed: 0 });
    expect((await replica('select id from product_ref order by id')).map(({ id }) => id)).toEqual([1, 4, 5]);
  });

  test('goes through the hooks, and takes rows along that are no longer replicated', async () => {
    const em = services.master.orm.em.fork();
    await silently(() =>
      em.insertMany(Filtered, [
        { id: 1, name: 'skip' },
        { id: 2, name: 'a' },
      ] as never),
    );
    const data = (id: number): string =>
      JSON.stringify({ id, name: 'a', cqrs_revision: 0, cqrs_updated: '2024-01-01 00:00:00+00:00' });
    await loadRows(services.replica.cqrs, pieces(['filtered', data(1), data(2), data(3)].join('\n')));
    FilteredRef.deleted.length = 0;
    const result = await deletedSyncReplica(services.replica.cqrs, pieces(await list('filtered')));
    expect(result).toMatchObject({ processed: 2, deleted: 2 });
    expect(FilteredRef.deleted).toEqual([1, 3]);
    expect(await replica('select id from filtered_ref')).toEqual([{ id: 2 }]);
  });
});

describe('a checksum', () => {
  const sum = (value: unknown): string => checksum({ f: value as never }, ['f']);
  test.each([
    ['a decimal', '12.50', 12.5],
    ['a great double', 1e21, '1000000000000000000000.00'],
    ['a small double', 1.5e-7, '0.00000015'],
    ['zero', '-0.00', 0],
    ['an integer', 9007199254740993n, '9007199254740993'],
    ['a time', '2024-01-02 03:04:05.120000+00:00', '2024-01-02T05:04:05.12+02:00'],
    ['JSON', { a: 1, b: [{ c: 2, d: null }] }, { b: [{ d: null, c: 2.0 }], a: 1 }],
    ['nothing', null, undefined],
  ])('is the same for every way to write %s', (_, one, other) => {
    expect(sum(one)).toBe(sum(other));
  });

  test.each([
    ['12.5', '12.51'],
    ['a', 'A'],
    [null, ''],
    [
      [1, 2],
      [2, 1],
    ],
    ['007', '7'],
    [true, 'true'],
    ['2024-01-02 03:04:05+00:00', '2024-01-02 03:04:05.000001+00:00'],
  ])('tells %j from %j', (one, other) => {
    expect(sum(one)).not.toBe(sum(other));
  });
});
