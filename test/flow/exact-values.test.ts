import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p, raw } from '@mikro-orm/postgresql';
import {
  type CreateContext,
  masterClass,
  MasterEntity,
  reconcile,
  replicaClass,
  ReplicaEntity,
} from '../../src/index.js';
import { diffMaster, diffReplica, diffSync } from '../../src/operations/diff.js';
import { dumpRows } from '../../src/operations/dump.js';
import { loadRows } from '../../src/operations/load.js';
import { pieces, Sink } from '../operations/streams.js';
import { type TwoServices, twoServices } from '../support/two-services.js';

/** SQL of extreme values, by the type of their column. The replica's must print as the master's does. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  smallint: ['-32768', '32767'],
  real: ['3.4028235e38', '1e-45', "'NaN'", "'-Infinity'", '0.1', "'-0'"],
  'double precision': ['1.7976931348623157e308', '5e-324', "'NaN'", "'Infinity'", '0.1', "'-0'", '1e15', '1e-7'],
  numeric: [
    "'NaN'",
    '1.10',
    '0.000000000000000000000000001',
    '123456789012345678901234567890.123456789',
    '100',
    '1e20',
    '-0.00',
  ],
  'numeric(10,2)': ['1.1', '-0.01'],
  money: ['12.34', '-0.01'],
  'char(5)': ["'ab'", "''"],
  bpchar: ["'ab  '"],
  'varchar(10)': ["'a  '", "' b'"],
  text: ["E'\\u2028\\u0001\\t'", "'\u{1F600}'", "''", "'\\N'", "'null'"],
  date: ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'4714-11-24 BC'", "'5874897-12-31'", "'2020-02-29'"],
  'time(6)': ["'24:00:00'", "'23:59:59.999999'"],
  'timetz(6)': ["'23:59:59.999999+15:59'", "'00:00-15:30'"],
  interval: ["'1 year -2 days 03:04:05.678901'", "'-1 mon +1 day'", "'-1 day -02:03:04'", "'178000000 years'", "'0'"],
  'timestamp(6)': [
    "'infinity'",
    "'-infinity'",
    "'0001-01-01 00:00:00.000001'",
    "'0044-03-15 01:02:03 BC'",
    "'294276-12-31 23:59:59.999999'",
  ],
  'timestamptz(6)': [
    "'infinity'",
    "'-infinity'",
    "'0001-01-01 00:00:00.000001+00'",
    "'0044-03-15 01:02:03+00 BC'",
    "'294276-12-31 23:59:59.999999+00'",
    "'1900-01-01 00:00:00+00:19:32'",
  ],
  'timestamptz(3)': ["'2020-01-01 00:00:00.1235+05:45'"],
  inet: ["'::1/64'", "'10.0.0.1'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  uuid: ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  json: [
    `'{"a": 1.10, "a": 2, "b":   [1e400, -0, 12345678901234567890]}'`,
    "'null'",
    "' null '",
    `'"x"'`,
    "'1.0'",
    `'{"a":{"b":null}}'`,
    `'"\\u0000"'`,
  ],
  jsonb: [
    `'{"b": 1.10, "c": [1e400, 12345678901234567890.10, 1e-400, 1.5e-320, -0.00]}'`,
    "'null'",
    "'[]'",
    "'[null, 2.50]'",
    "'1.0'",
    "'7'",
    `'"null"'`,
    `'"\\ud83d\\ude00"'`,
  ],
  'int[]': ["'{}'", "'{{1,2},{3,NULL}}'", "'[0:1]={5,6}'", "'[5:7][-1:0]={{1,2},{3,4},{5,6}}'"],
  'text[]': [`'{"a,b","\\"q\\"","",NULL,"NULL","null"}'`, '\'[2:3]={NULL,"[1]"}\''],
  'timestamptz[]': ['\'{infinity,"2020-01-01 00:00:00.123456+02"}\''],
  'numeric[]': ["'{1.10,NaN}'", "'[0:0]={1.10}'"],
  'double precision[]': ["'{-0,NaN,1e-7}'", "'[0:1]={NaN,-0}'"],
  'jsonb[]': [
    `array['{"a":1}'::jsonb]`,
    `array['null'::jsonb, null, '"null"']`,
    `array['{"a": 1.10}'::jsonb]`,
    `array[array['[1]'::jsonb, 'null'], array['2'::jsonb, null]]`,
    `'[3:4]={1,"null"}'`,
  ],
  'json[]': [`array['{"a":  1.10}'::json, 'null', null]`],
  'bytea[]': ["array['\\xdead'::bytea]"],
  'bool[]': ["'{t,f}'", "'{{t},{f}}'"],
  'char(3)[]': ["'{a,NULL}'"],
  'bit varying': ["B'0101'"],
  bytea: ["'\\x00ff5c27'", "''"],
  int4range: ["'[1,5)'", "'empty'"],
  tstzrange: ["'[2020-01-01 00:00:00.000001+00,infinity]'"],
  bool: ['true', 'false'],
  bigint: ['9223372036854775807', '-9223372036854775808'],
  oid: ['4294967295'],
  jsonpath: ["'$.a'"],
  regclass: ["'pg_class'"],
  int4multirange: ["'{[1,3),[5,6)}'"],
};
const TYPES = Object.keys(VALUES);
const column = (type: string): string => `c${TYPES.indexOf(type)}`;

const properties = () => ({
  id: p.integer().primary().autoincrement(false),
  // A row of the master is valid with a JSON null here.
  must: p.json<unknown>(),
  ...(Object.fromEntries(
    TYPES.map((type) => [
      column(type),
      (/^jsonb?$/.test(type) ? p.json().columnType(type) : p.string().columnType(type)).nullable(),
    ]),
  ) as Record<string, ReturnType<typeof p.string>>),
});

const RowSchema = defineEntity({ name: 'Row', extends: MasterEntity, properties: properties() });
class Row extends masterClass(RowSchema) {
  static override CQRS_ID = 'row';
}
RowSchema.setClass(Row);
/** What MikroORM itself can write: a replica with hooks stores by it. */
const HOOKED: Readonly<Record<string, readonly string[]>> = {
  json: VALUES['json']!,
  jsonb: VALUES['jsonb']!,
  'int[]': ["'{}'", "'[0:1]={5,6}'"],
};
const hookedProperties = () => ({
  id: p.integer().primary().autoincrement(false),
  must: p.json<unknown>(),
  ...({
    [column('json')]: p.json().columnType('json').nullable(),
    [column('jsonb')]: p.json().nullable(),
    [column('int[]')]: p.array(Number).columnType('int[]').nullable(),
  } as object as Record<string, ReturnType<typeof p.string>>),
});
const HookedSchema = defineEntity({ name: 'Hooked', extends: MasterEntity, properties: hookedProperties() });
class Hooked extends masterClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
}
HookedSchema.setClass(Hooked);

