import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AnyEntity, defineEntity, p, raw, type Type, Type as CustomType, wrap } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** SQL of values, by the type of their column. */
const NATIVE: Readonly<Record<string, readonly string[]>> = {
  smallint: ['-32768'],
  int: ['2147483647'],
  bigint: ['9223372036854775807', '-1'],
  real: ['0.1', "'NaN'", "'-0'"],
  'double precision': ['1.7976931348623157e308', "'-Infinity'", "'-0'"],
  numeric: ['1.10', "'NaN'", '123456789012345678901234567890.1'],
  'numeric(10,2)': ['7.5'],
  money: ['12.34'],
  boolean: ['true', 'false'],
  'char(5)': ["'ab'", "''", "'\u{1F600}'"],
  'character(3)': ["'abc'"],
  bpchar: ["'ab  '"],
  'varchar(10)': ["'a  '"],
  text: ["''", "'null'", "'{1,2}'"],
  uuid: ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  bytea: ["'\\x00ff5c27'", "''"],
  date: ["'2020-02-29'", "'infinity'", "'0044-03-15 BC'"],
  'time(6)': ["'23:59:59.999999'"],
  'timetz(6)': ["'23:59:59.999999+15:59'"],
  'timestamp(6)': ["'2020-01-01 00:00:00.000001'", "'infinity'"],
  'timestamptz(6)': ["'2020-01-01 00:00:00.000001+00'", "'-infinity'"],
  interval: ["'1 year -2 days 03:04:05.678901'"],
  inet: ["'10.0.0.1'", "'::1/64'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  json: [`'{"a": 1.10, "b": [null, 1e400]}'`, "'null'", `'"x"'`],
  jsonb: [`'{"a": 1.10}'`, "'null'", "'[]'", "'3'"],
  point: ["'(1,2)'"],
  int4range: ["'[1,5)'"],
  numrange: ["'[1.5,5)'"],
  int4multirange: ["'{[1,3),[5,6)}'"],
  'bit varying': ["B'0101'"],
  oid: ['4294967295'],
  'int[]': ["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[5:7]={1,2,3}'"],
  'smallint[]': ["'{1}'"],
  'bigint[]': ["'{9223372036854775807}'"],
  'real[]': ["'{0.5,NaN}'"],
  'double precision[]': ["'{0.1,-Infinity}'"],
  'numeric[]': ["'{1.10,2}'"],
  'boolean[]': ["'{t,f,NULL}'", "'{{t},{f}}'"],
  'text[]': [`'{"a,b","\\"q\\"","",NULL,"NULL"}'`, "'{{a},{b}}'"],
  'varchar(3)[]': ["'{a}'"],
  'char(3)[]': ["'{a}'"],
  'uuid[]': ["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"],
  'bytea[]': ["array['\\xdead'::bytea, null]"],
  'date[]': ["'{2020-02-29,infinity}'"],
  'timestamp[]': ['\'{"2020-01-01 00:00:00.000001"}\''],
  'timestamptz[]': ['\'{"2020-01-01 00:00:00.000001+02"}\''],
  'interval[]': ["'{1 day}'"],
  'time[]': ["'{10:00}'"],
  'inet[]': ["'{10.0.0.1}'"],
  'json[]': [`array['{"a":1.10}'::json, 'null'::json, null]`],
  'jsonb[]': [`array['{"a":1.10}'::jsonb, 'null'::jsonb, null]`, `array[array['1'::jsonb],array['[2]'::jsonb]]`],
  'point[]': ["array['(1,2)'::point]"],
  'int4range[]': ['\'{"[1,5)"}\''],
  'numrange[]': ['\'{"[1,5)"}\''],
  'money[]': ["'{1.5}'"],
};

class Celsius {
  constructor(readonly degrees: number) {}
}
class CelsiusList extends CustomType<Celsius[], number[]> {
  override convertToDatabaseValue(value: Celsius[]): number[] {
    return value.map((one) => (one instanceof Celsius ? one.degrees : one));
  }
  override convertToJSValue(value: number[]): Celsius[] {
    return value.map((degrees) => new Celsius(degrees));
  }
  override getColumnType(): string {
    return 'double precision[]';
  }
}

/** Properties as MikroORM has them, each with SQL of values. */
const MAPPED = {
  count: [p.integer(), '7'],
  big: [p.bigint(), '9223372036854775807'],
  bigNumber: [p.bigint('number'), '12'],
  bigText: [p.bigint('string'), '12'],
  amount: [p.decimal(), '1.10'],
  amountNumber: [p.decimal('number'), '1.10'],
  ratio: [p.double(), "'-0'"],
  flag: [p.boolean(), 'true'],
  code: [p.character().length(4), "'ab'"],
  uid: [p.uuid(), "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  day: [p.date(), "'2020-02-29'"],
  clock: [p.time(), "'10:11:12'"],
  at: [p.datetime().length(6), "'2020-01-01 00:00:00.123456+00'"],
  span: [p.interval(), "'1 day 02:03:04.5'"],
  bytes: [p.blob(), "'\\x00ff'"],
  octets: [p.uint8array(), "'\\x00ff'"],
  document: [p.json(), `'{"a": [1.10, null]}'`],
  nothing: [p.json(), "'null'"],
  words: [p.array(), `'{"a,b",c,""}'`],
  numbers: [p.array(Number), "'{1,2}'"],
  choice: [p.enum(['ab', 'cd']), "'ab'"],
  choices: [p.enum(['ab', 'cd']).array(), "'{ab,cd}'"],
  degrees: [p.type(CelsiusList as unknown as new () => Type<Celsius[], number[]>), "'{1.5,-2}'"],
} as const;

const seen: { filter?: AnyEntity; meta?: AnyEntity; serializer?: AnyEntity } = {};
const types = Object.keys(NATIVE);
const nativeName = (type: string): string => `c${types.indexOf(type)}`;

const NativeSchema = defineEntity({
  name: 'NativeTypes',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    ...Object.fromEntries(types.map((type) => [nativeName(type), p.string().columnType(type).nullable()])),
  },
});
class NativeTypes extends masterClass(NativeSchema) {
  static override CQRS_ID = 'native';
  static override CQRS_SERIALIZER = (entity: AnyEntity): object => {
    seen.serializer = entity;
    return { id: 1 };
  };
  override isSyncInstance(): boolean {
    seen.filter = this;
    return true;
  }
  override getCqrsMeta() {
    seen.meta = this;
    return null;
  }
}
NativeSchema.setClass(NativeTypes);

const MappedSchema = defineEntity({
  name: 'MappedTypes',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    ...(Object.fromEntries(
      Object.entries(MAPPED).map(([name, [property]]) => [name, (property as { nullable(): unknown }).nullable()]),
    ) as Record<string, ReturnType<typeof p.string>>),
  },
});
class MappedTypes extends masterClass(MappedSchema) {
  static override CQRS_ID = 'mapped';
  override isSyncInstance(): boolean {
    seen.filter = this;
    return true;
  }
}
MappedSchema.setClass(MappedTypes);

