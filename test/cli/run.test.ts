import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { NO_ACTIVITY } from '../../src/activity/read-activity.js';
import { parseOptions } from '../../src/cli/arguments.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { command, type Command } from '../../src/cli/command.js';
import { subscription } from '../../src/cli/consume.js';
import { run } from '../../src/cli/run.js';
import { statusText } from '../../src/cli/status.js';
import { parseAfter, writeAfter } from '../../src/cli/sync.js';
import { ConfigurationError, TransportError } from '../../src/kernel/errors.js';

let out: string[];
let err: string[];
beforeEach(() => {
  [out, err] = [[], []];
  jest.spyOn(console, 'log').mockImplementation((text: string) => void out.push(text));
  jest.spyOn(console, 'error').mockImplementation((text: string) => void err.push(text));
});
afterEach(() => void jest.restoreAllMocks());

const cqrs = (...argv: string[]): Promise<number> => run(COMMANDS, '1.2.3', argv);

describe('a command line', () => {
  test.each([
    [['explode'], `cqrs: Unknown command 'explode'. There are ${COMMANDS.map(({ name }) => name).join(', ')}.`],
    [['help', 'explode'], `cqrs: Unknown command 'explode'. There are ${COMMANDS.map(({ name }) => name).join(', ')}.`],
    [['status', '--bogus'], "cqrs: Unknown option '--bogus'. See: cqrs status --help"],
    [['consume', '-x'], "cqrs: Unknown option '-x'. See: cqrs consume --help"],
    [['consume', '-w', '0'], "cqrs: --workers must be a whole number from 1 on, not '0'."],
    [['consume', '-w', 'many'], "cqrs: --workers must be a whole number from 1 on, not 'many'."],
    [['sync'], 'cqrs: --cqrs-id is missing: whose rows?'],
    [['sync', '--cqrs-id', 'account', '--filter', '{'], 'cqrs: --filter is not JSON: {'],
    [
      ['sync', '--cqrs-id', 'account', '--filter', '[1]'],
      `cqrs: --filter must be a JSON object such as '{"id":{"$gt":5}}', not [1]`,
    ],
    [['sync', '-c', 'account', '--rate', '0'], "cqrs: --rate must be a whole number from 1 on, not '0'."],
    [
      ['sync', '-c', 'account', '--after', 'x'],
      `cqrs: --after must be a key as JSON, such as 7, '"b1c"' or '[7,"b"]', not x.`,
    ],
    [
      ['sync', '-c', 'account', '--after', '[7,null]'],
      `cqrs: --after must be a key as JSON, such as 7, '"b1c"' or '[7,"b"]', not [7,null].`,
    ],
    [
      ['sync', '-c', 'account', '-q', 'shop', '--new-incarnation'],
      'cqrs: --new-incarnation is for all replicas: leave out --queue.',
    ],
  ])('%p is refused in one line', async (argv, line) => {
    expect(await cqrs(...argv)).toBe(2);
    expect(err).toEqual([line]);
    expect(out).toEqual([]);
  });

  test.each([[['consume', '--queue']], [['consume', 'account']]])('%p is refused, naming the help', async (argv) => {
    expect(await cqrs(...argv)).toBe(2);
    expect(err).toEqual([expect.stringMatching(/^cqrs: [^\n]+ See: cqrs consume --help$/)]);
  });

  test('with nothing shows the commands, as a mistake', async () => {
    expect(await cqrs()).toBe(2);
    expect(err[0]).toMatch(/Usage: cqrs <command>/);
  });

  test.each([['--version'], ['-V']])('%s', async (flag) => {
    expect(await cqrs(flag)).toBe(0);
    expect(out).toEqual(['1.2.3']);
  });

  test.each(COMMANDS.map(({ name }) => [name]))('help of %s shows its options and examples', async (name) => {
    const { options, examples } = COMMANDS.find((one) => one.name === name)!;
    for (const argv of [
      [...name.split(' '), '--help'],
      [...name.split(' '), '-h'],
      ['help', ...name.split(' ')],
    ]) {
      out.length = 0;
      expect(await cqrs(...argv)).toBe(0);
      for (const option of Object.keys(options)) expect(out[0]).toContain(`--${option}`);
      for (const { line } of examples) expect(out[0]).toContain(line);
    }
  });

  test.each(COMMANDS.flatMap(({ name, options, examples }) => examples.map(({ line }) => ({ name, line, options }))))(
    'the example $line is one that it understands',
    ({ name, line, options }) => {
      const first = line.split(/[|<>]/)[0]!;
      const words = first.match(/'[^']*'|\S+/g)!.map((word) => word.replaceAll("'", ''));
      const args = words.slice(1 + name.split(' ').length);
      expect(() => parseOptions(options, args)).not.toThrow();
    },
  );
});

