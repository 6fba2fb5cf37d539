import { existsSync, readdirSync, statSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Cqrs } from '../../src/cqrs.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { CliService, type Ended } from './cli-service.js';

/** The operators' commands as they are typed, in a shell, with pipes between real processes. */

const service = new CliService('operators');
const { queue, deadLetterQueue } = service;
let cqrs: Cqrs;
let folder: string;

beforeAll(async () => {
  await service.open();
  ({ cqrs, folder } = service);
  await consume(0);
});
afterAll(() => service.close());

const sql = <T = Record<string, unknown>>(text: string): Promise<T[]> => service.sql<T>(text);
const shell = (line: string, more?: Record<string, string>): Promise<Ended> => service.shell(line, more);

beforeEach(async () => {
  await sql('delete from account /* cqrs */');
  await sql('delete from account_ref');
  await sql('delete from cqrs_tombstones');
});

/** Accounts of the master, changed a minute ago. */
async function accounts(from: number, to: number): Promise<void> {
  await sql(`insert into account (id, name, cqrs_updated)
    select n, 'account ' || n, now() - interval '1 minute' from generate_series(${from}, ${to}) n /* cqrs */`);
}

async function consume(count: number): Promise<void> {
  let left = count;
  const enough = Promise.withResolvers<void>();
  const off = cqrs.events.onAny((name) => {
    if (/^cqrs\.inbox\.(applied|skipped|dead-lettered)$/.test(name) && --left === 0) enough.resolve();
  });
  const consumer = cqrs.createConsumer();
  await consumer.start();
  if (count > 0) await enough.promise;
  await consumer.stop();
  off();
}

const tables = async (): Promise<[unknown[], unknown[]]> => [
  await sql('select id, name, cqrs_revision from account order by id'),
  await sql('select id, name, cqrs_revision from account_ref order by id'),
];

describe('bulk-dump and bulk-load', () => {
  test('through a file and through a pipe', async () => {
    await accounts(1, 5);
    const dumped = await shell('cqrs bulk-dump -c account -o $DIR/a.dump -b 2 --progress');
    expect(dumped).toMatchObject({ code: 0, out: '' });
    expect(dumped.err).toMatch(
      /^0 of 5 rows - 0% with rate 0\/s, to go \?\n[^]*5 of 5 rows - 100% with rate [\d,]+\/s, to go 0:00:00\n/,
    );
    expect(dumped.err).toMatch(/Done!\n5 instance\(s\) saved\.\n5 instance\(s\) processed\.\n$/);
    expect(readdirSync(folder)).toEqual(['a.dump']);

    const again = await shell('cqrs bulk-dump -c account -o $DIR/a.dump');
    expect(again).toEqual({
      code: 2,
      out: '',
      err: `cqrs: ${folder}/a.dump exists; write over it with --force, or name another with --output.\n`,
    });

    const loaded = await shell('cqrs bulk-load -i $DIR/a.dump');
    expect(loaded).toEqual({ code: 0, out: 'Done!\n5 instance(s) loaded.\n', err: '' });
    const [master, replica] = await tables();
    expect(replica).toEqual(master);

    const piped = await shell('cqrs bulk-dump -c account -o - | cqrs bulk-load -i - --json');
    expect(piped.code).toBe(0);
    expect(JSON.parse(piped.out)).toEqual({ loaded: 0, kept: 5, failed: 0, removed: 0, newer: 0, stopped: false });
  });

  test('a named pipe or a device is written to, not replaced; a directory is refused', async () => {
    await accounts(1, 5);
    const piped = await shell(
      'mkfifo $DIR/d.pipe; cqrs bulk-dump -c account --force -o $DIR/d.pipe & wc -l < $DIR/d.pipe; wait $!',
    );
    expect(piped).toMatchObject({ code: 0, out: '5\n' });
    expect(statSync(`${folder}/d.pipe`).isFIFO()).toBe(true);
    expect(readdirSync(folder).filter((name) => name.startsWith('d.'))).toEqual(['d.pipe']);
    expect(await shell('cqrs bulk-dump -c account --force -o $DIR')).toEqual({
      code: 2,
      out: '',
      err: `cqrs: ${folder} is a directory; name a file in it with --output.\n`,
    });
  });

  test('a reader that goes away, or a dump that fails, leaves one line and nothing half-written', async () => {
    await accounts(1, 20_000);
    const broken = await shell('cqrs bulk-dump -c account -o - | head -c 10');
    expect(broken).toEqual({
      code: 1,
      out: 'account\n{"',
      err: 'cqrs: the reader of its output has gone before the end (broken pipe).\n',
    });
    const wrong = await shell(`cqrs bulk-dump -c account -o $DIR/b.dump --filter '{"nothing":1}'`);
    expect([wrong.code, wrong.err.split('\n')]).toEqual([
      2,
      [expect.stringMatching(/^cqrs: --filter: .*Account\.nothing/), ''],
    ]);
    const nowhere = await shell('cqrs bulk-dump -c account -o $DIR/no/such/b.dump');
    expect([nowhere.code, nowhere.err.split('\n')]).toEqual([
      2,
      [expect.stringMatching(/^cqrs: \S+ cannot be written: .*ENOENT/), ''],
    ]);
    expect(readdirSync(folder).filter((name) => name.startsWith('b.'))).toEqual([]);
  });

  test('what cannot be loaded is told line by line, and the command fails', async () => {
    await accounts(1, 2);
    expect((await shell('cqrs bulk-dump -c account -o $DIR/c.dump')).code).toBe(0);
    writeFileSync(`${folder}/c.dump`, `${readFileSync(`${folder}/c.dump`, 'utf8')}\nnonsense`);
    const cleared = await shell('cqrs bulk-load -i $DIR/c.dump --clear');
    expect(cleared).toMatchObject({
      code: 1,
      err: 'cqrs: line 4: it is not JSON.\ncqrs: 1 lines could not be loaded; nothing was changed.\n',
    });
    expect((await tables())[1]).toEqual([]);
    const loaded = await shell('cqrs bulk-load -i $DIR/c.dump');
    expect(loaded).toEqual({
      code: 1,
      out: 'Done!\n2 instance(s) loaded.\n',
      err: 'cqrs: line 4: it is not JSON.\ncqrs: 1 lines could not be loaded.\n',
    });
  });
});