const RowRefSchema = defineEntity({ name: 'RowRef', extends: ReplicaEntity, properties: properties() });
class RowRef extends replicaClass(RowRefSchema) {
  static override CQRS_ID = 'row';
}
RowRefSchema.setClass(RowRef);
const HookedRefSchema = defineEntity({ name: 'HookedRef', extends: ReplicaEntity, properties: hookedProperties() });
class HookedRef extends replicaClass(HookedRefSchema) {
  static override CQRS_ID = 'hooked';
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    return super.cqrsCreate(em, context);
  }
}
HookedRefSchema.setClass(HookedRef);

let services: TwoServices;
let expected = 0;
beforeAll(async () => {
  services = await twoServices({ masters: [Row, Hooked], replicas: [RowRef, HookedRef] });
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});

type Line = { id: number } & Record<string, string | null>;
const printed = (service: TwoServices['master'], table: string, types: readonly string[]): Promise<Line[]> =>
  service.orm.em
    .fork()
    .execute(
      `select id, must::text as must, ${types.map((type) => `row(${column(type)})::text as ${column(type)}`).join(', ')} from ${table} order by id`,
    );

interface Written {
  readonly id: number;
  readonly type: string;
  readonly value: string;
}

function rowsOf(values: Readonly<Record<string, readonly string[]>>): Written[] {
  const rows = Object.keys(values).flatMap((type) => values[type]!.map((value) => ({ type, value })));
  return [...rows, { type: 'must', value: "'null'" }, { type: 'must', value: "'[1.50]'" }].map((row, index) => ({
    ...row,
    id: index + 1,
  }));
}

async function write(entity: typeof Row | typeof Hooked, rows: readonly Written[]): Promise<void> {
  const em = services.master.orm.em.fork();
  for (const { id, type, value } of rows) {
    const field = type === 'must' ? 'must' : column(type);
    await em
      .createQueryBuilder(entity as typeof Row)
      .insert({ id, must: raw("'{}'"), [field]: raw(value) } as never)
      .execute();
  }
  expected += rows.length;
  await services.ended(expected);
}

