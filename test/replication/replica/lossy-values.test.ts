import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { type WireObject, wireKind } from '../../../src/wire/values.js';
import type { Received } from '../../../src/messaging/inbox/handler.js';
import { lossCheck } from '../../../src/replication/replica/table/lossy-text.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const properties = () => ({
  id: p.integer().primary().autoincrement(false),
  price: p.decimal().columnType('numeric(12,2)').nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  code: p.string().columnType('varchar(20)').nullable(),
});
const Item = defineEntity({ name: 'Item', extends: ReplicaEntity, properties: properties() });
const Hooked = defineEntity({ name: 'Hooked', extends: ReplicaEntity, properties: properties() });
const Priced = defineEntity({
  name: 'Priced',
  extends: ReplicaEntity,
  properties: { id: p.decimal().columnType('numeric(12,2)').primary() },
});
const entities = () => [
  replica(Item, { id: 'item' }),
  replica(Hooked, { id: 'hooked', cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never) }),
  replica(Priced, { id: 'priced' }),
];

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, entities());
  await service.orm.schema.create();
  await service.rows(`alter table item alter price type numeric(10,0), alter at type timestamptz(3);
    alter table hooked alter price type numeric(10,0), alter at type timestamptz(3);
    alter table priced alter id type numeric(10,0)`);
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

