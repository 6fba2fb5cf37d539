import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { InputError, ReplicaAnswerError, UnknownCqrsIdError } from '../../src/kernel/errors.js';
import { reconcile, type ReconcileOptions } from '../../src/operations/reconcile/reconcile.js';
import type { ReconcileReport } from '../../src/operations/reconcile/report.js';
import { uniqueName } from '../support/broker.js';
import { twoServices, type TwoServices } from '../support/two-services.js';
import { FilteredRef, masters, replicas } from './models.js';

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

const compare = (cqrsId: string, options: Partial<ReconcileOptions> = {}): Promise<ReconcileReport> =>
  reconcile(services.master.cqrs, { cqrsId, queue: services.queue, settleSeconds: 0, ...options });

/** Writes rows on the master, and waits until the replica has them. */
async function write(sql: string): Promise<void> {
  await silently(() => master(`${sql} /* cqrs */`));
}

const NONE = { missing: 0, extra: 0, stale: 0, damaged: 0, ahead: 0, repaired: 0, unrepaired: 0, unsettled: 0 };
const PRODUCT =
  'id, name, quantity::text, price::float8, created_at::text, active, cqrs_revision, cqrs_incarnation::text';

describe('a table of products', () => {
  beforeEach(async () => {
    await write('delete from product');
    await write(`insert into product (id, name, quantity, price, created_at, active, cqrs_revision)
      select n, 'Product é ' || n, n * 1000, n + 0.25, now(), n % 2 = 0, n % 3 from generate_series(1, 500) n`);
    await replica('delete from product_ref');
    await replica('delete from cqrs_tombstones');
    const filled = await compare('product');
    expect(filled).toMatchObject({ ...NONE, missing: 500, repaired: 500, masterRows: 500, replicaRows: 0 });
  });

  const tables = async (): Promise<[unknown, unknown]> => [
    await master(`select ${PRODUCT} from product order by id`),
    await replica(`select ${PRODUCT} from product_ref order by id`),
  ];

  test('that is equal costs some kilobytes and changes nothing', async () => {
    const before = await tables();
    const said = services.master.cqrs.events.next('cqrs.master.reconciled');
    const report = await compare('product');
    expect(report).toMatchObject({
      ...NONE,
      masterRows: 500,
      replicaRows: 500,
      fields: ['id', 'name', 'quantity', 'price', 'created_at', 'active'],
      fieldsLeftOut: [],
      sample: [],
      stopped: false,
      traffic: { questions: 4, repairs: 0, repairBytes: 0 },
    });
    expect(report.traffic.questionBytes).toBeLessThan(3_000);
    // and the replica knows of it
    expect(await said).toMatchObject({ told: true });
    expect(services.heard.findLast(({ name }) => name === 'cqrs.replica.compared')?.fields).toEqual({
      cqrsId: 'product',
      whole: true,
      masterRows: 500,
      replicaRows: 500,
      missing: 0,
      extra: 0,
      stale: 0,
      damaged: 0,
      ahead: 0,
      repaired: 0,
    });
    expect(await tables()).toEqual(before);
  });

  test('every kind of fault is found and repaired, and nothing else is touched', async () => {
    await replica('delete from product_ref where id in (5, 450)');
    await replica(`update product_ref set cqrs_revision = cqrs_revision - 1 where id in (11, 12)`);
    await replica(`update product_ref set name = 'damaged' where id = 300`);
    await replica(`update product_ref set created_at = created_at + interval '1 microsecond' where id = 301`);
    await replica(`insert into product_ref (id, name, quantity, price, created_at, active, cqrs_revision, cqrs_updated, cqrs_incarnation)
      values (9001, 'extra', 1, 1, now(), true, 0, now() - interval '1 minute', 5)`);
    const before = services.heard.length;

    const dry = await compare('product', { dryRun: true });
    expect(dry).toMatchObject({ ...NONE, missing: 2, stale: 2, damaged: 2, extra: 1 });
    expect(dry.traffic.repairs).toBe(0);
    expect(dry.sample.toSorted((a, b) => Number(a.key) - Number(b.key))).toEqual(
      (
        [
          [5, 'missing', 2, null, null],
          [11, 'stale', 2, 1, []],
          [12, 'stale', 0, -1, []],
          [300, 'damaged', 0, 0, ['name']],
          [301, 'damaged', 1, 1, ['created_at']],
          [450, 'missing', 0, null, null],
          [9001, 'extra', null, 0, null],
        ] as const
      ).map(([key, difference, here, there, fields]) => ({
        key,
        difference,
        master: here === null ? null : expect.objectContaining({ revision: here }),
        replica: there === null ? null : expect.objectContaining({ revision: there }),
        fields,
        outcome: 'reported',
      })),
    );
    expect(services.heard.slice(before).filter(({ name }) => name === 'cqrs.inbox.applied')).toEqual([]);

    const report = await compare('product');
    expect(report).toMatchObject({ ...NONE, missing: 2, stale: 2, damaged: 2, extra: 1, repaired: 7 });
    expect(report.traffic).toMatchObject({ repairs: 7 });
    const touched = services.heard
      .slice(before)
      .flatMap(({ name, fields }) =>
        name === 'cqrs.inbox.applied' ? [(fields as { instancePk: string }).instancePk] : [],
      );
    expect(touched.map(Number).toSorted((a, b) => a - b)).toEqual([5, 11, 12, 300, 301, 450, 9001]);
    const [expected, found] = await tables();
    expect(found).toEqual(expected);
    expect(await compare('product')).toMatchObject(NONE);
  });

  test('many differences name their fields, as far as the sample goes', async () => {
    await replica(`update product_ref set name = 'damaged', price = price + 1`);
    const report = await compare('product', { dryRun: true, sampleSize: 3 });
    expect(report).toMatchObject({ ...NONE, damaged: 500 });
    expect(report.sample.map(({ fields }) => fields)).toEqual([1, 2, 3].map(() => ['name', 'price']));
    expect(await compare('product', { dryRun: true, sampleSize: 0 })).toMatchObject({ damaged: 500, sample: [] });
    // other content in fields that are not compared is none of its business
    const prices = await compare('product', { fields: ['price'], dryRun: true, sampleSize: 1 });
    expect(prices.sample).toMatchObject([{ difference: 'damaged', fields: ['price'] }]);
  });

  test('of a restored replica rows of a moment ago are compared, too', async () => {
    await replica('delete from product_ref where id = 5');
    const report = await compare('product', { settleSeconds: 1, restored: true });
    expect(report).toMatchObject({ ...NONE, missing: 1, repaired: 1, changedLately: 0 });
  });

  test('only the chosen keys, only the chosen fields', async () => {
    await replica(`update product_ref set name = 'damaged' where id in (1, 2, 3)`);
    expect(await compare('product', { fields: ['id', 'price'], dryRun: true })).toMatchObject(NONE);
    const some = await compare('product', { keys: [1, 3, 4, 5000] });
    expect(some).toMatchObject({ ...NONE, damaged: 2, repaired: 2, masterRows: 3, replicaRows: 3 });
    expect(await replica('select id from product_ref where name = $$damaged$$')).toEqual([{ id: 2 }]);
    await expect(compare('product', { keys: ['x'] })).rejects.toThrow(InputError);
    await expect(compare('product', { fields: ['nothing'] })).rejects.toThrow(/sends no field 'nothing'/);
  });

  test('what the replica has later than its master is reported and left alone', async () => {
    await replica(`update product_ref set cqrs_revision = 50, name = 'later' where id = 7`);
    const report = await compare('product');
    expect(report).toMatchObject({ ...NONE, ahead: 1, unrepaired: 1 });
    expect(report.sample).toMatchObject([
      { key: 7, difference: 'ahead', replica: { revision: 50 }, fields: ['name'], outcome: 'unrepaired' },
    ]);
    expect(await replica('select name from product_ref where id = 7')).toEqual([{ name: 'later' }]);
  });

  test('what the replica has seen the deletion of is later than its master, too', async () => {
    await replica(`delete from product_ref where id = 8`);
    await replica(`insert into cqrs_tombstones (cqrs_id, key, incarnation, revision, updated)
      values ('product', '["8"]', 9007199254740991, 1, now())`);
    const report = await compare('product');
    expect(report).toMatchObject({ ...NONE, ahead: 1, unrepaired: 1, traffic: { repairs: 0 } });
    expect(report.sample).toMatchObject([{ key: 8, difference: 'ahead', replica: null, outcome: 'unrepaired' }]);
    // a deletion of a former incarnation keeps nothing away
    await replica(`update cqrs_tombstones set incarnation = 5, revision = 99`);
    expect(await compare('product')).toMatchObject({ ...NONE, missing: 1, repaired: 1 });
  });

  test('what cannot be repaired is told', async () => {
    await replica(`delete from product_ref where id = 8`);
    // A dead letter at once: nothing of it is on its way any more when this test is over.
    await replica(`create function not_eight() returns trigger language plpgsql as
      $$ begin raise exception using errcode = '22003'; end $$`);
    await replica(`create trigger not_eight before insert on product_ref for each row when (new.id = 8)
      execute function not_eight()`);
    const report = await compare('product', { timeoutSeconds: 1 });
    await replica('drop function not_eight cascade');
    expect(report).toMatchObject({ ...NONE, missing: 1, unrepaired: 1 });
    expect(report.sample).toMatchObject([{ key: 8, difference: 'missing', replica: null, outcome: 'unrepaired' }]);
  });

  test('rows of a moment ago are no difference, and how many they are is said', async () => {
    await replica('delete from product_ref where id = 5');
    expect(await compare('product', { settleSeconds: 3_600 })).toMatchObject({
      ...NONE,
      unsettled: expect.any(Number),
      changedLately: 500,
    });
    await write(`update product set cqrs_updated = now() - interval '1 day' where id > 7`);
    await replica(`update product_ref set cqrs_updated = now() - interval '1 day' where id > 7`);
    const report = await compare('product', { settleSeconds: 3_600, dryRun: true });
    expect(report).toMatchObject({ changedLately: 7, missing: 0 });
  });
});

