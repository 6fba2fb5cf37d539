import { SECRET, type Hostile } from './messages.ts';

/** How a message must end. */
export type End = 'applied' | 'skipped' | 'dead-lettered' | 'unreadable';

/** A case that is worth keeping: it runs before every campaign, and what becomes of it is known. */
export interface Kept extends Hostile {
  readonly name: string;
  readonly end: End;
}

interface Sent {
  /** Replaces members of the body, as JSON texts. */
  readonly over?: Readonly<Record<string, string>>;
  /** Replaces members of the instance data, as JSON texts. */
  readonly data?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly raw?: string | Buffer;
}

const LONG = 10 * 1024 * 1024;
let row = 1_000;

function kept(name: string, end: End, { over = {}, data = {}, headers = {}, raw }: Sent): Kept {
  const id = data['id'] ?? String(row++);
  const members = {
    signal_type: '"SAVE"',
    cqrs_id: '"plain"',
    instance_data: json({
      id,
      name: `"${SECRET}"`,
      amount: '"1.50"',
      cqrs_revision: '1',
      cqrs_updated: '"2026-11-21 12:00:00.123456+00:00"',
      ...data,
    }),
    instance_pk: '1',
    cqrs_incarnation: '1700000000000000',
    ...over,
  };
  const body = raw === undefined ? Buffer.from(json(members)) : Buffer.from(raw as string);
  return { name, end, body, headers, direct: false, properties: {}, route: 'broadcast' };
}

function json(members: Readonly<Record<string, string>>): string {
  return `{${Object.entries(members)
    .map(([name, text]) => `"${name}":${text}`)
    .join(',')}}`;
}

