import { describe, expect, test } from '@jest/globals';
import { InvalidPayloadError } from '../../src/kernel/errors.js';
import { formatMicroseconds, parseDate, parseMicroseconds } from '../../src/wire/times.js';
import { jsonToText, mayBeRefused, parseJson, stringifyJson } from '../../src/wire/values.js';

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

  test('the longest number that is read has 150,000 characters', () => {
    expect(stringifyJson(parseJson('1'.repeat(150_000)))).toHaveLength(150_000);
    expect(() => parseJson('1'.repeat(150_001))).toThrow('longer than 150000 characters');
  });

  // As Python's and JavaScript's own writers print doubles, and as people write them.
  test.each([
    '1.2345678901234567e300',
    '1.2345678901234567e1',
    '0.0000001234567890123456',
    '1.2345678901234567000',
    '5e-324',
  ])('%s is held by a double', (text) => expect(parseJson(`[${text},1000000000000000000000]`)).toContain(Number(text)));

  test.each([
    '1.00000000000000000001',
    '1e400',
    '1.2345678901234567e400',
    '10000000000000000.1',
    '1.23456789012345e-323',
    '1e-400',
  ])('%s is not, and keeps its digits', (text) => {
    expect(JSON.isRawJSON(parseJson(text))).toBe(true);
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  test('a text that is refused says why, and quotes nothing of it', () => {
    const causeOf = (text: string): unknown => {
      try {
        return parseJson(text);
      } catch (error) {
        return (error as Error).cause;
      }
    };
    expect(causeOf('{"name":"Ada",}')).toEqual(new SyntaxError('unexpected token'));
    const deep = `${'['.repeat(100_000)}12345678901234567890${']'.repeat(100_000)}`;
    expect(causeOf(deep)).toEqual(new SyntaxError('nested too deeply'));
  });

  test('names of Object.prototype are names', () => {
    const text = '{"constructor":"Ferrari","prototype":1,"toString":null,"hasOwnProperty":{"constructor":{}}}';
    expect(stringifyJson(parseJson(text))).toBe(text);
    for (const harmless of ['{"constructor":null,"prototype":1}', '{"a":{"prototype":1}}']) {
      expect(stringifyJson(parseJson(harmless))).toBe(harmless);
    }
  });

  test('the key that is refused is named', () => {
    expect(() => parseJson('{"__proto__":{}}')).toThrow(expect.objectContaining({ data: { key: '__proto__' } }));
  });

  test('nesting has an end', () => {
    expect(() => parseJson('['.repeat(300) + ']'.repeat(300))).toThrow(InvalidPayloadError);
    expect(() => parseJson('['.repeat(200_000))).toThrow(InvalidPayloadError);
  });

  test('two hundred levels are read, also where the text is looked at closely', () => {
    const nested = (levels: number): string => `${'['.repeat(levels)}"\\u00e9"${']'.repeat(levels)}`;
    expect(() => parseJson(nested(200))).not.toThrow();
    expect(() => parseJson(nested(201))).toThrow('nested deeper than 200 levels');
  });

  test.each([
    ['{"name":"Ada"}', false],
    [`[${'"a",'.repeat(200)}1]`, false],
    [`"${'x'.repeat(149_998)}"`, false],
    [`"${'x'.repeat(149_999)}"`, true],
    [`${'['.repeat(200)}1${']'.repeat(200)}`, false],
    [`${'['.repeat(201)}1${']'.repeat(201)}`, true],
    ['{"__proto__":1}', true],
    ['{"prototype":1}', true],
    ['"\\u005f"', true],
  ])('what a master has to look at closely, case %#', (text, expected) => expect(mayBeRefused(text)).toBe(expected));

  test('what has no form in JSON is refused', () => {
    expect(() => stringifyJson(undefined)).toThrow('undefined and functions cannot travel');
  });

  test('dates are written as Python does, bytes as base64', () => {
    expect(stringifyJson({ at: new Date(0), bytes: Buffer.from('hi') })).toBe(
      '{"at":"1970-01-01 00:00:00+00:00","bytes":"aGk="}',
    );
    expect(stringifyJson(new Date('2026-11-21T12:00:00.250Z'))).toBe('"2026-11-21 12:00:00.250000+00:00"');
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