/** Every kind of type, and whether PostgreSQL, asked itself, has the same afterwards as it was given. */
describe('what is said to be lost is what PostgreSQL loses', () => {
  const digits = [
    '0',
    '1',
    '-1',
    '12',
    '12.5',
    '-12.50',
    '0.005',
    '1e-7',
    '1.5e3',
    '-2.5E+1',
    '1e5',
    '99999.99',
    '0.10',
    '100',
    '150',
    'NaN',
    '.5',
    '5.',
    '00.10',
    '123456789.123456789',
    '1234567',
    '0.1000000001',
    '16777217',
    '0.30000001192092896',
    '1.17549435e-38',
    '3.4028234e+38',
    '2.3841858e-07',
  ];
  const random = (count: number, make: (next: () => number) => string): string[] => {
    let seed = 42;
    const next = (): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    return Array.from({ length: count }, () => make(next));
  };
  const numbers = [
    ...digits,
    ...random(300, (next) => (next() * 10 ** Math.floor(next() * 9 - 3)).toPrecision(1 + Math.floor(next() * 17))),
    ...random(100, (next) => String(Math.fround(next() * 1_000))),
  ];
  const times = (prefix: string, suffix: string): string[] =>
    ['', '.5', '.120', '.123', '.1234', '.123456', '.000001', '.100000', '.999999'].map(
      (part) => `${prefix}10:00:01${part}${suffix}`,
    );
  const small = numbers.filter((text) => Math.abs(Number(text)) < 1e15);
  const sameNumber = (type: string) => `(t::numeric)::${type}::numeric is not distinct from t::numeric`;
  const sameFloat = (type: string) =>
    `((t::${type})::text::numeric = t::numeric or (t::${type})::float8::text::numeric = t::numeric)`;

  test.each<{ declared: string; actual: string; same: string; texts: string[]; cast?: boolean }>([
    { declared: 'numeric', actual: 'numeric(12,2)', same: sameNumber('numeric(300,2)'), texts: numbers },
    { declared: 'numeric', actual: 'numeric(10,0)', same: sameNumber('numeric(300,0)'), texts: numbers },
    {
      declared: 'numeric',
      actual: 'numeric(10,-2)',
      same: sameNumber('numeric(300,-2)'),
      texts: numbers.filter((text) => text !== 'NaN'),
    },
    {
      declared: 'numeric(12,2)',
      actual: 'bigint',
      same: sameNumber('bigint'),
      texts: small,
    },
    { declared: 'double precision', actual: 'numeric(12,2)', same: sameNumber('numeric(300,2)'), texts: digits },
    { declared: 'real', actual: 'real', same: sameFloat('real'), texts: numbers.filter((text) => text !== 'NaN') },
    {
      declared: 'double precision',
      actual: 'double precision',
      same: sameFloat('float8'),
      texts: [
        ...numbers.filter((text) => text !== 'NaN'),
        '0.12345678901234567',
        '12345678901234567890',
        '9007199254740993',
        '0.1234567890123456789',
      ],
    },
    {
      declared: 'timestamptz',
      actual: 'timestamp(3) with time zone',
      same: 't::timestamptz(3) = t::timestamptz',
      texts: times('2026-01-02 ', '+00:00'),
    },
    {
      declared: 'timestamptz',
      actual: 'timestamp(0) with time zone',
      same: 't::timestamptz(0) = t::timestamptz',
      texts: times('2026-01-02 ', '+05:30'),
    },
    {
      declared: 'timestamptz',
      actual: 'timestamp(6) with time zone',
      same: 'true',
      texts: times('2026-01-02 ', '+00:00'),
    },
    {
      declared: 'date',
      actual: 'date',
      same: 't::date::timestamp = t::timestamp',
      texts: [
        '2026-01-02',
        '2026-01-02 00:00:00',
        '2026-01-02 10:00:00',
        '2026-01-02T00:00:00.5',
        '0044-03-15 BC',
        'infinity',
      ],
    },
    { declared: 'time', actual: 'time(0) without time zone', same: 't::time(0) = t::time', texts: times('', '') },
    { declared: 'time', actual: 'time(3) without time zone', same: 't::time(3) = t::time', texts: times('', '') },
    {
      declared: 'interval',
      actual: 'interval(0)',
      same: 't::interval(0) = t::interval',
      texts: [
        ...times('1 day ', ''),
        '1.5 days',
        '2.5 hours',
        '1.5 seconds',
        '-3 days -00:00:01.25',
        'P1DT2.5S',
        '1 mon',
        '00:00:01.5 ago',
      ],
    },
    {
      declared: 'name',
      actual: 'name',
      same: 't::name::text = t',
      texts: ['a', 'ä'.repeat(31), 'ä'.repeat(32), 'x'.repeat(63), 'x'.repeat(64)],
    },
    { declared: '"char"', actual: '"char"', same: 't::"char"::text = t', texts: ['a', 'ab', ''] },
    {
      declared: 'text',
      actual: 'character varying(3)',
      same: 't::varchar(3)::text = t',
      texts: ['abc', 'abc ', 'ab ', 'äöü', '🎉🎉🎉', 'abc   '],
    },
    { declared: 'text', actual: 'character(3)', same: 't::bpchar::text = t', texts: ['abc', 'ab ', 'a', ''] },
    {
      declared: 'short',
      actual: 'character varying(3)',
      cast: true,
      same: 't::varchar(3)::text = t',
      texts: ['abc', 'abcd', 'abc ', '🎉🎉🎉🎉'],
    },
    {
      declared: 'money',
      actual: 'money',
      same: 't::numeric::money::numeric = t::numeric',
      texts: ['1.25', '1.255', '1', '-0.001'],
    },
    { declared: 'text', actual: 'text', same: 'true', texts: ['a ', ' ', 'x'.repeat(1_000)] },
    { declared: 'numeric', actual: 'numeric', same: 'true', texts: numbers },
  ])('$declared into $actual', async ({ declared, actual, same, texts, cast = false }) => {
    const check = lossCheck({ declared, actual, cast, kind: wireKind(declared) });
    const answer = await service.rows(
      `select t as text, (${same})::text as same from unnest(array[${texts.map((text) => `'${text}'`).join(', ')}]::text[]) as u(t)`,
    );
    const wrong = answer.filter(({ text, same: kept }) => (check?.(text!, text!) ?? false) === (kept === 'true'));
    expect(wrong).toEqual([]);
  });

  test('columns that can lose nothing have no check', () => {
    const without = [
      'text',
      'numeric',
      'integer',
      'bigint',
      'boolean',
      'uuid',
      'jsonb',
      'bytea',
      'mood',
      'text[]',
      'inet',
    ];
    expect(
      without.map((type) => lossCheck({ declared: type, actual: type, cast: false, kind: wireKind(type) })),
    ).toEqual(without.map(() => undefined));
  });

  test('elements of arrays are looked at', () => {
    const check = lossCheck({ declared: 'numeric(8,2)[]', actual: 'numeric(8,2)[]', cast: false, kind: 'decimal[]' })!;
    expect(check('', ['1.25', null, '3'])).toBe(false);
    expect(check('', [['1.25'], ['1.255']])).toBe(true);
  });
});

const EXACT = { price: '12.00', at: '2026-01-02 03:04:05.123000+00:00', code: 'a' };
const LOSSY = { price: '12.5', at: '2026-01-02 03:04:05.123456+00:00', code: 'a' };
const told = (of = service): unknown[] =>
  of.seen.filter(({ name }) => name === 'cqrs.replica.lossy-value').map(({ fields }) => fields);
const events = (table: string): unknown[] => [
  { cqrsId: table, field: 'price', table: `"${table}"`, column: 'price', columnType: 'numeric(10,0)' },
  { cqrsId: table, field: 'at', table: `"${table}"`, column: 'at', columnType: 'timestamp(3) with time zone' },
];

