import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAdmin } from '../../src/admin/admin.js';
import type { Row, RowsQuery } from '../../src/admin/contract.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { AdminClient, byHeader } from './client.js';
import { Person, Seat } from './entities.js';

let service: MasterService;
let client: AdminClient;

beforeAll(async () => {
  service = await masterService([Person, Seat]);
  client = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader }));
  await service.sql(`insert into person (id, name, score, born, kind, notes, balance, secret, address_city, address_door)
    select n, case when n % 7 = 0 then 'Ada_' || n else 'Bob ' || n end, case when n % 5 = 0 then null else n % 10 end,
      date '2000-01-01' + n, case when n % 2 = 0 then 'cat' else 'dog' end, jsonb_build_object('n', n), n / 3.0,
      'secret ' || n, 'Paris', 'door' from generate_series(1, 2000) n /* cqrs */`);
  await service.sql(`insert into seat ("row", label, taken)
    select r, l, true from generate_series(1, 30) r, unnest(array['A', 'B', 'C"', 'ü']) l /* cqrs */`);
});
afterAll(async () => service[Symbol.asyncDispose]());

const rows = (body: RowsQuery, cqrsId = 'person') => client.ask('rows', { params: { cqrsId }, body });
const ids = (page: readonly Row[]): number[] => page.map(({ key }) => Number(key));

/** All rows, page after page in one direction, then back again. */
async function walk(body: RowsQuery, cqrsId = 'person'): Promise<{ there: string[]; back: string[] }> {
  const there: Row[] = [];
  let page = await rows(body, cqrsId);
  for (;;) {
    there.push(...page.rows);
    if (page.next === null) break;
    page = await rows({ ...body, after: page.next }, cqrsId);
  }
  const back: Row[] = [...page.rows];
  while (page.previous !== null) {
    page = await rows({ ...body, before: page.previous }, cqrsId);
    back.unshift(...page.rows);
  }
  return { there: there.map(({ key }) => key), back: back.map(({ key }) => key) };
}

describe('columns come from the metadata', () => {
  test('with types and operators, and without what is hidden', async () => {
    const { masters } = await client.ask('service');
    const person = masters.find(({ cqrsId }) => cqrsId === 'person')!;
    expect(Object.fromEntries(person.columns.map(({ name, type }) => [name, type]))).toEqual({
      id: 'number',
      name: 'text',
      score: 'number',
      born: 'date',
      kind: 'enum',
      notes: 'json',
      balance: 'number',
      address_city: 'text',
      cqrsRevision: 'number',
      cqrsUpdated: 'datetime',
      cqrsIncarnation: 'number',
    });
    expect(person).toMatchObject({ keyColumns: ['id'], table: 'person', produce: true, filtered: true });
    expect(person.columns.find(({ name }) => name === 'id')).toMatchObject({ key: true, indexed: true });
    expect(person.columns.find(({ name }) => name === 'kind')).toMatchObject({
      values: ['cat', 'dog'],
      operators: ['eq', 'ne', 'in', 'empty', 'notEmpty'],
    });
    expect(masters.find(({ cqrsId }) => cqrsId === 'seat')!.keyColumns).toEqual(['row', 'label']);
  });
});