test.each([
  [['7'], "'7'"],
  [['007'], `'"007"'`],
  [['b1c'], `'"b1c"'`],
  [['9007199254740993'], "'9007199254740993'"],
  [['7', "it's"], `'[7,"it'\\''s"]'`],
])('the key %j is written for --after as %s, and read back', (key, text) => {
  expect(writeAfter(key)).toBe(text);
  expect(parseAfter(text.slice(1, -1).replaceAll(`'\\''`, "'"))).toEqual(key);
});

describe('a command that fails', () => {
  const failing = (error: unknown): Command =>
    command({
      name: 'fail',
      summary: '',
      options: {},
      examples: [],
      async run() {
        throw error;
      },
    });

  test.each([
    [new ConfigurationError([{ where: 'x', what: 'is wrong.', cure: 'Mend it.' }]), 2, /x: is wrong\. Mend it\./],
    [Object.assign(new Error('from another copy'), { code: 'configuration' }), 2, /from another copy/],
    [new TransportError('Nobody answers'), 1, /Nobody answers/],
    [
      Object.assign(new Error("insert into x values ('ada')"), { code: '23505' }),
      1,
      /^cqrs: Error \[SQLSTATE 23505\]$/,
    ],
  ])('%s ends with %d and says so', async (error, code, line) => {
    expect(await run([failing(error)], '1', ['fail'])).toBe(code);
    expect(err).toEqual([expect.stringMatching(line)]);
  });
});

describe('what cqrs consume consumes', () => {
  test.each([
    ['everything', { queue: 'main' }, {}, { queue: undefined }],
    ['everything from another queue', { queue: 'main' }, { queue: 'other' }, { queue: 'other' }],
    ['one id', { queue: 'main' }, { 'cqrs-id': ['a'] }, { queue: 'main.a', cqrsIds: ['a'] }],
    [
      'the same ids in any order',
      { queue: 'main' },
      { 'cqrs-id': ['b', 'a', 'b'] },
      { queue: 'main.a-b', cqrsIds: ['a', 'b'] },
    ],
    ['ids from a named queue', { queue: null }, { 'cqrs-id': ['a'], queue: 'mine' }, { queue: 'mine', cqrsIds: ['a'] }],
  ])('%s', (_, settings, values, expected) => {
    expect(subscription(settings, { 'cqrs-id': undefined, queue: undefined, ...values })).toEqual(expected);
  });

  test('never some ids from the queue of the whole service', () => {
    expect(() => subscription({ queue: 'main' }, { 'cqrs-id': ['a'], queue: 'main' })).toThrow(
      /queue of the whole service/,
    );
  });

  test('never from a queue that has no name', () => {
    expect(() => subscription({ queue: null }, { 'cqrs-id': ['a'], queue: undefined })).toThrow(/needs --queue/);
  });
});

test('the status of a service in trouble', () => {
  const now = '2030-01-01T10:10:30.000Z';
  const reasons = [
    {
      code: 'broker-away',
      severity: 'degraded',
      where: 'broker',
      text: 'the broker cannot be reached (relay web:1)',
      since: '2030-01-01T10:09:48.000Z',
    },
  ] as const;
  const text = statusText({
    state: 'degraded',
    reasons,
    database: { error: null },
    outbox: { depth: 5, exact: true, oldestAgeMs: 61_234, failed: 2, held: 0, refusal: null },
    broker: { error: 'TransportError: nobody answers' },
    queues: [
      { role: 'queue', name: 'shop', state: { messages: 7, consumers: 2 } },
      { role: 'dead letters', name: 'dead_letter_shop', state: { messages: 2, consumers: 0 } },
      { role: 'unreadable', name: 'unreadable_shop', state: null },
    ],
    replicas: [
      { cqrsId: 'account', rows: 0, exact: true, lastUpdated: null },
      { cqrsId: 'invoice', rows: 2_000_000, exact: false, lastUpdated: null },
    ],
    activity: { ...NO_ACTIVITY, now, expiring: { shop: { count: 5, firstInSeconds: 36_000 } } },
  });
  expect(text.split('\n')).toEqual([
    'DEGRADED',
    '  degraded: the broker cannot be reached (relay web:1), for 42 s',
    '',
    'outbox           5 waiting, the oldest for 61.2 s, 2 that no queue would take',
    'broker           TransportError: nobody answers',
    'queue            shop: 7 waiting, 2 consumers',
    'dead letters     dead_letter_shop: 2 waiting; up to 2 will be dropped, the first in 10 h',
    'unreadable       unreadable_shop: does not exist yet',
    'replica account  0 rows, last change of the master applied: none',
    'replica invoice  about 2,000,000 rows, last applied: not within the last hour',
  ]);
});