let service: MasterService;
let nextId = 1;
beforeAll(async () => {
  service = await masterService([NativeTypes, MappedTypes]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

/** Writes a row, and answers with what `em.find` gives of it. */
async function written<T extends object>(entity: new () => T, values: Record<string, unknown>): Promise<T> {
  const id = nextId++;
  await service.orm.em
    .fork()
    .createQueryBuilder(entity)
    .insert({ id, ...values } as never)
    .execute();
  return service.orm.em.fork().findOneOrFail(entity, { id } as never) as Promise<T>;
}

function valuesOf(entity: AnyEntity | undefined): Record<string, unknown> {
  expect(entity).toBeDefined();
  const names = wrap(entity!, true).__meta.props.map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, comparable((entity as Record<string, unknown>)[name])]));
}

// MikroORM makes an invalid Date of infinity, which equals none.
function comparable(value: unknown): unknown {
  return value instanceof Date && Number.isNaN(value.getTime()) ? String(value) : value;
}

test.each(types.flatMap((type) => NATIVE[type]!.map((value) => [type, value] as const)))(
  'hooks are shown %s %s as em.find gives it',
  async (type, value) => {
    const found = await written(NativeTypes, { [nativeName(type)]: raw(value) });
    for (const entity of [seen.filter, seen.meta, seen.serializer]) {
      expect(valuesOf(entity)).toStrictEqual(valuesOf(found));
    }
    if (value !== "'null'" || !type.startsWith('json')) expect(valuesOf(found)[nativeName(type)]).not.toBeNull();
  },
);

test.each(Object.entries(MAPPED).map(([name, [, value]]) => [name, value] as const))(
  'hooks are shown the property %s %s as em.find gives it',
  async (name, value) => {
    const found = await written(MappedTypes, { [name]: raw(value) });
    expect(valuesOf(seen.filter)).toStrictEqual(valuesOf(found));
    expect(valuesOf(found)[name]).toBeDefined();
  },
);

test('a row before its change is shown as em.find gave it', async () => {
  const found = await written(NativeTypes, {
    [nativeName('boolean[]')]: raw("'{t,f}'"),
    [nativeName('char(5)')]: 'ab',
    [nativeName('jsonb[]')]: raw(`array['1'::jsonb]`),
  });
  await service.orm.em.fork().nativeDelete(NativeTypes, { id: found.id });
  expect(valuesOf(seen.meta)).toMatchObject(
    Object.fromEntries(Object.entries(valuesOf(found)).filter(([name]) => name !== 'cqrsUpdated')),
  );
});

test('from the check at start on also those of domains, and of a table that differs from its declaration', async () => {
  const domain = nativeName('text');
  const other = nativeName('varchar(10)');
  await service.sql('create domain levels as int[]');
  await service.sql('create domain label as char(4)');
  await service.sql('create domain short_label as label');
  await service.sql(`alter table native_types alter column ${domain} type levels using null`);
  await service.sql(`alter table native_types alter column ${other} type short_label`);
  await service.cqrs.check();
  const found = await written(NativeTypes, { [domain]: raw("'{1,2}'"), [other]: 'ab' });
  expect(valuesOf(seen.filter)).toStrictEqual(valuesOf(found));
  expect(valuesOf(found)).toMatchObject({ [domain]: [1, 2], [other]: 'ab  ' });
});
