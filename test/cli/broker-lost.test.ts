import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Proxy } from '../faults/proxy.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { amqpUrl } from '../support/broker.js';
import { CliService } from './cli-service.js';
import { CqrsProcess } from './cqrs-process.js';

/** Long commands whose broker goes away in the middle, over a wire that is cut and mended. */

const ROWS = 10_000;
const service = new CliService('lost');
const { queue, deadLetterQueue } = service;
let wire: Proxy;

beforeAll(async () => {
  await service.open();
  const consumer = service.cqrs.createConsumer(); // which makes the queues
  await consumer.start();
  await consumer.stop();
  await service.sql(`insert into account (id, name, cqrs_updated)
    select n, 'account ' || n, now() - interval '1 minute' from generate_series(1, ${ROWS}) n /* cqrs */`);
});
afterAll(() => service.close());
beforeEach(async () => {
  wire = await Proxy.before(amqpUrl);
});
afterEach(() => wire[Symbol.asyncDispose]());

const start = (line: string): CqrsProcess =>
  new CqrsProcess(line.split(' '), { ...service.env, CLI_TEST_AMQP: wire.through(amqpUrl) });

const AWAY = /^cqrs: disconnected from amqp:\/\/127\.0\.0\.1:\d+\/.*; waiting\. Ctrl-C is safe: (.*)$/m;
const BACK = /^cqrs: connected to amqp:\/\/127\.0\.0\.1:\d+\/ again; going on\.$/m;
/** What it says besides its progress. */
const said = ({ err }: CqrsProcess): string[] => err.split('\n').filter((line) => line.startsWith('cqrs: '));

describe('sync', () => {
  const SENDING = /^[1-9][\d,]* rows with/m;

  test('says that it waits and that it goes on, and sends every row', async () => {
    await using command = start('sync -c account -b 100 --progress --json');
    await command.until(SENDING);
    wire.refuse();
    const [, ifStopped] = await command.until(AWAY);
    expect(ifStopped).toMatch(/^continue with --after '\d+'$/);
    wire.heal();
    await command.until(BACK);
    expect(await command.exited).toBe(0);
    expect(JSON.parse(command.out)).toMatchObject({ synced: ROWS, unroutable: 0, failed: 0 });
    expect(said(command)).toEqual([expect.stringMatching(AWAY), expect.stringMatching(BACK)]);
  });

  test('can be stopped meanwhile, and goes on where it was', async () => {
    await using command = start('sync -c account -b 100 --progress');
    await command.until(SENDING);
    wire.refuse();
    await command.until(AWAY);
    command.kill('SIGINT');
    expect(await command.exited).toBe(1);
    const [, key] = await command.until(/^cqrs: stopped before the end; continue with --after '(\d+)'$/m);
    const { out } = await service.shell(`cqrs sync -c account --after ${key} --json`);
    expect(JSON.parse(out)).toMatchObject({ synced: ROWS - Number(key) });
  });
});

const asked = (question: string): Promise<unknown> =>
  service.cqrs.events.next('cqrs.replica.asked', { matching: (fields) => fields.question === question });

test.each<[string, (command: CqrsProcess) => Promise<unknown>]>([
  ['its first question', () => asked('describe')],
  ['a question about all rows', () => asked('digests')],
  ['its wait for what is in flight', (command) => command.until(/^waiting: /m)],
])('reconcile that loses the broker during %s goes on with it', async (_, begun) => {
  const keys = [1, 2, 3].map((key) => `--key ${key}`).join(' ');
  await service.sql('delete from account where id > 100 /* cqrs */');
  await service.emptyQueue(); // of what sync has sent
  const worker = service.cqrs.createConsumer();
  await worker.start();
  await service.untilAnswered();
  try {
    wire.delay(200); // so that the answer is still on its way
    await using command = start(`reconcile -c account -q ${queue} --settle-seconds 1 --progress --json`);
    await begun(command);
    wire.refuse();
    await command.until(AWAY);
    wire.heal();
    await command.until(BACK);
    expect([await command.exited, said(command).length]).toEqual([0, 2]);
    expect(JSON.parse(command.out)).toMatchObject({ masterRows: 100, unrepaired: 0, stopped: false });
    const again = await service.shell(`cqrs reconcile -c account -q ${queue} --settle-seconds 0 ${keys}`);
    expect(again.code).toBe(0);
  } finally {
    await worker.stop();
    await service.sql('delete from account_ref');
  }
});

test('dead-letters list and retry say how far they came, lose none, and retry finishes the next time', async () => {
  const count = 1_000;
  await service.cqrs.connect();
  const state = async (name: string): Promise<number> => (await service.cqrs.transport.inspect(name))!.messages;
  const before = await state(queue);
  await service.cqrs.transport.publish(
    Array.from({ length: count }, (_, id) => ({
      route: { cqrsId: 'account', queue: deadLetterQueue },
      body: saveOf(id),
    })),
  );
  await using list = start('dead-letters list --limit 0 --json');
  await list.until(/"id"/);
  wire.refuse();
  expect(await list.exited).toBe(1);
  expect(said(list)).toEqual([expect.stringMatching(/^cqrs: amqp:.*\. What was printed is not all\.$/)]);
  wire.heal();

  await using command = start('dead-letters retry --json');
  await command.until(/"put back"/);
  wire.refuse();
  expect(await command.exited).toBe(1);
  expect(said(command)).toEqual([
    expect.stringMatching(
      /^cqrs: amqp:\/\/127\.0\.0\.1:\d+\/.*[^.]\. \d+ put back, the others are where they were\. Run it again to go on\.$/,
    ),
  ]);
  for (const line of command.out.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ ok: true });
  expect((await service.shell('cqrs dead-letters retry')).code).toBe(0);
  expect(await state(deadLetterQueue)).toBe(0);
  // One may have come twice: its copy was there, and the word that it may go was lost.
  expect((await state(queue)) - before - count).toBeGreaterThanOrEqual(0);
  expect((await state(queue)) - before - count).toBeLessThanOrEqual(1);
});
