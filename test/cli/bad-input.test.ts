import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { COMMANDS } from '../../src/cli/commands.js';
import { run } from '../../src/cli/run.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { CliService, type Ended } from './cli-service.js';
import { CqrsProcess } from './cqrs-process.js';

/** Every command × every bad input: one line that names what is wrong, an exit code that is not 0, nothing half-written. */

const INPUTS = ['unknown id', 'bad filter', 'unreadable file', 'broken pipe', 'broker away'] as const;
type Input = (typeof INPUTS)[number];
/** What is typed and what the one line has to say; or in words why there is no such input. */
type Cell = { readonly typed: string; readonly says: RegExp } | string;

const GHOST = /'ghost'/;
const HEADER = 'ghost,2026-01-01 00:00:00.000000+00:00';
const NO_FILTER = 'it has no filter';
const NO_FILE = 'it reads no file';
const NO_BROKER = 'it works on the database alone';
const ONE_RESULT = 'it prints its result when the work is done: nothing is lost with the reader';
const LOGS = 'it has no output but its log, on standard error';
const ANY_ID = 'dead letters may be of ids that nobody knows';
const MATCHES_NONE = 'an id is a condition here: it matches no letter, and the summary says 0';
const noLetter: RegExp = /no such dead letter: ffff0000/;
const gone: RegExp = /the reader of its output has gone/;
const away: RegExp = /amqp:\/\/127\.0\.0\.1:1\/ cannot be reached/;
const field: RegExp = /--filter: .*Account(Ref)?\.nothing/;
const often: RegExp = /--older-than must be .*'often'/;
const unreadable: RegExp = /Standard input cannot be read: it is a directory/;
const FILTER = `--filter '{"nothing":1}'`;

const letters = (name: string, more: string, id: Cell, pipe: Cell): Record<Input, Cell> => ({
  'unknown id': id,
  'bad filter': { typed: `dead-letters ${name} --older-than often${more}`, says: often },
  'unreadable file': NO_FILE,
  'broken pipe': pipe,
  'broker away': { typed: `dead-letters ${name}${more}`, says: away },
});

const piped = (name: string, input: string, pipe: Cell, broker: Cell): Record<Input, Cell> => ({
  'unknown id': { typed: `${name} <<< '${HEADER}'`, says: GHOST },
  'bad filter': NO_FILTER,
  'unreadable file': { typed: `${name} < $DIR`, says: unreadable },
  'broken pipe': typeof pipe === 'string' ? pipe : { ...pipe, typed: `${pipe.typed} <<< '${input}' | true` },
  'broker away': typeof broker === 'string' ? broker : { ...broker, typed: `${broker.typed} <<< '${input}'` },
});

const refused = (name: string, pipe: Cell): Record<Input, Cell> => ({
  'unknown id': 'an id is a condition here: it matches no message, and the result says 0',
  'bad filter': { typed: `refused ${name} --id seven`, says: /--id is a number.*not seven/ },
  'unreadable file': NO_FILE,
  'broken pipe': pipe,
  'broker away': NO_BROKER,
});

const ACCOUNTS = `account,2026-01-01 00:00:00.000000+00:00`;

