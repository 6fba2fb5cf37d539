import { Chance } from './random.ts';

/** Stands in every value of a row, and so must stand in no log line and in no error. */
export const SECRET = 'S3CRET-ROW-DATA';

/** A message as somebody else's program may send it. */
export interface Hostile {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly direct: boolean;
  /** Other AMQP properties, and how it is addressed. */
  readonly properties: Readonly<Record<string, unknown>>;
  readonly route: 'broadcast' | 'direct' | 'no id' | 'default exchange';
}

/** Message number `index` of a run: it depends on nothing but the two numbers. */
export function hostileMessage(seed: number, index: number): Hostile {
  const chance = new Chance(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const route = chance.oneIn(2) ? 'broadcast' : chance.of(['direct', 'no id', 'default exchange'] as const);
  return {
    body: damaged(chance, body(chance)),
    headers: chance.oneIn(3) ? headers(chance) : {},
    properties: chance.oneIn(3) ? properties(chance) : {},
    route,
    direct: route !== 'broadcast',
  };
}

const IDS = [...Array.from({ length: 10 }, (_, index) => (index % 3 ? 'plain' : 'note')), 'hooked'];

// Duplicates of keys, bare tokens and exact numbers have no form in JavaScript: bodies are put together as text.
function body(chance: Chance): Buffer {
  const members: [string, string][] = [
    ['signal_type', text(chance.of(['SAVE', 'SAVE', 'SAVE', 'SYNC', 'DELETE']))],
    ['cqrs_id', text(chance.of(IDS))],
    ['instance_data', object(instanceData(chance))],
    ['instance_pk', String(chance.below(50))],
    ['previous_data', chance.oneIn(4) ? object([['name', text(SECRET)]]) : 'null'],
    ['correlation_id', 'null'],
    ['retries', '0'],
    ['expires', chance.oneIn(4) ? text('2100-01-01T00:00:00+00:00') : 'null'],
    ['meta', '{}'],
    ['cqrs_incarnation', String(1_700_000_000_000_000 + chance.below(3))],
  ];
  // Half of them get as far as the row, whose own values may be wrong.
  const wrongs = chance.oneIn(2) ? 0 : chance.oneIn(5) ? 3 : 1;
  for (let wrong = 0; wrong < wrongs; wrong++) spoil(chance, members);
  return Buffer.from(object(members));
}

function instanceData(chance: Chance): [string, string][] {
  const members: [string, string][] = [
    ['id', chance.oneIn(8) ? text(`k${chance.below(5_000)}`) : String(chance.below(5_000))],
    ['name', text(`${SECRET} ${chance.below(9)}`)],
    ['amount', text('12.50')],
    ['at', text('2026-11-21 12:00:00.123456+00:00')],
    ['local', text('2026-11-21 12:00:00')],
    ['data', `{"secret":${text(SECRET)}}`],
    ['tags', `[${text(SECRET)},null]`],
    ['flag', 'true'],
    ['size', '1.5'],
    ['bytes', text('aGk=')],
    ['cqrs_revision', String(chance.below(20))],
    ['cqrs_updated', text(`2026-11-21 12:00:${String(10 + chance.below(50))}.123456+00:00`)],
  ];
  // What PostgreSQL alone can refuse is rare: finding the one at fault in a batch takes many transactions.
  if (chance.oneIn(150)) members[chance.below(10)]![1] = chance.of(FOR_POSTGRESQL);
  else if (chance.oneIn(3)) {
    const at = chance.below(members.length);
    members[at]![1] = valueOf(chance, members[at]![0]);
  }
  return members;
}

const FOR_POSTGRESQL = [
  '99999999999999999999',
  '-2147483649',
  '1e400',
  text('2026-02-30 00:00:00'),
  text('infinity'),
  text('\u0000'),
  '{"\\u0000":1}',
];

function spoil(chance: Chance, members: [string, string][]): void {
  const at = chance.below(members.length);
  const [name] = members[at]!;
  switch (chance.below(8)) {
    case 0:
      members.splice(at, 1);
      if (members.length === 0) members.push(['x', 'null']);
      return;
    case 1:
      members.push([name, valueOf(chance, name)]);
      return;
    case 2: {
      const evil = chance.of(EVIL_KEYS);
      members.unshift([evil, valueOf(chance, evil)]);
      return;
    }
    case 3:
      members[at] = [chance.of(EVIL_KEYS), members[at]![1].replaceAll(SECRET, 'key')];
      return;
    default:
      members[at] = [name, valueOf(chance, name)];
  }
}

/** Names and keys of rows may be logged, so they do not get what may not. */
const LOGGED = ['id', 'cqrs_id', 'instance_pk'];

function valueOf(chance: Chance, name: string): string {
  const json = value(chance);
  return LOGGED.includes(name) ? json.replaceAll(SECRET, 'key') : json;
}

const EVIL_KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  '\\u005f_proto__',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  'cqrs_id',
  '',
  '\\u0000',
  'id',
  'queue',
  "'; drop table plain; --",
];