test('every kind of key, and replicas that have less or know what they do', async () => {
  await write(`insert into uuid_pk (id, name) select gen_random_uuid(), 'u' || n from generate_series(1, 300) n`);
  await write(
    `insert into str_pk (code, name) select chr(65 + n % 26) || 'é,"' || n, 's' from generate_series(1, 300) n`,
  );
  await write(`insert into pair ("left", "right", note) select n % 7, 'r' || n, null from generate_series(1, 300) n`);
  await write(`insert into author (id, name) select n, 'a' || n from generate_series(1, 300) n`);
  for (const [id, table, key] of [
    ['uuid_pk', 'uuid_ref', 'id'],
    ['str_pk', 'str_ref', 'code'],
    ['pair', 'pair_ref', '"right"'],
    ['author', 'author_ref', 'id'],
  ] as const) {
    expect(await compare(id)).toMatchObject({ ...NONE, missing: 300, repaired: 300 });
    expect(await compare(id)).toMatchObject(NONE);
    await replica(`delete from ${table} where ${key} = (select ${key} from ${table} order by 1 desc limit 1)`);
    await replica(
      `update ${table} set cqrs_revision = -1 where ${key} = (select ${key} from ${table} order by 1 limit 1)`,
    );
    expect(await compare(id)).toMatchObject({ ...NONE, missing: 1, stale: 1, repaired: 2 });
  }
  expect(await compare('author')).toMatchObject({ fields: ['id', 'name'], fieldsLeftOut: expect.any(Array) });
  await write(`delete from uuid_pk where name in ('u1', 'u2')`);
  expect(await compare('uuid_pk')).toMatchObject({ ...NONE, extra: 2, repaired: 2 });
  expect(await replica('select count(*)::int as count from uuid_ref')).toEqual([{ count: 298 }]);
});