describe('pages', () => {
  test.each([
    ['by key', {}, 'id'],
    ['by key, downwards', { sort: { column: 'id', direction: 'desc' } }, 'id desc'],
    ['with ties and nulls', { sort: { column: 'score', direction: 'asc' } }, 'score asc, id asc'],
    ['with ties and nulls, downwards', { sort: { column: 'score', direction: 'desc' } }, 'score desc, id desc'],
    ['by a decimal', { sort: { column: 'balance', direction: 'asc' } }, 'balance, id'],
    ['by an embedded column', { sort: { column: 'address_city', direction: 'desc' } }, 'address_city desc, id desc'],
    ['by the last change', { sort: { column: 'cqrsUpdated', direction: 'desc' } }, 'cqrs_updated desc, id desc'],
  ] as const)('%s: every row once, there and back', async (_, query, order) => {
    const expected = await service.sql<{ id: number }>(`select id from person order by ${order}`);
    const { there, back } = await walk({ ...query, limit: 97 });
    expect(there.map(Number)).toEqual(expected.map(({ id }) => id));
    expect(back).toEqual(there);
  });

  test('of a composite key, sorted by a part of it', async () => {
    const expected = await service.sql<{ row: number; label: string }>(
      'select "row", label from seat order by label desc, "row" desc, label desc',
    );
    const { there, back } = await walk({ sort: { column: 'label', direction: 'desc' }, limit: 7 }, 'seat');
    expect(there).toEqual(expected.map(({ row, label }) => JSON.stringify([String(row), label])));
    expect(back).toEqual(there);
  });

  test('rows that come and go meanwhile neither repeat nor hide others', async () => {
    const first = await rows({ sort: { column: 'id', direction: 'asc' }, limit: 3 });
    await service.sql('delete from person where id = 3 /* cqrs */');
    const second = await rows({ sort: { column: 'id', direction: 'asc' }, limit: 3, after: first.next! });
    expect([ids(first.rows), ids(second.rows)]).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  test('a place that belongs to another order is refused', async () => {
    const { next } = await rows({ limit: 5 });
    const bySort = { sort: { column: 'score', direction: 'asc' }, after: next! };
    expect(await client.refused('rows', { params: { cqrsId: 'person' }, body: bySort })).toMatchObject({ status: 400 });
    const forged = { after: Buffer.from('["1);drop table person"]').toString('base64url') };
    expect(await client.refused('rows', { params: { cqrsId: 'person' }, body: forged })).toMatchObject({ status: 400 });
  });
});

describe('search and filters', () => {
  test.each([
    ['a piece of a text, in any case', { search: 'ADA_7' }, "name ilike '%ada\\_7%' or id::text like 'ADA%'"],
    ['signs of LIKE are meant as such', { search: '_' }, "name like '%\\_%'"],
    ['the beginning of a key', { search: '199' }, "name like '%199%' or id::text like '199%'"],
    ['a number', { filters: [{ column: 'id', operator: 'gte', value: '1990' }] }, 'id >= 1990'],
    ['in a list', { filters: [{ column: 'id', operator: 'in', value: ['5', '6', '99999'] }] }, 'id in (5, 6)'],
    ['empty', { filters: [{ column: 'score', operator: 'empty' }] }, 'score is null'],
    [
      'not equal holds for empty ones, too',
      { filters: [{ column: 'score', operator: 'ne', value: '1' }] },
      'score is distinct from 1',
    ],
    ['a date', { filters: [{ column: 'born', operator: 'lt', value: '2000-02-01' }] }, "born < '2000-02-01'"],
    ['an enum', { filters: [{ column: 'kind', operator: 'eq', value: 'cat' }] }, "kind = 'cat'"],
    [
      'several, which all must hold',
      {
        search: 'bob',
        filters: [
          { column: 'score', operator: 'gt', value: '7' },
          { column: 'name', operator: 'startsWith', value: 'Bob 1' },
        ],
      },
      "score > 7 and name like 'Bob 1%'",
    ],
  ] as const)('%s', async (_, matching, where) => {
    const expected = await service.sql<{ id: number }>(`select id from person where ${where} order by id`);
    expect(expected.length).toBeGreaterThan(0);
    const query = structuredClone(matching) as RowsQuery;
    expect((await walk({ ...query, limit: 200 })).there.map(Number)).toEqual(expected.map(({ id }) => id));
    expect(await client.ask('countRows', { params: { cqrsId: 'person' }, body: query })).toEqual({
      count: expected.length,
      exact: true,
    });
  });

  test.each([
    ['an unknown column', [{ column: 'nme', operator: 'eq', value: 'x' }], /no column 'nme'/],
    ['a hidden column', [{ column: 'secret', operator: 'startsWith', value: 's' }], /no column 'secret'/],
    ['a hidden embedded column', [{ column: 'address_door', operator: 'eq', value: 'd' }], /no column 'address_door'/],
    ['an operator that the column has not', [{ column: 'notes', operator: 'eq', value: '{}' }], /cannot be filtered/],
    ['a value that does not fit', [{ column: 'id', operator: 'eq', value: 'Robert' }], /does not fit its column/],
    ['a list where one is meant', [{ column: 'id', operator: 'eq', value: ['1'] }], /needs one value/],
    ['an unknown operator', [{ column: 'id', operator: 're', value: '1' }], /body\.filters\.0\.operator/],
  ])('%s is refused, without quoting values', async (_, filters, message) => {
    const refused = await client.refused('rows', { params: { cqrsId: 'person' }, body: { filters } });
    expect(refused).toMatchObject({ status: 400, code: 'bad-request', message: expect.stringMatching(message) });
    expect(JSON.stringify(refused)).not.toContain('Robert');
  });

  test('neither is sorting by what is hidden, nor by what has no order', async () => {
    for (const column of ['secret', 'notes']) {
      const body = { sort: { column, direction: 'asc' } };
      expect(await client.refused('rows', { params: { cqrsId: 'person' }, body })).toMatchObject({ status: 400 });
    }
  });
});

test('what is hidden is in no row, and not found by a search for it', async () => {
  const page = await rows({ limit: 500 });
  expect(JSON.stringify(page)).not.toContain('secret');
  expect(JSON.stringify(page)).not.toContain('door');
  expect((await rows({ search: 'secret' })).rows).toEqual([]);
});

test('long texts are cut, by whole characters, and marked', async () => {
  await service.sql(`insert into person (id, name) values (5000, repeat('😀', 300)) /* cqrs */`).catch(async () => {
    await service.sql('alter table person alter column name type text');
    await service.sql(`insert into person (id, name) values (5000, repeat('😀', 300)) /* cqrs */`);
  });
  const { rows: found } = await rows({ filters: [{ column: 'id', operator: 'eq', value: '5000' }] });
  expect(found[0]).toMatchObject({ key: '5000', cut: ['name'], values: { name: `${'😀'.repeat(200)}…` } });
});

test('an unknown master is named, with those that there are', async () => {
  expect(await client.refused('rows', { params: { cqrsId: 'persn' }, body: {} })).toMatchObject({
    status: 404,
    message: "There is no master 'persn' here.",
    cure: 'There are person, seat.',
  });
});