describe.each([
  ['columns alone', Row, 'row', VALUES],
  ['hooks', Hooked, 'hooked', HOOKED],
] as const)('every type and extreme value, by the way of %s', (_, entity, cqrsId, values) => {
  const table = `${cqrsId}_ref`;
  const types = Object.keys(values);
  const rows = rowsOf(values);
  const spoilt = types.map((type) => `${column(type)} = null`).join(', ');
  const sql = (text: string): Promise<unknown> => services.replica.orm.em.fork().execute(text);
  const check = async (): Promise<string[]> => {
    const there = new Map((await printed(services.replica, table, types)).map((row) => [row.id, row]));
    return (await printed(services.master, `"${cqrsId}"`, types)).flatMap((row) => {
      const other = there.get(row.id);
      if (JSON.stringify(row) === JSON.stringify(other)) return [];
      const { type, value } = rows.find(({ id }) => id === row.id)!;
      const field = type === 'must' ? 'must' : column(type);
      return [`${type} ${value}: ${row[field]} arrived as ${other ? other[field] : 'nothing'}`];
    });
  };

  test('prints on the replica as on the master', async () => {
    await write(entity, rows);
    expect(await check()).toEqual([]);
  });

  test('equal tables are equal to reconcile and to the pipes', async () => {
    const report = await reconcile(services.master.cqrs, { cqrsId, queue: services.queue, settleSeconds: 0 });
    expect(report).toMatchObject({ damaged: 0, stale: 0, missing: 0, extra: 0 });
    expect(await diff()).toMatchObject({ damaged: 0, stale: 0, missing: 0 });
  });

  const damage: Readonly<Record<string, readonly [type: string, value: string]>> = {
    'a JSON null made NULL': ['jsonb', "'null'"],
    'a JSON null in a list made NULL': ['jsonb[]', `array['null'::jsonb, null, '"null"']`],
    'an array that begins elsewhere': ['int[]', "'[0:1]={5,6}'"],
  };
  const damaged: Readonly<Record<string, string>> = {
    'a JSON null made NULL': 'null',
    'a JSON null in a list made NULL': `array[null, null, '"null"'::jsonb]`,
    'an array that begins elsewhere': "'{5,6}'",
  };

  test.each(Object.keys(damage).filter((what) => types.includes(damage[what]![0])))(
    '%s is found and repaired: reconcile',
    async (what) => {
      await spoil(what);
      const report = await reconcile(services.master.cqrs, { cqrsId, queue: services.queue, settleSeconds: 0 });
      expect(report).toMatchObject({ damaged: 1, repaired: 1, unrepaired: 0 });
      expect(report.sample).toMatchObject([{ fields: [column(damage[what]![0])] }]);
      expected++;
      expect(await check()).toEqual([]);
    },
  );

  test.each(Object.keys(damage).filter((what) => types.includes(damage[what]![0])))(
    '%s is found and repaired: the pipes',
    async (what) => {
      await spoil(what);
      expect(await diff()).toMatchObject({ damaged: 1 });
      expected++;
      await services.ended(expected);
      expect(await check()).toEqual([]);
    },
  );

  test('a sync repeats all of it', async () => {
    await sql(`update ${table} set ${spoilt}`);
    await services.master.cqrs.sync({ cqrsId, queue: services.queue });
    expected += rows.length;
    await services.ended(expected);
    expect(await check()).toEqual([]);
  });

  test('a dump carries all of it, into an empty table and over a spoilt one', async () => {
    const dump = new Sink();
    await dumpRows(services.master.cqrs, { cqrsId, write: dump.write });
    await sql(`delete from ${table}`);
    expect(await loadRows(services.replica.cqrs, pieces(dump.text, 10_000))).toMatchObject({ failed: 0 });
    expect(await check()).toEqual([]);
    await sql(`update ${table} set ${spoilt}`);
    const result = await loadRows(services.replica.cqrs, pieces(dump.text, 10_000), { clear: true });
    expect(result).toMatchObject({ failed: 0 });
    expect(await check()).toEqual([]);
  });

  async function spoil(what: string): Promise<void> {
    const [type, value] = damage[what]!;
    const { id } = rows.find((row) => row.type === type && row.value === value)!;
    await sql(`update ${table} set ${column(type)} = ${damaged[what]} where id = ${id}`);
    expect(await check()).toHaveLength(1);
  }

  async function diff(): Promise<object> {
    const [list, missing] = [new Sink(), new Sink()];
    await diffMaster(services.master.cqrs, { cqrsId, write: list.write, settleSeconds: 0, checksums: 'all' });
    const result = await diffReplica(services.replica.cqrs, pieces(list.text, 10_000), { write: missing.write });
    await diffSync(services.master.cqrs, pieces(missing.text, 10_000), {});
    return result;
  }
});