test('rows that isSyncInstance keeps back count as deleted, and go through cqrsDelete', async () => {
  await write(`insert into filtered (id, name) select n, case when n > 2 then 'f' else 'skip' end || n
    from generate_series(1, 10) n`);
  expect(await compare('filtered')).toMatchObject({ ...NONE, missing: 8, repaired: 8 });
  await write(`update filtered set name = 'skip' where id in (3, 4)`);
  expect(await compare('filtered')).toMatchObject({ ...NONE, extra: 2, repaired: 2 });
  expect(FilteredRef.deleted.toSorted()).toEqual([3, 4]);
  expect(await replica('select id from filtered_ref order by id')).toHaveLength(6);
  await write(`update filtered set name = 'back', cqrs_revision = cqrs_revision + 1 where id = 3`);
  expect(await compare('filtered')).toMatchObject({ ...NONE, missing: 1, repaired: 1 });
  expect(await compare('filtered')).toMatchObject(NONE);
});

test('a DELETE that repairs does not end a new incarnation', async () => {
  await write(`insert into author (id, name) values (3001, 'first')`);
  await compare('author', { keys: [3001] });
  await write('delete from author where id = 3001');
  const { cqrs } = services.master;
  const [row] = await replica<{ revision: number; updated: string; incarnation: string }>(
    `select cqrs_revision as revision, (extract(epoch from cqrs_updated) * 1000000)::bigint::text as updated,
      cqrs_incarnation::text as incarnation from author_ref where id = 3001`,
  );
  // The new incarnation comes to the replica before the DELETE does.
  await write(`insert into author (id, name) values (3001, 'second')`);
  const before = services.heard.filter(({ name }) => /inbox.(applied|skipped)/.test(name)).length;
  await cqrs.sync({ cqrsId: 'author', filter: { id: 3001 }, queue: services.queue });
  await cqrs.repair({
    cqrsId: 'author',
    queue: services.queue,
    keys: [],
    withdrawals: [
      {
        key: ['3001'],
        pk: '3001',
        version: { revision: row!.revision, updated: Number(row!.updated), incarnation: Number(row!.incarnation) },
      },
    ],
  });
  await services.ended(before + 2);
  expect(await replica('select name from author_ref where id = 3001')).toEqual([{ name: 'second' }]);
});

