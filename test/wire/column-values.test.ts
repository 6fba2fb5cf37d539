import { describe, expect, test } from '@jest/globals';
import { jsonToText, parseJson, textToJson, wireKind, type WireValue } from '../../src/wire/values.js';

test.each([
  ['NUMERIC(12, 2)', 'decimal'],
  [' bigint ', 'integer'],
  ['timestamp(3)  without time  zone', 'datetime-utc'],
  ['timestamptz(6)', 'datetime'],
  ['double   precision', 'float'],
  ['varchar(20)[][]', 'text[]'],
  ['mood', 'text'],
  ['a[]b', 'text'],
  ['xml', 'unsupported'],
])('%j travels as %s', (type, kind) => expect(wireKind(type)).toBe(kind));

describe('what PostgreSQL prints → JSON', () => {
  test.each([
    ['integer', '42', '42'],
    ['bigint', '9223372036854775807', '9223372036854775807'],
    ['double precision', '0.1', '0.1'],
    ['double precision', '-0', '-0.0'],
    ['numeric(12,2)', '19.90', '"19.90"'],
    ['boolean', 'true', 'true'],
    ['boolean', 'false', 'false'],
    ['boolean[]', '{t,f,NULL}', '[true,false,null]'],
    ['timestamptz(6)', '2024-01-02 03:04:05.12+00', '"2024-01-02 03:04:05.120000+00:00"'],
    ['timestamptz', '2024-01-02 03:04:05+05:30', '"2024-01-02 03:04:05+05:30"'],
    ['timestamp', '2024-01-02 03:04:05.1', '"2024-01-02 03:04:05.100000+00:00"'],
    ['jsonb', '{"a": 1.0}', '{"a": 1.0}'],
    ['json', '-0', '-0'],
    ['bytea', '\\x6869', '"aGk="'],
    ['int[]', '{1,NULL,3}', '[1,null,3]'],
    ['int[]', '[0:1]={1,2}', '[1,2]'],
    ['text[]', '{a,"b \\"c\\" \\\\",NULL,"NULL"}', '["a","b \\"c\\" \\\\",null,"NULL"]'],
    ['int[][]', '{{1,2},{3,4}}', '[[1,2],[3,4]]'],
    ['uuid', '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10', '"6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10"'],
  ])('%s: %s', (type, text, json) => {
    expect(textToJson(wireKind(type), text)).toBe(json);
    expect(textToJson(wireKind(type), null)).toBe('null');
  });
});

describe('JSON → what PostgreSQL reads', () => {
  test.each<[string, WireValue, string]>([
    ['integer', 7, '7'],
    ['bigint', 9223372036854775807n, '9223372036854775807'],
    ['double precision', -0, '-0'],
    ['numeric', parseJson('1.00000000000000000001'), '1.00000000000000000001'],
    ['numeric', '19.90', '19.90'],
    ['boolean', true, 'true'],
    ['boolean', false, 'false'],
    // as SQLite and MySQL have it
    ['boolean', 1, 'true'],
    ['boolean', 0, 'false'],
    ['timestamptz', '2024-01-02 03:04:05+05:30', '2024-01-02 03:04:05+05:30'],
    ['timestamp', '2024-01-02 03:04:05+05:30', '2024-01-01 21:34:05.000000'],
    ['jsonb', { a: [1, 'x'] }, '{"a":[1,"x"]}'],
    ['jsonb', 'x', '"x"'],
    ['bytea', 'aGk=', '\\x6869'],
    ['text', 12, '12'],
    ['text', true, 'true'],
    ['int[]', [1, null, 3], '{"1",NULL,"3"}'],
    ['int[][]', [[1], [2]], '{{"1"},{"2"}}'],
    ['text[]', ['a "b"', 'c\\d'], '{"a \\"b\\"","c\\\\d"}'],
    ['jsonb[]', [[1, 2], { a: 'b' }], '{"[1,2]","{\\"a\\":\\"b\\"}"}'],
  ])('%s: %p', (type, value, text) => {
    expect(jsonToText(wireKind(type), value)).toBe(text);
  });

  test.each(['integer', 'boolean', 'jsonb', 'bytea', 'timestamp', 'text', 'int[]'])('null stays null: %s', (type) => {
    expect(jsonToText(wireKind(type), null)).toBeNull();
    expect(jsonToText(wireKind(type), undefined as never)).toBeNull();
  });

  test.each([' 7 ', '+7', '-0', '.5', '5.', '1e-7', 'NaN', '-inf', 'Infinity'])(
    '%j is a number to PostgreSQL',
    (text) => {
      expect(jsonToText('decimal', text)).toBe(text);
      expect(jsonToText('float', text)).toBe(text);
    },
  );

  test.each<[string, WireValue, string]>([
    ['integer', { a: 1 }, 'an object cannot be stored as integer'],
    ['text', [1], 'an object cannot be stored as text'],
    ['integer', true, 'a boolean cannot be stored as integer'],
    ['numeric', false, 'a boolean cannot be stored as decimal'],
    ['boolean', 'true', 'a string cannot be stored as boolean'],
    ['boolean', 2, 'a number cannot be stored as boolean'],
    ['boolean', 12345678901234567890n, 'a number cannot be stored as boolean'],
    ['boolean', parseJson('1.00000000000000000001'), 'a number cannot be stored as boolean'],
    ['timestamptz', 12, 'a number cannot be stored as a date'],
    ['timestamp', true, 'a boolean cannot be stored as a date'],
    ['bytea', 1, 'a number cannot be stored as bytes'],
    ['int[]', 'x', 'a string cannot be stored as an array'],
    ['int[]', ['x'], 'a string that is no number cannot be stored as integer'],
    ['integer', 'seven', 'a string that is no number cannot be stored as integer'],
    ['integer', '1'.repeat(101), 'a string that is no number cannot be stored as integer'],
    ['bigint', '1.5', 'a string that is no number cannot be stored as integer'],
    ['numeric(12,2)', '12,50', 'a string that is no number cannot be stored as decimal'],
    ['double precision', '', 'a string that is no number cannot be stored as float'],
  ])('%s refuses %p: %s', (type, value, problem) => {
    expect(() => jsonToText(wireKind(type), value)).toThrow(new TypeError(problem));
  });
});