/** A JSON text of any kind, now and then with the marker of a row's values. */
export function value(chance: Chance, depth = 0): string {
  if (chance.oneIn(8)) return chance.of(NO_JSON);
  const kinds = depth > 3 ? 13 : 16;
  switch (chance.below(kinds)) {
    case 0:
      return 'null';
    case 1:
      return chance.of(['true', 'false']);
    case 2:
      return chance.of(NUMBERS);
    case 3:
      return `${chance.oneIn(2) ? '-' : ''}${digits(chance, 1 + chance.below(60))}`;
    case 4:
      return `${digits(chance, 1 + chance.below(30))}.${digits(chance, 1 + chance.below(30))}`;
    case 5:
      return `${1 + chance.below(9)}e${chance.of(['', '-', '+'])}${digits(chance, 1 + chance.below(4))}`;
    case 6:
      return chance.of(['NaN', 'Infinity', '-Infinity']);
    case 7:
      return chance.of(TEXTS);
    case 8:
      return text(SECRET.repeat(1 + chance.below(50)));
    case 9:
      return text(chance.of(DATES));
    case 10:
      return text(String.fromCharCode(...Array.from({ length: 20 }, () => chance.below(0x10000))));
    case 11: {
      const deep = chance.below(400);
      return `${'['.repeat(deep)}${']'.repeat(deep)}`;
    }
    case 12:
      return `{${text(chance.of(EVIL_KEYS))}:1}`;
    case 13:
      return `[${Array.from({ length: chance.below(5) }, () => value(chance, depth + 1)).join(',')}]`;
    default:
      return object(
        Array.from({ length: chance.below(5) }, () => [chance.of([...EVIL_KEYS, 'a', 'b']), value(chance, depth + 1)]),
      );
  }
}

const NUMBERS = [
  '-0',
  '-0.0',
  '0e0',
  '-1',
  '2147483648',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775808',
  '1e308',
  '1e309',
  '5e-324',
  '1.7976931348623157e308',
];

const NO_JSON = [
  '00',
  '1.',
  '+1',
  '0x10',
  '-NaN',
  'nan',
  'undefined',
  '"\\x"',
  '"\u001e"',
  '[[[[',
  "'a'",
  '//',
  '"\n"',
];

const TEXTS = [
  '""',
  '"\\u0000"',
  '"\\u001e"',
  '"\\u001f"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000cqrs:NaN"',
  '"\u2028\u2029\ufeff"',
  '"\\r\\n\\u001b[31mforged line"',
  '"%s%n${7*7}{{7*7}}"',
  `"'; drop table plain; --"`,
  '"\\\\"',
  '"{1,2}"',
  '"\\\\x"',
  '"NULL"',
];

const DATES = [
  '0000-00-00 00:00:00',
  '0000-01-01 00:00:00+00:00',
  '0001-01-01T00:00:00Z',
  '0099-12-31 23:59:59',
  '2026-11-21 24:00:00',
  '2026-11-21 23:59:60+00:00',
  '2026-11-21 25:00:00',
  '9999-12-31T23:59:59.999999999-23:59',
  '10000-01-01 00:00:00+00:00',
  '275760-09-13 00:00:00-99:59:59',
  '999999-12-31 00:00:00',
  '2026-11-21 12:00:00.1234567890123+00:00',
  '2026-11-21\t12:00:00',
  'now',
  'infinity',
  '-infinity',
];