describe('the pipes', () => {
  test('diff-master | diff-replica | diff-sync, with damage', async () => {
    await accounts(1, 6);
    expect((await shell('cqrs bulk-dump -c account -o - | cqrs bulk-load -i -')).code).toBe(0);
    await sql('delete from account_ref where id = 2');
    await sql('update account set cqrs_revision = 4 where id = 3 /* cqrs */');
    await sql(`update account_ref set name = 'damaged' where id = 5`);
    const repaired = await shell('cqrs diff-master -c account --checksums | cqrs diff-replica | cqrs diff-sync');
    expect(repaired).toMatchObject({ code: 0, out: 'Done!\n3 instance(s) synced.\n3 instance(s) processed.\n' });
    expect(repaired.err).toContain(
      '3 of 6 instance(s) differ: 1 missing, 1 at another revision, 1 with other content.',
    );
    await consume(3);
    const [master, replica] = await tables();
    expect(replica).toEqual(master);
  });

  test('deleted-diff-replica | deleted-diff-master | deleted-sync-replica', async () => {
    await accounts(1, 4);
    expect((await shell('cqrs bulk-dump -c account -o - | cqrs bulk-load -i -')).code).toBe(0);
    await sql('delete from account where id in (1, 3) /* cqrs */');
    const repaired = await shell(
      'cqrs deleted-diff-replica -c account -b 3 | cqrs deleted-diff-master | cqrs deleted-sync-replica --json',
    );
    expect(repaired.code).toBe(0);
    expect(JSON.parse(repaired.out)).toEqual({ processed: 2, deleted: 2, gone: 0, kept: 0, failed: 0 });
    const [master, replica] = await tables();
    expect(replica).toEqual(master);
  });

  test('a first command that fails fails them all, each with one line', async () => {
    const { code, out, err } = await shell('cqrs diff-master -c ghost | cqrs diff-replica | cqrs diff-sync');
    expect([code, out]).toEqual([1, '']);
    expect(err.trimEnd().split('\n').toSorted()).toEqual([
      "cqrs: Unknown CQRS_ID 'ghost'. Known here: account.",
      'cqrs: the input is empty. Did the command before it fail, or find nothing?',
      'cqrs: the input is empty. Did the command before it fail, or find nothing?',
    ]);
  });
});

describe('dead-letters', () => {
  async function bury(...bodies: string[]): Promise<void> {
    await cqrs.connect();
    const route = { cqrsId: 'account', queue: deadLetterQueue };
    await cqrs.transport.publish(bodies.map((body) => ({ route, body })));
  }

  test('list, show, try, put back, purge', async () => {
    const failed = {
      cqrs: { reason: 'mapping', error: 'MappingError: too long', failedAt: '2026-11-20T10:00:00.000Z' },
    };
    await bury(saveOf(1, { meta: failed }), saveOf(2), saveOf(3, { cqrs_id: 'ghost' }));
    const listed = await shell('cqrs dead-letters list');
    expect([listed.code, listed.err]).toEqual([0, `3 dead letters of ${deadLetterQueue}.\n`]);
    const [first] = listed.out.split('\n');
    expect(first).toMatch(
      /^[0-9a-f]{12} {2}2026-11-20T10:00:00\.000Z {2}SAVE {2}account {2}1 {2}retries 0 {2}mapping: MappingError: too long$/,
    );
    const [id] = first!.split(' ');

    const shown = await shell(`cqrs dead-letters show --id ${id!.slice(0, 8)}`);
    expect([shown.code, shown.out]).toEqual([0, expect.stringContaining('"name":"account 1"')]);

    const tried = await shell('cqrs dead-letters retry --dry-run');
    expect([tried.code, tried.err]).toEqual([1, '2 of 3 dead letters would work now.\n']);
    expect(tried.out.split('\n').map((line) => line.split(' → ')[1])).toEqual([
      'would work: create',
      'would work: create',
      'would fail: unknown-cqrs-id',
      undefined,
    ]);

    const retried = await shell('cqrs dead-letters retry --cqrs-id account --json');
    expect(retried.code).toBe(0);
    expect(
      retried.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { id, instancePk: '1', ok: true, result: 'put back' },
      { instancePk: '2', ok: true },
    ]);
    await consume(2);
    expect(await sql('select id from account_ref order by id')).toEqual([{ id: 1 }, { id: 2 }]);

    const unsure = await shell('cqrs dead-letters purge');
    expect(unsure).toEqual({
      code: 2,
      out: '',
      err: 'cqrs: dead letters are purged for good; confirm it with --yes.\n',
    });
    const purged = await shell('cqrs dead-letters purge --cqrs-id ghost --yes');
    expect(purged).toEqual({ code: 0, out: `1 dead letters purged from ${deadLetterQueue}.\n`, err: '' });
  });

  test('a broker that is away is told in one line', async () => {
    const away = await shell('cqrs dead-letters list', { CLI_TEST_AMQP: 'amqp://guest:secret@127.0.0.1:1' });
    expect([away.code, away.err.split('\n')]).toEqual([
      1,
      [expect.stringMatching(/^cqrs: amqp:\/\/127\.0\.0\.1:1\/ cannot be reached/), ''],
    ]);
    expect(away.err).not.toContain('secret');
  });
});