const MATRIX: Record<string, Record<Input, Cell>> = {
  consume: {
    'unknown id': { typed: 'consume --cqrs-id ghost', says: GHOST },
    'bad filter': NO_FILTER,
    'unreadable file': NO_FILE,
    'broken pipe': LOGS,
    'broker away': 'it goes on trying: see below',
  },
  relay: {
    'unknown id': 'it takes no id',
    'bad filter': NO_FILTER,
    'unreadable file': NO_FILE,
    'broken pipe': LOGS,
    'broker away': 'it goes on trying: see below',
  },
  retire: {
    'unknown id': 'it takes no id',
    'bad filter': { typed: 'retire', says: /--queue is missing/ },
    'unreadable file': NO_FILE,
    'broken pipe': ONE_RESULT,
    'broker away': { typed: 'retire -q nowhere', says: away },
  },
  'refused list': refused('list', { typed: 'refused list | true', says: gone }),
  'refused retry': refused('retry', ONE_RESULT),
  'refused drop': refused('drop', ONE_RESULT),
  status: {
    'unknown id': 'it takes no id',
    'bad filter': NO_FILTER,
    'unreadable file': { typed: 'status --config nowhere.config.ts', says: /nowhere\.config\.ts/ },
    'broken pipe': ONE_RESULT,
    'broker away': 'it is what it reports: see below',
  },
  doctor: {
    'unknown id': 'it takes no id',
    'bad filter': NO_FILTER,
    'unreadable file': { typed: 'doctor --config nowhere.config.ts', says: /nowhere\.config\.ts/ },
    'broken pipe': ONE_RESULT,
    'broker away': 'it is what it reports: not checked',
  },
  schema: {
    'unknown id': { typed: 'schema --entities --table ghost', says: /ghost/ },
    'bad filter': NO_FILTER,
    'unreadable file': { typed: 'schema --additive --config nowhere.config.ts', says: /nowhere\.config\.ts/ },
    'broken pipe': { typed: 'schema --entities --master account | true', says: gone },
    'broker away': NO_BROKER,
  },
  admin: {
    'unknown id': 'it takes no id',
    'bad filter': NO_FILTER,
    'unreadable file': NO_FILE,
    'broken pipe': 'it prints an address and serves on',
    'broker away': 'its pages say so, and serve on: see below',
  },
  sync: {
    'unknown id': { typed: 'sync -c ghost', says: GHOST },
    'bad filter': { typed: `sync -c account ${FILTER}`, says: field },
    'unreadable file': NO_FILE,
    'broken pipe': ONE_RESULT,
    'broker away': { typed: 'sync -c account', says: away },
  },
  reconcile: {
    'unknown id': { typed: 'reconcile -q shop -c ghost', says: GHOST },
    'bad filter': { typed: 'reconcile -q shop -c account --key {', says: /--key must be JSON .*not \{/ },
    'unreadable file': NO_FILE,
    'broken pipe': ONE_RESULT,
    'broker away': { typed: 'reconcile -q shop', says: away },
  },
  'bulk-dump': {
    'unknown id': { typed: 'bulk-dump -c ghost -o $DIR/a.dump', says: GHOST },
    'bad filter': { typed: `bulk-dump -c account -o $DIR/b.dump ${FILTER}`, says: field },
    'unreadable file': { typed: 'bulk-dump -c account -o $DIR/no/c.dump', says: /\/no\/c\.dump cannot be written/ },
    'broken pipe': { typed: 'bulk-dump -c account -o - | true', says: gone },
    'broker away': NO_BROKER,
  },
  'bulk-load': {
    'unknown id': { typed: "bulk-load -i - <<< 'ghost'", says: GHOST },
    'bad filter': NO_FILTER,
    'unreadable file': { typed: 'bulk-load -i $DIR/none.dump', says: /\/none\.dump cannot be read: there is no such/ },
    'broken pipe': ONE_RESULT,
    'broker away': NO_BROKER,
  },
  'diff-master': {
    'unknown id': { typed: 'diff-master -c ghost', says: GHOST },
    'bad filter': { typed: `diff-master -c account ${FILTER}`, says: field },
    'unreadable file': NO_FILE,
    'broken pipe': { typed: 'diff-master -c account | true', says: gone },
    'broker away': NO_BROKER,
  },
  'diff-replica': piped('diff-replica', `${ACCOUNTS}\n[[1,0]]`, { typed: 'diff-replica', says: gone }, NO_BROKER),
  'diff-sync': piped('diff-sync', `${ACCOUNTS},shop\n[1]`, ONE_RESULT, { typed: 'diff-sync', says: away }),
  'deleted-diff-replica': {
    'unknown id': { typed: 'deleted-diff-replica -c ghost', says: GHOST },
    'bad filter': { typed: `deleted-diff-replica -c account ${FILTER}`, says: field },
    'unreadable file': NO_FILE,
    'broken pipe': { typed: 'deleted-diff-replica -c account | true', says: gone },
    'broker away': NO_BROKER,
  },
  'deleted-diff-master': piped(
    'deleted-diff-master',
    `${ACCOUNTS}\n[9]`,
    { typed: 'deleted-diff-master', says: gone },
    NO_BROKER,
  ),
  'deleted-sync-replica': piped('deleted-sync-replica', '', ONE_RESULT, NO_BROKER),
  'dead-letters list': letters('list', '', MATCHES_NONE, { typed: 'dead-letters list | true', says: gone }),
  'dead-letters show': letters(
    'show',
    '',
    { typed: 'dead-letters show --id ffff0000', says: noLetter },
    { typed: 'dead-letters show | true', says: gone },
  ),
  'dead-letters dump': letters('dump', '', ANY_ID, { typed: 'dead-letters dump | true', says: gone }),
  'dead-letters retry': letters(
    'retry',
    '',
    { typed: 'dead-letters retry --id ffff0000', says: noLetter },
    { typed: 'dead-letters retry --dry-run | true', says: gone },
  ),
  'dead-letters purge': letters(
    'purge',
    ' --yes',
    { typed: 'dead-letters purge --yes --id ffff0000', says: noLetter },
    ONE_RESULT,
  ),
};

const service = new CliService('bad');
const { deadLetterQueue } = service;
const brokerAway = { CLI_TEST_AMQP: 'amqp://guest:secret@127.0.0.1:1' };
const cells = Object.entries(MATRIX).flatMap(([name, row]) =>
  INPUTS.map((input) => ({ name, input, cell: row[input] })),
);
const typedCells = cells.flatMap(({ name, input, cell }) =>
  typeof cell === 'string' ? [] : [{ name, input, ...cell }],
);
const ended = new Map<string, Promise<Ended>>();
let before: unknown;

beforeAll(async () => {
  await service.open();
  const { cqrs } = service;
  const consumer = cqrs.createConsumer(); // which makes the queues
  await consumer.start();
  await consumer.stop();
  const rows = `select n, 'account ' || n, now() - interval '1 minute'`;
  await service.sql(`insert into account (id, name, cqrs_updated) ${rows} from generate_series(1, 3) n /* cqrs */`);
  await service.sql(
    `insert into account_ref (id, name, cqrs_updated, cqrs_revision) ${rows}, 0 from generate_series(2, 4) n`,
  );
  await service.sql(
    `insert into cqrs_held (id, bucket, cqrs_id, signal, key, body, created_at, state, reason, passing, attempts, held_at)
     values (-1, 1, 'account', 'SAVE', '["9"]', '{}', now(), 'refused', 'too long', false, 1, now())`,
  );
  await cqrs.transport.publish(
    [1, 2].map((id) => ({ route: { cqrsId: 'account', queue: deadLetterQueue }, body: saveOf(id) })),
  );
  before = await everything();
  // Dead letters that one command looks at are hidden from the next: those go one after the other.
  let [own, others] = [Promise.resolve<unknown>(0), Promise.resolve<unknown>(0)];
  for (const { name, input, typed } of typedCells) {
    const start = (): Promise<Ended> => shell(typed, input === 'broker away' ? brokerAway : {});
    const end = (name.startsWith('dead-letters') ? own : others).then(start);
    if (name.startsWith('dead-letters')) own = end;
    else others = end;
    ended.set(`${name}, ${input}`, end);
  }
});

afterAll(async () => {
  await Promise.allSettled(ended.values());
  await service.close('ghost');
});

/** All that a command could leave behind. */
async function everything(): Promise<unknown> {
  const tables = ['account', 'account_ref', 'cqrs_tombstones', 'cqrs_outbox'];
  const counts = tables.map((table) => `(select count(*)::int from ${table}) as ${table}`);
  const revisions = '(select sum(cqrs_revision)::int from account) as revisions';
  const rows = await service.sql(`select ${[...counts, revisions].join(', ')}`);
  return { rows, files: readdirSync(service.folder) };
}

// A command that waits for ever is a failure of its own cell.
const shell = (typed: string, more: Record<string, string>): Promise<Ended> =>
  service.shell(`cqrs ${typed}`, more, 15_000);

test('every command has its row', () => {
  expect(Object.keys(MATRIX).toSorted()).toEqual(COMMANDS.map(({ name }) => name).toSorted());
});

describe('one line, a code that is not 0, no output', () => {
  test.each(typedCells)(
    '$name, $input: $typed',
    async ({ name, input, says }) => {
      const { code, out, err } = (await ended.get(`${name}, ${input}`))!;
      expect({ lines: err.split('\n'), out }).toEqual({ lines: [expect.stringMatching(/^cqrs: /), ''], out: '' });
      expect(err).toMatch(says);
      expect(err).not.toMatch(/secret|tried again by itself/);
      expect([1, 2]).toContain(code);
    },
    60_000,
  );
});

test('nothing was half-written', async () => {
  await Promise.all(ended.values());
  expect(await everything()).toEqual(before);
  const { code, err } = await shell('dead-letters list', {});
  expect([code, err]).toEqual([0, `2 dead letters of ${deadLetterQueue}.\n`]);
}, 60_000);

describe('a broker that is away', () => {
  const start = (...args: string[]): CqrsProcess => new CqrsProcess(args, { ...service.env, ...brokerAway });

  test.each([['consume'], ['relay']])(
    '%s says so, goes on trying, and ends with 0 when it is told to',
    async (name) => {
      await using process = start(name);
      await process.until(away);
      process.kill('SIGTERM');
      expect(await process.exited).toBe(0);
      expect(process.err).not.toContain('secret');
      expect(process.err).not.toMatch(/^ {4}at /m);
    },
  );

  test('status reports it, and ends with 1', async () => {
    await using process = start('status');
    expect(await process.exited).toBe(1);
    expect([process.out, process.err]).toEqual([expect.stringMatching(away), '']);
  });
});

describe('admin', () => {
  test('with a broker that is away serves pages that say so, and ends with 0 when it is told to', async () => {
    await using command = new CqrsProcess(['admin', '--port', '0'], { ...service.env, ...brokerAway });
    const [, base, path] = await command.until(/one browser: (http:\/\/127\.0\.0\.1:\d+)(\/\S+)/);
    const login = await fetch(`${base}${path}`, { redirect: 'manual' });
    const cookie = login.headers.get('set-cookie')!.split(';')[0]!;
    const overview = await (await fetch(`${base}/api/overview`, { headers: { cookie } })).text();
    expect(overview).toMatch(away);
    command.kill('SIGTERM');
    expect(await command.exited).toBe(0);
    expect(command.out + command.err + overview).not.toContain('secret');
    expect(command.err).not.toMatch(/^ {4}at /m);
  });

  test('with a port that is taken, a database that is away or an unknown option ends at once', async () => {
    await using other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const databaseAway = { CLI_TEST_DATABASE: 'postgresql://me:secret@127.0.0.1:1/none' };
    expect([
      await shell(`admin --port ${port}`, {}),
      await shell('admin --port 0', databaseAway),
      await shell('admin --bogus', {}),
    ]).toEqual([
      { code: 2, out: '', err: `cqrs: Port ${port} is taken; name another with --port, or 0 for a free one.\n` },
      { code: 1, out: '', err: expect.stringMatching(/^cqrs: .*postgresql:\/\/127\.0\.0\.1:1\/none(?!.*secret).*\n$/) },
      { code: 2, out: '', err: "cqrs: Unknown option '--bogus'. See: cqrs admin --help\n" },
    ]);
  });
});

describe('--help', () => {
  const said = { out: [] as string[], err: [] as string[] };
  beforeEach(() => {
    jest.spyOn(console, 'log').mockImplementation((text: string) => void said.out.push(text));
    jest.spyOn(console, 'error').mockImplementation((text: string) => void said.err.push(text));
  });
  afterEach(() => void jest.restoreAllMocks());

  test.each(COMMANDS)('of $name goes to standard output, and ends with 0', async ({ name, summary }) => {
    [said.out, said.err] = [[], []];
    expect(await run(COMMANDS, '1.2.3', [...name.split(' '), '--help'])).toBe(0);
    expect([said.out, said.err]).toEqual([[expect.stringContaining(summary)], []]);
  });
});