describe('a replica that does not answer, or not well', () => {
  test('nobody answers, or too late: one clear error', async () => {
    const startedAt = Date.now();
    await expect(compare('product', { queue: 'nowhere' })).rejects.toThrow(
      /The replica behind the queue 'nowhere' gives no answer \(.*nobody answers.*A worker of ours must run there/,
    );
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    await expect(compare('nothing')).rejects.toThrow(UnknownCqrsIdError);
    await expect(compare('serialized')).rejects.toThrow(/has no replica of 'serialized'\. It has .*product/);
  });

  test.each([
    ['no JSON', 'no JSON', /makes no sense: it is not JSON/],
    ['another form', '{"rows":-1}', /makes no sense: rows/],
    ['a key that reaches for the prototype', '{"__proto__":{"rows":1}}', /makes no sense/],
    [
      'another key',
      '{"rows":1,"fields":[],"keyKinds":["integer","text"],"incarnations":true,"custom":false}',
      /its key has 2/,
    ],
    [
      'a refusal full of control characters',
      '{"refused":{"reason":"says \\u001b[2Jno","cure":""}}',
      /'\w+' says {2}\[2Jno/,
    ],
  ])('%s', async (_, answer, expected) => {
    const queue = uniqueName('hostile');
    const answering = await services.replica.cqrs.transport.answer(queue, async () => answer);
    const asked = compare('product', { queue, timeoutSeconds: 5 });
    await expect(asked).rejects.toThrow(ReplicaAnswerError);
    await expect(asked).rejects.toThrow(expected as RegExp);
    await answering.cancel();
  });

  test.each([
    ['nothing readable', 'x', /could not read the question/],
    ['an unknown question', '{"ask":"everything","version":1,"cqrsId":"product","timeoutMs":5}', /does not understand/],
    ['a later version', '{"ask":"describe","version":2,"cqrsId":"product","timeoutMs":5}', /\(version: /],
    [
      'a key of another kind',
      '{"ask":"keys","version":1,"cqrsId":"product","timeoutMs":5000,"checksums":null,"each":false,"keys":["a"]}',
      /a key does not fit/,
    ],
    [
      'a field that is not there',
      '{"ask":"keys","version":1,"cqrsId":"product","timeoutMs":5000,"checksums":["x\\"; drop table product_ref; --"],"each":true,"keys":[1]}',
      /does not have the field/,
    ],
  ])('a question of %s is refused with the reason', async (_, question, expected) => {
    const answer = await services.master.cqrs.transport.ask(services.queue, question, { timeoutMs: 5_000 });
    expect(JSON.parse(new TextDecoder().decode(answer)).refused.reason).toMatch(expected);
  });
});