test('a file that cannot be read is told before anything else', async () => {
  const missing = await shell('cqrs bulk-load -i $DIR/nothing.dump');
  expect(missing).toEqual({
    code: 2,
    out: '',
    err: `cqrs: ${folder}/nothing.dump cannot be read: there is no such file.\n`,
  });
  expect(existsSync(`${folder}/nothing.dump`)).toBe(false);
});

describe('reconcile', () => {
  test('finds, reports and repairs over the broker, while a worker runs', async () => {
    await accounts(1, 50);
    const consumer = cqrs.createConsumer();
    await consumer.start();
    await service.untilAnswered();
    try {
      const filled = await shell(`cqrs reconcile -c account -q ${queue} --settle-seconds 0 --sample 1 --progress`);
      expect(filled.code).toBe(0);
      expect(filled.out).toMatch(
        /^account → \S+: 50 rows here, 0 there, compared in [\d.]+ s\n {2}50 missing, 0 extra, 0 stale, 0 damaged, 0 ahead; 50 repaired\n {2}\d+: missing \(revision 0 here\), repaired\n {2}… and 49 more\n {2}\d+ questions and answers of .*, 50 repairs of .*\n$/,
      );
      expect(filled.err).toMatch(/^comparing: 0 of 50 rows[^]*\nrepairing: 50 of 50 rows - 100%/);
      const [master, replica] = await tables();
      expect(replica).toEqual(master);

      await sql('delete from account_ref where id = 7');
      const dry = await shell(`cqrs reconcile -q ${queue} -c account --settle-seconds 0 --dry-run --json`);
      expect(dry).toMatchObject({ code: 1, err: '' });
      expect(JSON.parse(dry.out)).toMatchObject({
        missing: 1,
        repaired: 0,
        sample: [
          { key: 7, difference: 'missing', master: { revision: 0 }, replica: null, fields: null, outcome: 'reported' },
        ],
      });

      // names of fields, and none of their values
      await sql(`update account_ref set name = 'wrong' where id = 8`);
      await sql('update account_ref set cqrs_incarnation = cqrs_incarnation - 1 where id = 9');
      const named = await shell(`cqrs reconcile -q ${queue} -c account --settle-seconds 0 --dry-run`);
      expect(named.out).toContain('  8: damaged (revision 0 here, 0 there; name differs), reported\n');
      expect(named.out).toContain(
        '  9: stale (revision 0 here, 0 there, of another incarnation; no field differs), reported\n',
      );
      expect(named.out).not.toContain('wrong');
      expect(
        await shell(`cqrs reconcile -q ${queue} -c account --settle-seconds 0 --key 7 --key 8 --key 9`),
      ).toMatchObject({
        code: 0,
      });
    } finally {
      await consumer.stop();
    }
  });

  test.each([
    [
      '-q nowhere -c account',
      1,
      /^cqrs: The replica behind the queue 'nowhere' gives no answer \(.*\)\. A worker of ours/,
    ],
    ['-c account', 2, /^cqrs: --queue is missing/],
    ['-q x -c nothing', 2, /^cqrs: Unknown CQRS_ID 'nothing'/],
    ['-q x -c account --key {', 2, /^cqrs: --key must be JSON/],
    ['-q x --key 5', 2, /^cqrs: --key needs one --cqrs-id/],
    ['-q x --every often', 2, /^cqrs: --every must be a length of time/],
  ])('%s', async (args, code, message) => {
    const ended = await shell(`cqrs reconcile ${args}`);
    expect(ended).toMatchObject({ code, out: '' });
    expect(ended.err).toMatch(message);
    expect(ended.err.split('\n')).toHaveLength(2);
  });
});