/** The ways in which a message reaches its table; `exact` and `lossy` apply a row. */
const WAYS: Record<string, (own: ReplicaService, id: number, data: WireObject) => Promise<string[]>> = {
  straight: async (own, id, data) =>
    brief(await own.replicaRuntime.handle([message({ id, ...data }, { cqrsId: 'item' })])),
  'with a look': async (own, id, data) =>
    brief(await own.replicaRuntime.handle([message({ id, ...data }, { cqrsId: 'item', signal: 'SYNC' })])),
  hooks: async (own, id, data) =>
    brief(await own.replicaRuntime.handle([message({ id, ...data }, { cqrsId: 'hooked' })])),
  'by hand': async (own, id, data) => {
    const { payload } = message({ id, ...data }, { cqrsId: 'item' });
    try {
      const how = { signalType: 'SAVE', incarnation: 1 } as const;
      return brief([
        await own.replicaRuntime.applyByHand(
          own.side.replicas.get('item').entity,
          own.orm.em.fork(),
          payload.instanceData,
          how as never,
        ),
      ]);
    } catch (error) {
      return [`dead-letter ${(error as { code: string }).code}`];
    }
  },
  'bulk load': async (own, id, data) => {
    const { copying } = own.replicaRuntime;
    const definition = own.side.replicas.get('item');
    await copying.prepare();
    const { payload } = message({ id, ...data }, { cqrsId: 'item' });
    const row = copying.read(definition, payload.instanceData, payload);
    if (!row) return brief(await own.replicaRuntime.handle([message({ id, ...data }, { cqrsId: 'item' })]));
    return (await copying.write(definition, [row])).length === 0 ? ['create'] : ['left'];
  },
};

describe.each(Object.entries(WAYS))('%s', (name, apply) => {
  const table = name === 'hooks' ? 'hooked' : 'item';
  beforeEach(async () => {
    await service.rows('truncate item, hooked, cqrs_tombstones');
  });

  // claims: lossy-told
  test('applies what is rounded, and says so once a column', async () => {
    const own = await ReplicaService.start(database.url, entities());
    try {
      const { replicaRuntime } = own;
      Object.defineProperty(own, 'replicaRuntime', { value: replicaRuntime });
      expect(await apply(own, 1, EXACT)).toEqual(['create']);
      expect(told(own)).toEqual([]);
      for (const id of [2, 3]) expect(await apply(own, id, LOSSY)).toEqual(['create']);
      expect(told(own)).toEqual(events(table));
      expect(
        await own.rows(`select price::text, extract(microseconds from at)::int as at from ${table} where id = 2`),
      ).toEqual([{ price: '13', at: 5_123_000 }]);
    } finally {
      await own.stop();
    }
  });

  // claims: lossy-told
  test('with `dead-letter` stores nothing of it', async () => {
    const own = await ReplicaService.start(database.url, entities(), { replica: { lossyValues: 'dead-letter' } });
    try {
      expect(await apply(own, 1, EXACT)).toEqual(['create']);
      expect(await apply(own, 2, LOSSY)).toEqual([`dead-letter ${name === 'by hand' ? 'mapping' : 'lossy-value'}`]);
      expect(await own.rows(`select id from ${table}`)).toEqual([{ id: 1 }]);
      expect(told(own)).toEqual([]);
    } finally {
      await own.stop();
    }
  });
});

test('the dead letter names field, column and type, and no value', async () => {
  const own = await ReplicaService.start(database.url, entities(), { replica: { lossyValues: 'dead-letter' } });
  const [outcome] = await own.handle([message({ id: 9, ...LOSSY }, { cqrsId: 'item' })]);
  await own.stop();
  expect(outcome).toMatchObject({
    error: {
      message:
        "Cannot map a message of 'item': 'price' holds more than its column price (numeric(10,0)) stores without rounding or cutting. Correct CQRS_MAPPING or the replica, then retry the dead letter.",
    },
  });
});

test('a skipped message and a dry run tell nothing', async () => {
  const own = await ReplicaService.start(database.url, entities());
  const { replicaRuntime } = own;
  const newer = message({ id: 20, ...EXACT }, { cqrsId: 'item', revision: 5 });
  const older = message({ id: 20, ...LOSSY }, { cqrsId: 'item', revision: 4 });
  expect(brief(await replicaRuntime.handle([newer]))).toEqual(['create']);
  expect(brief(await replicaRuntime.handle([older]))).toEqual(['stale']);
  await replicaRuntime.handle([message({ id: 21, ...LOSSY }, { cqrsId: 'item' })], { dryRun: true });
  expect(told(own)).toEqual([]);
  await own.stop();
});

test.each<[string, (id: string) => Received]>([
  ['a SAVE', (id) => message({ id }, { cqrsId: 'priced' })],
  ['a DELETE', (id) => message({ id }, { cqrsId: 'priced', signal: 'DELETE', revision: 3 })],
])('%s whose key would be rounded never touches the row of another key', async (_, make) => {
  await service.rows('truncate priced');
  expect(brief(await service.handle([message({ id: '13' }, { cqrsId: 'priced' })]))).toEqual(['create']);
  expect(brief(await service.handle([make('12.5')]))).toEqual(['dead-letter mapping']);
  expect(await service.rows('select id::text from priced')).toEqual([{ id: '13' }]);
});
