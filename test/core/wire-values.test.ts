import { describe, expect, test } from '@jest/globals';
import { InvalidPayloadError } from '../../src/core/errors.js';
import { formatMicroseconds, parseDate, parseMicroseconds } from '../../src/core/wire-times.js';
import { jsonToText, parseJson, stringifyJson, textToJson, wireKind } from '../../src/core/wire-values.js';

describe('JSON, both ways', () => {
  test.each([
    '9007199254740993',
    '-9223372036854775808',
    '1234567890123456.7891',
    '12345678901234567890.123456789012345678',
    'NaN',
    '-Infinity',
    '{"a":[NaN,"NaN in a string: NaN",Infinity]}',
    '{"n":0.1,"big":[1000000000000000000000]}',
    '"ü 🎉 \\" \\\\"',
  ])('%s comes out as it went in', (text) => {
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  test('numbers that a double holds are numbers, integers beyond 2^53 bigint', () => {
    expect(parseJson('[1, 1.50, 1e3, 9007199254740993]')).toEqual([1, 1.5, 1000, 9007199254740993n]);
  });

  test.each(['', 'not json', '{"a":1,}', "{'a':1}", '[NaN', '{"a":undefined}', '\u{feff}{}'])(
    '%j is refused, without its content',
    (text) => {
      expect(() => parseJson(text)).toThrow(InvalidPayloadError);
      try {
        parseJson(text);
      } catch (error) {
        expect(String((error as Error).cause)).not.toContain('not json');
      }
    },
  );

  test.each([
    '{"__proto__":{"a":1}}',
    '{"a":[{"constructor":{"prototype":1}}]}',
    '{"\\u005f_proto__":1}',
    '{"constructor":{"\\u0070rototype":{}}}',
  ])('%s cannot reach a prototype', (text) => {
    expect(() => parseJson(text)).toThrow(/not allowed/);
  });

  test('a string that looks like our own mark for NaN stays a string', () => {
    const text = '{"a":NaN,"b":"\\u0000cqrs:true","c":"NaN","d":"\\"NaN"}';
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  test.each(['{"a":-NaN}', '{"a":NaNa}', '{"a":nan}', '{"a":Infinity1}', '{NaN:1}', '{"a":NaN', '{"a":NaN,"b":"\\'])(
    '%s is not JSON, not even as Python writes it',
    (text) => expect(() => parseJson(text)).toThrow('the body is not JSON'),
  );

  test('a body that is made to take long does not', () => {
    const began = performance.now();
    expect(() => parseJson(`{"a":NaN,"b":"${'\\"'.repeat(200_000)}`)).toThrow(InvalidPayloadError);
    expect(() => parseJson(`[1${'0'.repeat(200_000)}1]`)).toThrow('longer than 150000 characters');
    expect(() => parseJson(`[NaN,1${'0'.repeat(200_000)}1]`)).toThrow('longer than 150000 characters');
    const longest = `1${'0'.repeat(140_000)}.${'0'.repeat(5_000)}1`;
    expect(stringifyJson(parseJson(longest))).toBe(longest);
    // Even the shortest of these took minutes.
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test('names of Object.prototype are names', () => {
    const text = '{"constructor":"Ferrari","prototype":1,"toString":null,"hasOwnProperty":{"constructor":{}}}';
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  test('nesting has an end', () => {
    expect(() => parseJson('['.repeat(300) + ']'.repeat(300))).toThrow(InvalidPayloadError);
    expect(() => parseJson('['.repeat(200_000))).toThrow(InvalidPayloadError);
  });

  test('dates are written as Python does, bytes as base64', () => {
    expect(stringifyJson({ at: new Date(0), bytes: Buffer.from('hi') })).toBe(
      '{"at":"1970-01-01 00:00:00+00:00","bytes":"aGk="}',
    );
  });
});

describe('times', () => {
  test.each([
    ['2021-04-30 11:50:05.164341+00:00', 1619783405164341],
    ['2021-04-30T11:50:05.164Z', 1619783405164000],
    ['2021-04-30 13:50:05+02:00', 1619783405000000],
    ['2021-04-30 11:50:05', 1619783405000000],
    ['1969-12-31 23:59:59.999999+00:00', -1],
  ])('%s', (text, micros) => {
    expect(parseMicroseconds(text)).toBe(micros);
    expect(parseMicroseconds(formatMicroseconds(micros))).toBe(micros);
  });

  test.each(['yesterday', '2021-02-30 00:00:00', '2021-13-01 00:00:00', '', 12, null])('%j is no time', (value) => {
    expect(parseMicroseconds(value)).toBeUndefined();
    expect(parseDate(value)).toBeUndefined();
  });

  test.each([
    ['2026-11-21 23:59:60+00:00', '2026-11-22 00:00:00'],
    ['2024-02-29 00:00:00', '2024-02-29 00:00:00'],
  ])('%s is %s', (text, expected) => expect(parseDate(text)).toEqual(new Date(`${expected}Z`)));

  test.each([
    '2026-11-21 24:00:00',
    '2026-11-21 12:60:00',
    '2026-11-21 12:00:61',
    '2023-02-29 00:00:00',
    '275760-09-13 00:00:00-00:01',
    '999999-01-01 00:00:00',
  ])('%s is no time', (text) => expect(parseDate(text)).toBeUndefined());

  test('the first and the last years are not those of another century', () => {
    expect(jsonToText('datetime-utc', '0001-01-01T00:00:00Z')).toBe('0001-01-01 00:00:00.000000');
    expect(jsonToText('datetime-utc', '0099-12-31 23:00:00-02:00')).toBe('0100-01-01 01:00:00.000000');
    expect(jsonToText('datetime-utc', '10000-01-01 00:00:00.5')).toBe('10000-01-01 00:00:00.500000');
  });

  test('the end of time is a Date, even where its microseconds are beyond 2^53', () => {
    expect(parseDate('9999-12-31T23:59:59+00:00')).toEqual(new Date('9999-12-31T23:59:59Z'));
    expect(jsonToText('datetime-utc', '9999-12-31 23:59:59.999999+01:00')).toBe('9999-12-31 22:59:59.999999');
  });
});

test.each([' 7 ', '+7', '-0', '.5', '5.', '1e-7', 'NaN', '-inf', 'Infinity'])(
  '%j is a number to PostgreSQL',
  (text) => {
    expect(jsonToText('decimal', text)).toBe(text);
    expect(jsonToText('float', text)).toBe(text);
  },
);

describe('PostgreSQL text, both ways', () => {
  test.each([
    ['integer', '42', '42'],
    ['bigint', '9223372036854775807', '9223372036854775807'],
    ['double precision', '0.1', '0.1'],
    ['numeric(12,2)', '19.90', '"19.90"'],
    ['boolean', 'true', 'true'],
    ['timestamptz(6)', '2024-01-02 03:04:05.12+00', '"2024-01-02 03:04:05.120000+00:00"'],
    ['timestamptz', '2024-01-02 03:04:05+05:30', '"2024-01-02 03:04:05+05:30"'],
    ['timestamp', '2024-01-02 03:04:05.1', '"2024-01-02 03:04:05.100000+00:00"'],
    ['jsonb', '{"a": 1.0}', '{"a": 1.0}'],
    ['bytea', '\\x6869', '"aGk="'],
    ['int[]', '{1,NULL,3}', '[1,null,3]'],
    ['text[]', '{a,"b \\"c\\" \\\\",NULL,"NULL"}', '["a","b \\"c\\" \\\\",null,"NULL"]'],
    ['int[][]', '{{1,2},{3,4}}', '[[1,2],[3,4]]'],
    ['uuid', '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10', '"6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10"'],
  ])('%s: %s', (type, text, json) => {
    expect(textToJson(wireKind(type), text)).toBe(json);
  });

  test.each([
    ['integer', { a: 1 }],
    ['integer', true],
    ['boolean', 'true'],
    ['timestamptz', 12],
    ['bytea', 1],
    ['int[]', 'x'],
    ['text', [1]],
    ['integer', 'seven'],
    ['integer', '1'.repeat(101)],
    ['bigint', '1.5'],
    ['numeric(12,2)', '12,50'],
    ['double precision', ''],
    ['int[]', ['x']],
  ])('%s refuses %j without naming the value', (type, value) => {
    expect(() => jsonToText(wireKind(type), value)).toThrow(TypeError);
  });
});
