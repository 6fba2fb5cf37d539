import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { saveOf } from '../messaging/inbox/harness.js';
import { CliService } from './cli-service.js';
import { CqrsProcess } from './cqrs-process.js';

/**
 * Ctrl-C in the middle of every long command: one line that says what has been done and how to go on, an exit code of 1,
 * nothing half-written, and a second run that finishes the work.
 */

const ROWS = 10_000;
const LETTERS = 500;
/** As `--progress` writes it: something is done, and not all. */
const AT_WORK = /^[1-9][\d,]* (?:of [\d,]+ )?(?:rows|lines) /m;
const service = new CliService('interrupts');
const { queue, deadLetterQueue } = service;
const { sql, shell } = { sql: service.sql.bind(service), shell: service.shell.bind(service) };

interface Stopped {
  readonly out: string;
  /** The last line that it said. */
  readonly said: string;
}

beforeAll(async () => {
  await service.open();
  const consumer = service.cqrs.createConsumer(); // which makes the queues
  await consumer.start();
  await consumer.stop();
  await sql(`insert into account (id, name, cqrs_updated)
    select n, 'account ' || n, now() - interval '1 minute' from generate_series(1, ${ROWS}) n /* cqrs */`);
  const header = `account,${new Date().toISOString().replace('T', ' ').replace('Z', '000+00:00')}`;
  const lines = (items: (id: number) => unknown, length = 10): string[] =>
    Array.from({ length: ROWS / length }, (_, line) =>
      JSON.stringify(Array.from({ length }, (_two, place) => items(length * line + place + 1))),
    );
  file('pairs', [header, ...lines((id) => [id, 0])]);
  file('keys', [header, ...lines((id) => id)]);
  file('keys-in-few-lines', [header, ...lines((id) => id, 1_000)]);
  file('asked', [`${header},${queue}`, ...lines((id) => id)]);
  const [row] = await sql<{
    text: string;
  }>(`select string_agg(json_build_object('id', id, 'name', name, 'cqrs_revision',
    cqrs_revision, 'cqrs_updated', cqrs_updated, 'cqrs_incarnation', cqrs_incarnation)::text, E'\\n') as text from account`);
  file('dump', ['account', row!.text]);
});
afterAll(() => service.close());

function file(name: string, lines: readonly string[]): void {
  writeFileSync(`${service.folder}/${name}`, lines.join('\n'));
}

/** @param input a file for its standard input. */
async function stopped(line: string, begun: RegExp | (() => Promise<void>), input?: string): Promise<Stopped> {
  const source = input === undefined ? undefined : openSync(`${service.folder}/${input}`, 'r');
  const args = line.replaceAll('$DIR', service.folder).split(' ');
  await using command = new CqrsProcess(args, service.env, source);
  if (source !== undefined) closeSync(source);
  await (typeof begun === 'function' ? begun() : command.until(begun));
  command.kill('SIGINT');
  expect(await command.exited).toBe(1);
  const said = command.err.split('\n').filter((text) => text.startsWith('cqrs: '));
  expect(said).toHaveLength(1);
  return { out: command.out, said: said[0]! };
}

async function count(what: string): Promise<number> {
  const [row] = await sql<{ count: number }>(`select count(*)::int as count from ${what}`);
  return row!.count;
}

async function fillReplica(): Promise<void> {
  await sql('delete from account_ref');
  await sql('delete from cqrs_tombstones');
  await sql(`insert into account_ref (id, name, cqrs_updated, cqrs_revision, cqrs_incarnation)
    select id, name, cqrs_updated, cqrs_revision, cqrs_incarnation from account`);
}

describe('lists are cut between two lines', () => {
  const NOT_ALL =
    'cqrs: stopped before the end; what was listed is right, and not all. Run the pipe again for the rest.';

  test.each([
    ['diff-master -c account -b 10 --checksums', undefined],
    ['diff-replica', 'pairs'],
    ['deleted-diff-replica -c account -b 10', undefined],
    ['deleted-diff-master', 'keys'],
  ])('%s', async (line, input) => {
    if (line.startsWith('deleted-diff-replica')) await fillReplica();
    const { out, said } = await stopped(`${line} --progress`, AT_WORK, input);
    expect(said).toBe(NOT_ALL);
    expect(out.endsWith('\n')).toBe(true);
    const [header, ...lists] = out.trimEnd().split('\n');
    expect(header).toMatch(/^account,/);
    const listed = lists.flatMap((list) => JSON.parse(list) as unknown[]);
    expect(listed.length).toBeLessThan(ROWS);
  });
});

test('diff-replica that waits for its input ends at once', async () => {
  execFileSync('mkfifo', [`${service.folder}/slow`]);
  const both = openSync(`${service.folder}/slow`, 'r+');
  writeSync(both, 'account,2026-01-01 00:00:00.000000+00:00\n');
  const { out } = await stopped('diff-replica', /^account,/m, 'slow');
  expect(out.split('\n')).toHaveLength(2);
  closeSync(both);
});

test('bulk-dump keeps nothing of a file, and writes it the next time', async () => {
  const { said } = await stopped('bulk-dump -c account -b 10 -o $DIR/half.dump --progress', AT_WORK);
  expect(said).toBe('cqrs: stopped before the end; nothing was kept.');
  expect(readdirSync(service.folder).filter((name) => name.startsWith('half'))).toEqual([]);
  expect((await shell('cqrs bulk-dump -c account -o $DIR/half.dump')).code).toBe(0);
  expect(readFileSync(`${service.folder}/half.dump`, 'utf8').split('\n')).toHaveLength(1 + ROWS);
});

