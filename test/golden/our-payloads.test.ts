import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { raw } from '@mikro-orm/postgresql';
import { parseJson, type WireObject, type WireValue } from '../../src/wire/values.js';
import { type MasterService, masterService } from '../support/master-service.js';
import {
  Author,
  Book,
  CustomDelete,
  Filtered,
  IpField,
  Kinds,
  models,
  Product,
  Serialized,
  StrPk,
  Tracked,
  TrackedAll,
  UuidPk,
  WithMeta,
} from './master-models.js';

/**
 * The same models, the same doings, as in the recordings of django-cqrs: our bodies are theirs, except where a heading
 * of docs/django-cqrs.md says why not. The steps build on each other, in the order of the recordings.
 */

interface Recording {
  readonly case: string;
  readonly transport: string;
  readonly body?: string | null;
}
const recordings = readFileSync(new URL('django-cqrs-messages.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Recording)
  .filter((recording) => recording.transport === 'RabbitMQTransport');
const docs = readFileSync(new URL('../../docs/django-cqrs.md', import.meta.url), 'utf8');

let service: MasterService;
const em = () => service.orm.em.fork();
const product = (id: number, name = `Product ${id}`) => ({
  id,
  name,
  quantity: id * 10,
  price: '12.50',
  createdAt: new Date('2024-01-02T03:04:05Z'),
  active: true,
});
const kinds = (id: number, values: object) => em().insert(Kinds, { id, ...values } as never);
const uuid = '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10';
async function change<T extends object>(entity: new () => T, key: unknown, values: Partial<T>): Promise<void> {
  const fork = em();
  fork.assign(await fork.findOneOrFail(entity as never, key as never), values as never);
  await fork.flush();
}

/** What differs on purpose in a case: the heading in docs/django-cqrs.md, and what is ours instead. */
interface Deviation {
  readonly heading: string;
  readonly revision?: number;
  readonly previous?: WireObject | null;
  readonly messages?: number;
  readonly data?: WireObject;
}

const revisions = 'One step a row and transaction';
const silent = 'Every write is captured';
const steps: [name: string, doing: () => Promise<unknown>, deviation?: Deviation][] = [
  ['create', () => em().insert(Product, product(1))],
  [
    'create_micros',
    () =>
      em().insert(Product, {
        ...product(2),
        price: '0.1',
        active: false,
        createdAt: raw(`'2024-01-02 03:04:05.123456+00'::timestamptz`) as never,
      }),
  ],
  ['update', () => change(Product, 1, { name: 'renamed' })],
  ['update_fields_without_cqrs_fields', () => change(Product, 1, { name: 'x' }), { heading: silent, messages: 1 }],
  ['update_fields_with_update_cqrs_fields', () => change(Product, 1, { name: 'y' }), { heading: silent, revision: 3 }],
  ['update_fields_auto_update_setting', () => change(Product, 1, { name: 'z' }), { heading: silent, revision: 4 }],
  [
    'update_f_expression',
    () => em().nativeUpdate(Product, { id: 1 }, { quantity: raw('quantity + 5') as never }),
    { heading: silent, revision: 5 },
  ],
  [
    'atomic_create_and_two_saves',
    () =>
      em().transactional(async (inner) => {
        const row = inner.create(Product, product(3));
        for (const name of ['second save', 'third save']) {
          await inner.flush();
          row.name = name;
        }
      }),
  ],
  [
    'atomic_update_three_saves',
    () =>
      em().transactional(async (inner) => {
        const row = await inner.findOneOrFail(Product, 3);
        row.quantity = 77;
        for (const name of ['a1', 'a2', 'a3']) {
          row.name = name;
          await inner.flush();
        }
      }),
    { heading: revisions, revision: 1 },
  ],
  [
    'atomic_rollback',
    () =>
      em()
        .transactional(async (inner) => {
          await inner.nativeUpdate(Product, {}, { name: 'lost' });
          throw new Error('rollback');
        })
        .catch(() => {}),
  ],
  [
    'atomic_create_and_delete',
    () =>
      em().transactional(async (inner) => {
        await inner.insert(Product, product(40));
        await inner.nativeDelete(Product, { id: 40 });
      }),
    { heading: 'Created and deleted in one transaction', messages: 0 },
  ],
  [
    'delete',
    () => em().nativeDelete(Product, { id: 2 }),
    { heading: 'The revision of a DELETE is the database’s', revision: 1 },
  ],
  ['bulk_create', () => Product.cqrs(em()).bulkCreate([product(10), product(11), product(12)] as never)],
  ['bulk_update', () => Product.cqrs(em()).bulkUpdate({ id: { $in: [10, 11, 12] } }, { name: 'bulk', quantity: 5 })],
  [
    'queryset_update',
    () => em().nativeUpdate(Product, { id: 10 }, { name: 'silent' }),
    { heading: silent, messages: 1 },
  ],
  ['queryset_delete', () => em().nativeDelete(Product, { id: { $in: [11, 12] } })],
  ['bulk_create_plain_manager', () => em().insertMany(Product, [product(13)]), { heading: silent, messages: 1 }],
  [
    'instance_cqrs_sync',
    async () => (await em().findOneOrFail(Product, 10)).cqrsSync(),
    { heading: silent, revision: 2 },
  ],
  [
    'instance_cqrs_sync_queue',
    async () => (await em().findOneOrFail(Product, 10)).cqrsSync({ queue: 'replica' }),
    { heading: silent, revision: 2 },
  ],
  ['fk_author_create', () => em().insert(Author, { name: 'José Núñez' })],
  ['author_two_create', () => em().insert(Author, { name: 'B', bio: 'second' })],
  ['fk_create_subset_fields', () => em().insert(Book, { title: 'Book', author: 1, secret: 's' })],
  ['fk_change', () => em().nativeUpdate(Book, { id: 1 }, { author: 2 })],
  ['uuid_pk_create', () => em().insert(UuidPk, { id: uuid, name: 'uuid' })],
  ['uuid_pk_update', () => change(UuidPk, uuid, { name: 'uuid2' })],
  [
    'uuid_pk_delete',
    () => em().nativeDelete(UuidPk, { id: uuid }),
    { heading: 'Values that Python cannot send', messages: 1 },
  ],
  ['str_pk_create', () => em().insert(StrPk, { code: 'a/b é "q" #1', name: 'n' })],
  ['nulls', () => kinds(1, {})],
  [
    'all_kinds_python_values',
    () =>
      kinds(2, {
        char: 'Grüße, 日本語, emoji 🎉, quote " back\\ slash / <b>&amp;',
        text: 'line1\nline2\ttab\r\u2028\u00a0\u0007',
        integer: -2147483648,
        bigint: 9007199254740993n,
        flt: 0.1,
        dec2: '1234567890.12',
        decBig: '12345678901234567890.123456789012345678',
        boolean: true,
        date: '2024-02-29',
        dt: raw(`'2024-01-02 03:04:05.123456+00'::timestamptz`),
        uid: uuid,
        js: raw(
          `'{"b": [1, 2.5, null, true, "é/ü"], "a": {"nested": {"deep": "🎉"}}, "big": 9007199254740993, "f": 1e21}'::jsonb`,
        ),
      }),
    {
      heading: 'Numbers keep their digits',
      data: {
        dec_big: '12345678901234567890.123456789012345678',
        js: parseJson(
          '{"a": {"nested": {"deep": "🎉"}}, "b": [1, 2.5, null, true, "é/ü"], "f": 1000000000000000000000, "big": 9007199254740993}',
        ),
      },
    },
  ],
  ['bigint_max', () => kinds(3, { bigint: 9223372036854775807n })],
  ['float_many_digits', () => kinds(5, { flt: 1.2345678901234567 })],
  ['float_huge', () => kinds(6, { flt: 1.7976931348623157e308 })],
  ['float_whole', () => kinds(8, { flt: 3 })],
  ['float_nan', () => kinds(9, { flt: raw(`'NaN'::float8`) })],
  ['decimal_trailing_zeros', () => kinds(11, { dec2: '5.00' })],
  ['decimal_from_string', () => kinds(12, { dec2: '7.10' })],
  ['decimal_negative', () => kinds(14, { dec2: '-0.01' })],
  ['dt_millis', () => kinds(16, { dt: new Date('2024-01-02T03:04:05.120Z') })],
  ['dt_far', () => kinds(17, { dt: raw(`'9999-12-31 23:59:59.999999+00'::timestamptz`) })],
  ['json_array', () => kinds(21, { js: [] })],
  ['json_with_slash_and_html', () => kinds(23, { js: { u: 'https://x/y?a=<b>&c' } })],
  ['ip_field', () => em().insert(IpField, { ip: '127.0.0.1' })],
  ['tracked_setup_authors', () => em().insertMany(Author, [{ name: 'TA' }, { name: 'TB' }])],
  [
    'tracked_create',
    () =>
      em().insert(Tracked, {
        name: 'one',
        price: '1.10',
        author: 3,
        happenedAt: raw(`'2024-01-02 03:04:05.123456+00'::timestamptz`) as never,
        uid: uuid,
      }),
  ],
  ['tracked_create_with_nulls', () => em().insert(Tracked, { name: 'only name' })],
  ['tracked_update_one', () => change(Tracked, 1, { name: 'two' })],
  ['tracked_bulk_create', () => em().insertMany(Tracked, [{ name: 'bc1' }, { name: 'bc2', price: '3.3' }])],
  ['tracked_all_create', () => em().insert(TrackedAll, { name: 'n', num: 0 })],
  ['tracked_all_update', () => change(TrackedAll, 1, { num: 9 })],
  ['meta_model_override_create', () => em().insert(WithMeta, { name: 'n' })],
  ['meta_model_override_update', () => change(WithMeta, 1, { name: 'n2' })],
  ['meta_model_override_delete', () => em().nativeDelete(WithMeta, { id: 1 })],
  ['meta_function_create', () => em().insert(Product, product(50))],
  ['meta_function_delete', () => em().nativeDelete(Product, { id: 50 })],
  ['custom_delete_create', () => em().insert(CustomDelete, { name: 'bye' })],
  ['serializer_create', () => em().insert(Serialized, { name: 's', author: 3 })],
  ['serializer_update', () => change(Serialized, 1, { name: 's2' })],
  ['serializer_delete', () => em().nativeDelete(Serialized, { id: 1 })],
  ['is_sync_instance_false', () => em().insert(Filtered, { name: 'skip me' })],
  ['is_sync_instance_true', () => em().insert(Filtered, { name: 'take me' })],
  ['correlation_save', () => em().insert(Product, product(51))],
  ['correlation_delete', () => em().nativeDelete(Product, { id: 51 })],
];

// claims: wire
describe('our payloads beside the recorded ones', () => {
  describe.each(['driver', 'trigger'] as const)('captured by %s', (capture) => {
    beforeAll(async () => {
      service = await masterService(models, {
        settings: {
          master: {
            capture,
            correlationFunction: ({ signalType, cqrsId, instancePk, queue }) =>
              Number(instancePk) === 51
                ? `corr-${signalType}-${cqrsId}-${String(instancePk)}-${queue ?? 'None'}`
                : null,
            metaFunction: ({ signalType, instancePk }) =>
              Number(instancePk) === 50 ? { signal: signalType, cls: 'Product' } : null,
          },
        },
      });
    });
    afterAll(async () => {
      await service[Symbol.asyncDispose]();
    });

    for (const [name, doing, deviation] of steps) {
      test(name, async () => {
        await service.takeBodies();
        await doing();
        const ours = (await service.takeBodies()).map(({ body }) => parseJson(body) as WireObject).toSorted(byKey);
        const theirs = recordings
          .filter((recording) => recording.case === name && recording.body)
          .map((recording) => parseJson(recording.body!) as WireObject)
          .toSorted(byKey);
        if (deviation) expect(docs).toContain(`## ${deviation.heading}`);
        if (deviation?.messages !== undefined) return expect(ours).toHaveLength(deviation.messages);
        expect(ours.length).toBe(theirs.length);
        for (const [index, body] of ours.entries())
          expect(comparable(body)).toEqual(comparable(adapted(theirs[index]!, body, deviation)));
      });
    }

    test('every difference that holds for all of them has its reason in the docs', () => {
      for (const heading of [
        'Decimals are strings',
        'Relations have one name',
        '`cqrs_incarnation` travels beside',
        revisions,
      ]) {
        expect(docs).toContain(`## ${heading}`);
      }
    });
  });
});

/** Without what no two runs share: times, and the keys that are ours alone or added by the relay. */
function comparable({ expires, cqrs_incarnation, instance_data, ...body }: WireObject): unknown {
  void expires;
  void cqrs_incarnation;
  const { cqrs_updated, ...data } = instance_data as WireObject;
  expect(cqrs_updated).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\+00:00$/);
  return { ...body, instance_data: data };
}

function adapted(theirs: WireObject, ours: WireObject, deviation: Deviation | undefined): WireObject {
  const data = { ...(theirs['instance_data'] as WireObject), ...deviation?.data };
  if (deviation?.revision !== undefined) data['cqrs_revision'] = deviation.revision;
  const mine = ours['instance_data'] as WireObject;
  for (const name of ['price', 'dec2', 'dec_big']) {
    // "Decimals are strings": the same number, written out.
    if (typeof data[name] === 'number' && Number(mine[name] as string) === data[name]) data[name] = mine[name]!;
  }
  const { author_id, ...previous } = (theirs['previous_data'] ?? {}) as WireObject;
  // "Relations have one name"
  const renamed: WireValue =
    theirs['previous_data'] === null
      ? null
      : { ...previous, ...(author_id === undefined ? {} : { author: author_id }) };
  if (data['dec2'] === '7.10' && mine['dec2'] === '7.10') data['dec2'] = '7.10';
  return {
    ...theirs,
    instance_data: data,
    previous_data: deviation?.previous === undefined ? renamed : deviation.previous,
  };
}

function byKey(a: WireObject, b: WireObject): number {
  return String(a['instance_pk']).localeCompare(String(b['instance_pk']), 'en', { numeric: true });
}
