import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TransportPayload } from '../../../src/wire/payload.js';
import type { Outcome } from '../../../src/messaging/inbox/handler.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { KindsRef } from './support/kinds.js';
import { brief } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

let database: TestDatabase;
let service: ReplicaService;
let nextId = 1;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [KindsRef]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

/** Applies a body whose field is given as JSON text. */
async function apply(field: string, json: string, id = nextId++): Promise<readonly Outcome[]> {
  const body = `{"signal_type":"SAVE","cqrs_id":"kinds","instance_data":{"id":${id},"${field}":${json},"cqrs_revision":0,
    "cqrs_updated":"2026-01-02 03:04:05.123456+00:00"},"cqrs_incarnation":1}`;
  return service.handle([
    { payload: TransportPayload.fromMessage(body), committedAt: new Date(), direct: false, expired: false },
  ]);
}

test.each([
  ['big', '9007199254740993', '9007199254740993'],
  ['big', '-9223372036854775808', '-9223372036854775808'],
  ['big', '"9223372036854775807"', '9223372036854775807'],
  [
    'dec_free',
    '123456789012345678901234567890.123456789012345678901',
    '123456789012345678901234567890.123456789012345678901',
  ],
  ['dec_big', '"12345678901234567890.123456789012345678"', '12345678901234567890.123456789012345678'],
  ['dec2', '19.9', '19.90'],
  ['dec2', '"7.10"', '7.10'],
  ['dec_free', 'NaN', 'NaN'],
  ['flt', 'NaN', 'NaN'],
  ['flt', '-Infinity', '-Infinity'],
  ['flt', '-0.0', '-0'],
  ['flt', '1.2345678901234567', '1.2345678901234567'],
  ['flt', '1.7976931348623157e+308', '1.7976931348623157e+308'],
  ['single', '0.1', '0.1'],
  ['flag', 'true', 'true'],
  ['flag', '0', 'false'],
  ['short', '"äöü"', 'äöü'],
  ['fixed', '"ab"', 'ab'],
  [
    'text',
    '"line\\n\\ttab \\"quoted\\" \\\\ back {brace} \\u00e9 \\ud83c\\udf89"',
    'line\n\ttab "quoted" \\ back {brace} é 🎉',
  ],
  ['text', '"null"', 'null'],
  ['text', '""', ''],
  ['text', '7', '7'],
  ['day', '"2024-02-29"', '2024-02-29'],
  ['clock', '"10:11:12.000345"', '10:11:12.000345'],
  ['at', '"2024-01-02 03:04:05.123456+00:00"', '2024-01-02 03:04:05.123456+00'],
  ['at', '"2024-01-02T03:04:05.123456+02:00"', '2024-01-02 01:04:05.123456+00'],
  ['at', '"2024-01-02 03:04:05"', '2024-01-02 03:04:05+00'],
  ['at', '"9999-12-31 23:59:59.999999+00:00"', '9999-12-31 23:59:59.999999+00'],
  ['naive', '"2024-01-02 03:04:05.123456+02:00"', '2024-01-02 01:04:05.123456'],
  ['uid', '"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ['js', '{"b":[1,null,12345678901234567890.5],"a":"\\u00e9"}', '{"a": "é", "b": [1, null, 12345678901234567890.5]}'],
  ['js', '[]', '[]'],
  ['words', '["a","b c",null,"\\"q\\"","{x}",""]', '{a,"b c",NULL,"\\"q\\"","{x}",""}'],
  ['numbers', '[1,9007199254740993,null]', '{1,9007199254740993,NULL}'],
  ['bytes', '"AAH/"', '\\x0001ff'],
  ['span', '"1 day 02:03:04.5"', '1 day 02:03:04.5'],
  ['state', '"open"', 'open'],
])('%s: %s arrives as %s', async (field, json, expected) => {
  const id = nextId;
  expect(brief(await apply(field, json))).toEqual(['create']);
  const [row] = await service.rows(
    `select ${field}::text as value, (cqrs_updated at time zone 'UTC')::text as updated from kinds_ref where id = ${id}`,
  );
  expect(row).toEqual({ value: expected, updated: '2026-01-02 03:04:05.123456' });
});

describe('a text beside the instance data', () => {
  const withTexts = async (field: string, json: string, texts: string): Promise<unknown> => {
    const id = nextId++;
    const body = `{"signal_type":"SAVE","cqrs_id":"kinds","instance_data":{"id":${id},"${field}":${json},"cqrs_revision":0,
      "cqrs_updated":"2026-01-02 03:04:05.123456+00:00"},"cqrs_incarnation":1,"cqrs_texts":${texts}}`;
    const payload = TransportPayload.fromMessage(body);
    await service.handle([{ payload, committedAt: new Date(), direct: false, expired: false }]);
    const [row] = await service.rows(`select ${field}::text as value from kinds_ref where id = ${id}`);
    return row!['value'];
  };

  test.each([
    ['js', 'null', '{"js":{"json":"null"}}', 'null'],
    ['js', '{"a":1.1}', '{"js":{"json":"{\\"a\\": 1.10}"}}', '{"a": 1.10}'],
    ['numbers', '[1,2]', '{"numbers":{"integer[]":"[0:1]={1,2}"}}', '[0:1]={1,2}'],
  ])('is what is stored: %s %s', async (field, json, texts, expected) => {
    expect(await withTexts(field, json, texts)).toBe(expected);
  });

  test.each([
    ['of another kind than the column', 'numbers', '[1,2]', '{"numbers":{"json":"[1,2]"}}', '{1,2}'],
    ['of another field', 'js', '[1]', '{"text":{"json":"null"}}', '[1]'],
    ['that is none', 'js', '[1]', '{"js":{"json":5}}', '[1]'],
    ['named like a method of every object', 'js', '[1]', '{"js":{"toString":"x"}}', '[1]'],
  ])('%s is passed over', async (_, field, json, texts, expected) => {
    expect(await withTexts(field, json, texts)).toBe(expected);
  });

  test('is read by PostgreSQL: one that does not fit is a dead letter, and is not quoted', async () => {
    const payload = new TransportPayload({
      signalType: 'SAVE',
      cqrsId: 'kinds',
      instanceData: { id: nextId++, js: null, cqrs_revision: 0, cqrs_updated: '2026-01-02 03:04:05+00:00' },
      texts: { js: { json: '{"secret' } },
    });
    const [outcome] = await service.handle([{ payload, committedAt: new Date(), direct: false, expired: false }]);
    expect(outcome).toMatchObject({ kind: 'dead-letter', reason: 'mapping' });
    expect(inspect(outcome, { depth: 9 })).not.toContain('secret');
  });
});

test('null is null in every column', async () => {
  const fields = service.side.replicas
    .get('kinds')
    .columns.filter((column) => !column.primary)
    .map((column) => column.wire[0]!);
  const id = nextId++;
  for (const field of fields)
    expect(brief(await apply(field, 'null', id + 1000 + fields.indexOf(field)))).toEqual(['create']);
  const [row] = await service.rows(
    `select count(*)::text as count from kinds_ref where id > 1000 and num_nonnulls(${fields.join(', ')}) = 0`,
  );
  expect(row).toEqual({ count: String(fields.length) });
});

describe('what can never fit becomes a dead letter at once, without its value', () => {
  test.each([
    ['small', '70000'],
    ['big', '99999999999999999999'],
    ['big', '"secret"'],
    ['big', '{"secret":1}'],
    ['dec2', '99999999999999'],
    ['flag', '"secret"'],
    ['short', '"secret"'],
    ['text', '"secret\\u0000"'],
    ['text', '"secret\\ud800"'],
    ['text', '["secret"]'],
    ['day', '"secret"'],
    ['at', '1735689600'],
    ['at', '"2024-02-30 00:00:00"'],
    ['uid', '"secret"'],
    ['words', '"secret"'],
    ['numbers', '["secret"]'],
  ])('%s: %s', async (field, json) => {
    const [outcome] = await apply(field, json);
    expect(outcome).toMatchObject({ kind: 'dead-letter', reason: 'mapping' });
    const { error } = outcome as { error: Error };
    expect(error.message).toContain('kinds');
    expect(
      `${error.message} ${JSON.stringify(error)} ${String((error.cause as Error | undefined)?.message)}`,
    ).not.toContain('secret');
  });
});

test('a text that does not fit into its column is not cut', async () => {
  expect(brief(await apply('short', '"four"'))).toEqual(['dead-letter mapping']);
});

test('what the database says of a batch quotes no value', async () => {
  const bad = (id: number) => ({
    payload: new TransportPayload({
      signalType: 'SAVE',
      cqrsId: 'kinds',
      instanceData: { id, uid: 'secret', cqrs_revision: 0, cqrs_updated: '2026-01-01 00:00:00+00:00' },
    }),
    committedAt: new Date(),
    direct: false,
    expired: false,
  });
  const error = await service.handle([bad(900), bad(901)]).catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ name: 'DatabaseError', code: '22P02' });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('secret');
});