test('bulk-load keeps what was loaded, and loads the rest the next time', async () => {
  await sql('delete from account_ref');
  const { said } = await stopped('bulk-load -i $DIR/dump -b 10 --progress', AT_WORK);
  expect(said).toBe('cqrs: stopped before the end; run it again to go on.');
  const loaded = await count('account_ref');
  expect(loaded).toBeGreaterThan(0);
  expect(loaded).toBeLessThan(ROWS);
  const { out } = await shell('cqrs bulk-load -i $DIR/dump --json');
  expect(JSON.parse(out)).toMatchObject({ loaded: ROWS - loaded, kept: loaded, stopped: false });
});

test('bulk-load --clear changes nothing, and everything the next time', async () => {
  await sql('delete from account_ref');
  await sql(`insert into account_ref (id, name, cqrs_updated, cqrs_revision) values (-1, 'old', '2020-01-01', 0)`);
  const { said } = await stopped('bulk-load -i $DIR/dump --clear -b 10 --progress', AT_WORK);
  expect(said).toBe('cqrs: stopped before the end; nothing was changed.');
  expect(await sql('select id, name from account_ref')).toEqual([{ id: -1, name: 'old' }]);
  const { out } = await shell('cqrs bulk-load -i $DIR/dump --clear --json');
  expect(JSON.parse(out)).toMatchObject({ loaded: ROWS, removed: 1 });
});

test('sync says where to continue', async () => {
  const filter = '{"id":{"$lte":3000}}';
  const { said } = await stopped(`sync -c account --filter ${filter} -b 10 --progress`, AT_WORK);
  const [, key] = /^cqrs: stopped before the end; continue with --after '(\d+)'$/.exec(said)!;
  const { out } = await shell(`cqrs sync -c account --filter '${filter}' --after ${key} --json`);
  expect(JSON.parse(out)).toMatchObject({ synced: 3_000 - Number(key) });
});

test('diff-sync keeps what was sent', async () => {
  const { said } = await stopped('diff-sync --progress', AT_WORK, 'asked');
  expect(said).toBe(
    'cqrs: stopped before the end; what was sent stays; run the pipe again from its first command for the rest.',
  );
  expect(await count('cqrs_outbox')).toBe(0);
});

test('deleted-sync-replica keeps what was deleted, and deletes the rest the next time', async () => {
  await fillReplica();
  const { said } = await stopped('deleted-sync-replica --progress', AT_WORK, 'keys');
  expect(said).toMatch(/^cqrs: stopped before the end; what was deleted stays; run the pipe again/);
  const left = await count('account_ref');
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(ROWS);
  expect(await count('cqrs_tombstones')).toBe(ROWS - left);
  const { out } = await shell('cqrs deleted-sync-replica --json < $DIR/keys-in-few-lines');
  expect(JSON.parse(out)).toMatchObject({ deleted: left, gone: ROWS - left });
});

test('reconcile reports what it has found so far, and repairs the rest the next time', async () => {
  await service.emptyQueue(); // of what sync and diff-sync have sent
  await fillReplica();
  await sql('delete from account_ref where id <= 3');
  await sql('delete from cqrs_tombstones');
  const worker = service.cqrs.createConsumer();
  await worker.start();
  await service.untilAnswered();
  try {
    const { out, said } = await stopped(`reconcile -c account -q ${queue} --progress --json`, /^waiting: /m);
    expect(said).toBe('cqrs: stopped before the end; what was repaired stays; run it again for the rest.');
    expect(JSON.parse(out)).toMatchObject({ stopped: true, repaired: 0 });
    const again = await shell(`cqrs reconcile -c account -q ${queue} --settle-seconds 0 --json`);
    expect(JSON.parse(again.out)).toMatchObject({ missing: 3, repaired: 3 });
  } finally {
    await worker.stop();
  }
});

describe('dead-letters', () => {
  const waiting = async (name: string): Promise<number> => (await service.cqrs.transport.inspect(name))!.messages;

  beforeEach(async () => {
    await service.cqrs.connect();
    const route = { cqrsId: 'account', queue: deadLetterQueue };
    await service.cqrs.transport.publish(Array.from({ length: LETTERS }, (_, id) => ({ route, body: saveOf(id) })));
  });

  test('retry: each is back in its queue or still dead, and the next run takes the rest', async () => {
    const before = await waiting(queue);
    const { out, said } = await stopped('dead-letters retry', / → put back\n/);
    const done = out.trimEnd().split('\n').length;
    expect(said).toBe(
      `cqrs: stopped before the end; ${done} put back, the others are where they were. Run it again to go on.`,
    );
    expect([await waiting(queue), await waiting(deadLetterQueue)]).toEqual([before + done, LETTERS - done]);
    expect((await shell('cqrs dead-letters retry')).code).toBe(0);
    expect([await waiting(queue), await waiting(deadLetterQueue)]).toEqual([before + LETTERS, 0]);
  });

  test('purge: each is gone or still dead, and the next run takes the rest', async () => {
    const begun = async (): Promise<void> => {
      while ((await waiting(deadLetterQueue)) === LETTERS);
    };
    const { out, said } = await stopped('dead-letters purge --yes --cqrs-id account', begun);
    const [, done] =
      /^cqrs: stopped before the end; (\d+) purged, the others are where they were\. Run it again to go on\.$/.exec(
        said,
      )!;
    expect(out).toBe('');
    expect(await waiting(deadLetterQueue)).toBe(LETTERS - Number(done));
    const { out: rest } = await shell('cqrs dead-letters purge --yes --cqrs-id account');
    expect(rest).toBe(`${LETTERS - Number(done)} dead letters purged from ${deadLetterQueue}.\n`);
  });
});