/** Made anew for each run: ten megabytes are not kept in memory for nothing. */
export function corpus(): Kept[] {
  const note = { cqrs_id: '"note"' };
  const hooked = { cqrs_id: '"hooked"' };
  return [
    kept('as it should be', 'applied', {}),
    kept('nothing', 'unreadable', { raw: '' }),
    kept('null', 'unreadable', { raw: 'null' }),
    kept('an array', 'unreadable', { raw: '[]' }),
    kept('a byte order mark', 'unreadable', { raw: '\ufeff{}' }),
    kept('no UTF-8', 'unreadable', { raw: Buffer.from([0x7b, 0xff, 0x7d]) }),
    kept('compressed', 'unreadable', { raw: Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]) }),
    kept('half a body', 'unreadable', { raw: '{"signal_type":"SAVE","cqrs_id":"pl' }),
    kept('a megabyte of open brackets', 'unreadable', { raw: '['.repeat(1_000_000) }),
    kept('a megabyte of escaped quotes, which a regular expression reads for hours', 'unreadable', {
      raw: `{"a":NaN,"b":"${'\\"'.repeat(500_000)}`,
    }),
    kept('deep data', 'unreadable', { data: { data: `${'['.repeat(300)}${']'.repeat(300)}` } }),
    kept('deep data of a field that nobody maps', 'unreadable', {
      data: { unknown: `${'['.repeat(300)}${']'.repeat(300)}` },
    }),
    kept('a number of a million digits', 'unreadable', { data: { amount: `1${'0'.repeat(1_000_000)}1` } }),
    kept('a number of a million digits as text', 'dead-lettered', { data: { id: `"${'1'.repeat(1_000_000)}"` } }),
    kept('a number that numeric holds', 'applied', { data: { amount: `1${'0'.repeat(400)}1.${'0'.repeat(400)}1` } }),
    kept('__proto__', 'unreadable', { over: { ['__proto__']: '{"polluted":true}' } }),
    kept('__proto__, spelled otherwise', 'unreadable', { over: { '\\u005f_proto__': '{"polluted":true}' } }),
    kept('constructor.prototype in the data', 'unreadable', {
      data: { data: '{"constructor":{"prototype":{"polluted":true}}}' },
    }),
    kept('members twice: the last counts, as in Python', 'skipped', {
      raw: `{"signal_type":"DELETE",${kept('', 'applied', {
        over: { signal_type: '"SYNC"' },
        data: { id: '1000', cqrs_revision: '0' },
      })
        .body.toString()
        .slice(1)}`,
    }),
    kept('an unknown signal', 'unreadable', { over: { signal_type: '"DROP"' } }),
    kept('an unknown id', 'dead-lettered', { over: { cqrs_id: '"ghost"' } }),
    kept('an id that forges log lines', 'dead-lettered', { over: { cqrs_id: '"x\\r\\nERROR \\u001b[31mforged"' } }),
    kept('an id longer than any routing key', 'unreadable', { over: { cqrs_id: `"${'x'.repeat(1_000_000)}"` } }),
    kept('an id of Object.prototype', 'dead-lettered', { over: { cqrs_id: '"toString"' } }),
    kept('a key of ten megabytes, for show', 'applied', { over: { instance_pk: `"${'k'.repeat(LONG)}"` } }),
    kept('a value of ten megabytes', 'applied', { data: { name: `"${SECRET.repeat(LONG / SECRET.length)}"` } }),
    kept('a key of ten megabytes', 'dead-lettered', { over: note, data: { id: `"${'k'.repeat(LONG)}"` } }),
    kept('a key longer than an index takes', 'dead-lettered', {
      over: note,
      data: { id: `"${Array.from({ length: 30_000 }, (_, index) => index.toString(36)).join('-')}"` },
    }),
    kept('U+0000 in a text', 'dead-lettered', { data: { name: '"a\\u0000b"' } }),
    kept('U+0000 in a key', 'dead-lettered', { over: note, data: { id: '"a\\u0000b"' } }),
    kept('U+0000 in jsonb', 'dead-lettered', { data: { data: '"\\u0000"' } }),
    kept('U+001E and U+001F in a text', 'applied', { data: { name: '"\\u001e\\u001f"' } }),
    kept('U+001E and U+001F in a key', 'applied', { over: note, data: { id: '"\\u001e\\u001f"' } }),
    kept('half a character', 'dead-lettered', { data: { name: '"\\ud800"' } }),
    kept('half a character in a key of jsonb', 'dead-lettered', { data: { data: '{"\\udc00":1}' } }),
    kept('SQL in a key', 'applied', { over: note, data: { id: `"'; drop table plain; --"` } }),
    kept('SQL in a deletion', 'applied', {
      over: { ...note, signal_type: '"DELETE"' },
      data: { id: `"'); delete from note where ('' = '"` },
    }),
    kept('a revision that no integer holds', 'dead-lettered', { data: { cqrs_revision: '9007199254740991' } }),
    kept('a revision below zero', 'unreadable', { data: { cqrs_revision: '-1' } }),
    kept('a revision with a fraction', 'unreadable', { data: { cqrs_revision: '1.5' } }),
    kept('an incarnation beyond 2^53', 'unreadable', { over: { cqrs_incarnation: '9007199254740993' } }),
    kept('a time before Christ', 'unreadable', { data: { cqrs_updated: '"0001-01-01 00:00:00 BC"' } }),
    kept('a time that no microsecond reaches', 'unreadable', { data: { cqrs_updated: '"9999-12-31 00:00:00+00:00"' } }),
    kept('a date of the first century stays there', 'applied', { data: { local: '"0001-01-01T00:00:00Z"' } }),
    kept('a date of five digits', 'applied', { data: { local: '"10000-01-01 00:00:00"' } }),
    kept('it expires beyond all dates', 'unreadable', { over: { expires: '"275760-09-13 00:00:00-23:59"' } }),
    kept('it expires in the year 99999, and fails', 'dead-lettered', {
      over: { ...hooked, expires: '"99999-01-01 00:00:00+00:00"' },
      data: { name: '"fail"' },
    }),
    kept('NaN where a number belongs', 'applied', { data: { size: 'NaN' } }),
    kept('a text for a number, through hooks', 'dead-lettered', { over: hooked, data: { amount: `"${SECRET}"` } }),
    kept('a text for a double, through hooks', 'dead-lettered', { over: hooked, data: { size: `"${SECRET}"` } }),
    kept('a text for an integer key, through hooks', 'dead-lettered', { over: hooked, data: { id: `"${SECRET}"` } }),
    kept('retries beyond counting', 'dead-lettered', {
      over: { ...hooked, retries: '9007199254740991' },
      data: { name: '"fail"' },
    }),
    kept('headers of no use', 'applied', {
      headers: { 'x-cqrs-committed-at': 1e300, 'x-cqrs-waiting-since': '12abc', 'x-cqrs-reason': [1, { a: null }] },
    }),
    kept('a header with a prototype', 'applied', {
      headers: JSON.parse('{"__proto__":{"polluted":true}}') as object as Record<string, unknown>,
    }),
    kept('unreadable, with headers that no client writes back', 'unreadable', {
      raw: '{',
      headers: { big: 'x'.repeat(40_000), nested: [{ deep: 'x'.repeat(40_000) }] },
    }),
  ];
}