const DICTIONARY = ['"', '\\', '{', '}', ',', ':', '\u0000', '\u001e', 'NaN', '\\u', '/*', '\ufeff', ' ', '1e9999'].map(
  (one) => Buffer.from(one),
);
const NO_UTF8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]].map((bytes) =>
  Buffer.from(bytes),
);

/** One body in six: cut, flipped, filled in, or something else altogether. */
function damaged(chance: Chance, whole: Buffer): Buffer {
  if (!chance.oneIn(6)) return whole;
  const at = chance.below(whole.length);
  const before = whole.subarray(0, at);
  switch (chance.below(7)) {
    case 0:
      return before;
    case 1: {
      const copy = Buffer.from(whole);
      copy[at]! ^= 1 << chance.below(8);
      return copy;
    }
    case 2:
      return Buffer.concat([before, chance.of(DICTIONARY), whole.subarray(at)]);
    case 3:
      return Buffer.concat([before, chance.of(NO_UTF8), whole.subarray(at)]);
    case 4:
      return Buffer.from(value(chance));
    case 5:
      return Buffer.from(Array.from({ length: chance.below(64) }, () => chance.below(256)));
    default:
      return chance.of([Buffer.alloc(0), Buffer.from('null'), Buffer.from([0x1f, 0x8b, 8, 0])]);
  }
}

const HEADER_NAMES = [
  'x-cqrs-committed-at',
  'x-cqrs-waiting-since',
  'x-cqrs-reason',
  'x-death',
  '__proto__',
  'constructor',
  '',
  'x'.repeat(255),
];

function headers(chance: Chance): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (let count = 1 + chance.below(3); count > 0; count--) {
    Object.defineProperty(all, chance.of(HEADER_NAMES), {
      value: headerValue(chance),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return all;
}

function headerValue(chance: Chance, depth = 0): unknown {
  const kinds: readonly (() => unknown)[] = [
    () => chance.below(2 ** 31),
    () => -1,
    () => 2 ** 53,
    () => Number.MAX_SAFE_INTEGER * 1000,
    () => 1e300,
    () => NaN,
    () => -Infinity,
    () => -(2 ** 63),
    () => 0.5,
    () => true,
    () => null,
    () => '',
    () => SECRET,
    () => '12abc',
    () => '9'.repeat(400),
    () => 'x'.repeat(chance.of([10, 1_000, 40_000])),
    () => ({ '!': 'timestamp', value: chance.below(2 ** 31) }),
    () => Buffer.from([0, 255, 254]),
    () => (depth > 2 ? 1 : [headerValue(chance, depth + 1), headerValue(chance, depth + 1)]),
    () =>
      depth > 2 ? 1 : { a: headerValue(chance, depth + 1), 'x-cqrs-committed-at': headerValue(chance, depth + 1) },
  ];
  return chance.of(kinds)();
}

function properties(chance: Chance): Record<string, unknown> {
  return {
    contentType: chance.of(['text/plain', 'application/json', 'application/octet-stream', 'x'.repeat(200), '']),
    contentEncoding: chance.of(['utf-8', 'gzip', 'utf-16', 'binary', '\u0000']),
    priority: chance.below(256),
    correlationId: chance.of(['', '1', '\u001b[31m', 'x'.repeat(255)]),
    replyTo: chance.of(['', 'nobody']),
    messageId: chance.of(['', 'x'.repeat(255)]),
    timestamp: chance.below(2 ** 31),
    type: chance.of(['', '__proto__']),
    appId: 'fuzz',
    persistent: chance.oneIn(2),
  };
}

function object(members: readonly (readonly [string, string])[]): string {
  // Keys are written as they are given, escapes included.
  return `{${members.map(([name, json]) => `"${name}":${json}`).join(',')}}`;
}

function text(content: string): string {
  return JSON.stringify(content);
}

function digits(chance: Chance, length: number): string {
  return Array.from({ length }, () => chance.below(10)).join('');
}
