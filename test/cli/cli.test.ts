import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import { COMMANDS } from '../../src/cli/commands.js';
import type { Cqrs } from '../../src/cqrs.js';
import { Events } from '../../src/kernel/events.js';
import { EXTENSION } from '../../src/kernel/extension.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { saveOf, numbers } from '../messaging/inbox/harness.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { CqrsProcess, isAlive } from './cqrs-process.js';
import { Account } from './service/entities.js';

const exchange = uniqueName('cli');
const queue = uniqueName('cli');
const env: Record<string, string> = {
  CLI_TEST_AMQP: amqpUrl,
  CLI_TEST_EXCHANGE: exchange,
  CLI_TEST_QUEUE: queue,
  MIKRO_ORM_CLI_CONFIG: 'test/cli/service/mikro-orm.config.ts',
};
let database: TestDatabase;
let orm: MikroORM;
let transport: RabbitMQTransport;

const cqrs = (...args: string[]): CqrsProcess => new CqrsProcess(args, env);
const consuming = /consuming \S+ for \S+/;

beforeAll(async () => {
  database = await createDatabase();
  env['CLI_TEST_DATABASE'] = database.url;
  Object.assign(process.env, env);
  const { default: config } = await import('./service/mikro-orm.config.js');
  orm = await MikroORM.init(config);
  await orm.schema.create();
  transport = new RabbitMQTransport({ url: amqpUrl });
  await transport.connect({ events: new Events(), exchange, publishTimeoutMs: 10_000 });
});

afterAll(async () => {
  await orm?.config.getExtension<Cqrs>(EXTENSION)?.stop();
  await orm?.close(true);
  await transport?.close();
  const queues = [queue, `${queue}.account`, `${queue}.stuck`];
  await deleteTopology(
    exchange,
    queues.flatMap((name) => [name, `dead_letter_${name}`, `unreadable_${name}`]),
  );
  await database?.drop();
});

async function send(cqrsId: string, ...ids: number[]): Promise<void> {
  const results = await transport.publish(
    ids.map((id) => ({ route: { cqrsId, queue: null }, body: saveOf(id, { cqrs_id: cqrsId }) })),
  );
  expect(results.every((result) => result === 'confirmed')).toBe(true);
}

async function rowsFrom(first: number): Promise<number> {
  const rows = await orm.em
    .getConnection()
    .execute(`select count(*)::int as count from account_ref where id >= ${first}`);
  return rows[0]!.count;
}

describe('a command line that cannot be obeyed ends with 2 and one line', () => {
  test.each([
    [['consume', '--bogus'], "cqrs: Unknown option '--bogus'. See: cqrs consume --help"],
    [['consume', '--ignore-paths', 'dist'], 'cqrs: --ignore-paths needs --reload.'],
    [['status', '--config', 'nowhere.config.ts'], /^cqrs: .*nowhere\.config\.ts/],
    [['sync', '--cqrs-id', 'account', '--filter', '{"nothing":1}'], /^cqrs: --filter: .*Account.nothing/],
    [
      ['sync', '--cqrs-id', 'account', '--after', '"x"'],
      /^cqrs: --after: \["x"\] is no key of account, whose key is \(id int\)\./,
    ],
    [
      ['consume', '--cqrs-id', 'account', '--queue', queue],
      `cqrs: --cqrs-id cannot consume '${queue}': it is the queue of the whole service, and messages of other ids would be lost to it. Leave out --queue, or name another.`,
    ],
  ])('cqrs %p', async (args, expected) => {
    await using process = cqrs(...args);
    expect(await process.exited).toBe(2);
    expect(process.err.trimEnd().split('\n')).toEqual([
      typeof expected === 'string' ? expected : expect.stringMatching(expected),
    ]);
  });

  // Dead letters may be of any id: they are there because nobody knows it. What the broker refuses stays when a master goes.
  const withIds = COMMANDS.filter(
    ({ name, options }) => 'cqrs-id' in options && !/^(dead-letters|refused) /.test(name),
  );
  test.each(withIds.map(({ name }) => [name]))('cqrs %s of an id that the service does not have', async (name) => {
    await using process = cqrs(name, '--cqrs-id', 'ghost', ...(name === 'reconcile' ? ['--queue', queue] : []));
    expect(await process.exited).toBe(2);
    expect(process.out).toBe('');
    expect(process.err).toMatch(/^cqrs: [^\n]*'ghost'[^\n]*\n$/);
    expect(existsSync('ghost.dump')).toBe(false);
  });

  test('a configuration without a Cqrs', async () => {
    await using process = new CqrsProcess(['status'], { ...env, CLI_TEST_WITHOUT_CQRS: '1' });
    expect(await process.exited).toBe(2);
    expect(process.err).toMatch(/has no Cqrs; add it: extensions/);
  });

  test('a configuration that cannot be loaded, told once by many workers', async () => {
    await using process = new CqrsProcess(['consume', '-w', '2'], { ...env, CLI_TEST_QUEUE: 'with blanks' });
    expect(await process.exited).toBe(2);
    expect(process.err.match(/settings\.queue/g)).toHaveLength(1);
  });

  test('a database without our tables', async () => {
    const empty = await createDatabase();
    await using process = new CqrsProcess(['status'], { ...env, CLI_TEST_DATABASE: empty.url });
    expect(await process.exited).toBe(2);
    expect(process.err).toMatch(/"account_ref" does not exist\. Run `npx cqrs schema/);
    await empty.drop();
  });

  test('an id without a replica, told once and not tried again by the supervisor', async () => {
    await using process = cqrs('consume', '-w', '3', '--cqrs-id', 'ghost');
    expect(await process.exited).toBe(2);
    expect(process.err.match(/'ghost'/g)).toHaveLength(1);
    expect(process.err).not.toMatch(/started again/);
  });
});

describe('cqrs --help', () => {
  test('names every command, and each has examples', async () => {
    await using overview = cqrs('--help');
    expect(await overview.exited).toBe(0);
    expect(overview.out).toMatch(/consume .*\n.*relay .*\n.*status .*\n(.*\n)*.*sync /);
    await using manual = cqrs('consume', '--help');
    expect(await manual.exited).toBe(0);
    expect(manual.out).toMatch(/-w, --workers <n>/);
    expect(manual.out).toMatch(/Examples:\n {2}cqrs consume\n/);
  });
});

describe('a service in four commands', () => {
  test('relay, consume, status and sync do the main job', async () => {
    await using consumer = cqrs('consume');
    await consumer.until(consuming);
    const em = orm.em.fork();
    for (const id of [1, 2, 3]) em.create(Account, { id, name: `account ${id}` });
    await em.flush();

    await using before = cqrs('status', '--json');
    expect(await before.exited).toBe(0);
    expect(JSON.parse(before.out)).toMatchObject({
      outbox: { depth: 3, oldestAgeMs: expect.any(Number) },
      broker: { error: null },
      queues: [
        { role: 'queue', name: queue, state: { messages: 0, consumers: 1 } },
        { role: 'dead letters', name: `dead_letter_${queue}`, state: { messages: 0 } },
        { role: 'unreadable', name: `unreadable_${queue}` },
      ],
      replicas: [
        { cqrsId: 'account', rows: 0, lastUpdated: null },
        { cqrsId: 'stuck', rows: 0 },
      ],
    });

    await using relay = cqrs('relay');
    await relay.until(/relay started/);
    relay.kill('SIGTERM');
    expect(await relay.exited).toBe(0);
    consumer.kill('SIGTERM');
    expect(await consumer.exited).toBe(0);
    expect(consumer.err).toMatch(/3 messages of \S+ done, .* behind at most/);

    await using after = cqrs('status');
    expect(await after.exited).toBe(1);
    expect(after.out).toMatch(/^DEAD\n {2}dead: +no worker consumes \S+: start cqrs consume$/m);
    expect(after.out).toMatch(/^outbox +0 waiting$/m);
    expect(after.out).toMatch(/^replica account +3 rows, last change of the master applied: 20\d\d-/m);

    await using sync = cqrs('sync', '--cqrs-id', 'account', '--filter', '{"id":{"$gt":1}}', '--queue', queue);
    expect(await sync.exited).toBe(0);
    expect(sync.out).toBe(`account: 2 rows sent to queue ${queue}, 0 withdrawn that no longer match.\n`);
    expect(await transport.inspect(queue)).toMatchObject({ messages: 2 });

    await using lost = cqrs('sync', '--cqrs-id', 'account', '--queue', 'nowhere');
    expect(await lost.exited).toBe(1);
    expect(lost.err).toMatch(/3 messages reached no queue; is 'nowhere' the queue of a replica of account\?/);
  });

  test('sync is stopped by Ctrl-C, says how to continue, and continues there', async () => {
    const id = 'account';
    await orm.em
      .getConnection()
      .execute(`insert into account (id, name) select n, 'a' from generate_series(1000, 1059) n /* cqrs */`);
    await using stopped = cqrs('sync', '-c', id, '-f', '{"id":{"$gte":1000}}', '--rate', '20', '--progress');
    await stopped.until(/^20 rows/m);
    stopped.kill('SIGINT');
    expect(await stopped.exited).toBe(1);
    const [, key] = await stopped.until(/^cqrs: stopped before the end; continue with --after '(\d+)'$/m);
    const sent = Number(/account: (\d+) rows sent/.exec(stopped.out)![1]);
    expect(Number(key)).toBe(999 + sent);
    await using rest = cqrs('sync', '-c', id, '--after', key!, '--json');
    expect(await rest.exited).toBe(0);
    expect(JSON.parse(rest.out)).toEqual({
      synced: 60 - sent,
      withdrawn: 0,
      unroutable: 0,
      refused: 0,
      lastKey: ['1059'],
      failed: 0,
    });
    await orm.em.getConnection().execute('delete from account where id >= 1000 /* cqrs */');
  });

  test('refused: what the broker refuses is listed with its reason, tried again, dropped', async () => {
    const held = (n: number): string =>
      `(-${n}, 1, 'account', 'SAVE', '["${n}"]', '{"name":"SECRET"}', now(), 'refused', 'too long', false, 3, null, now())`;
    await orm.em.getConnection().execute(
      `insert into cqrs_held (id, bucket, cqrs_id, signal, key, body, created_at, state, reason, passing, attempts, retry_at, held_at)
       values ${[1, 2, 3].map(held).join(', ')}`,
    );
    await using list = cqrs('refused', 'list', '-c', 'account', '--limit', '2');
    expect(await list.exited).toBe(0);
    expect(list.out.trim().split('\n')).toEqual([
      expect.stringMatching(/^-3 .* SAVE .*\["3"\] .*attempts 3 .*waits for an operator .*0 behind it .*too long$/),
      expect.stringMatching(/^-2 /),
    ]);
    expect(list.out).not.toContain('SECRET');
    await using drop = cqrs('refused', 'drop', '-c', 'account', '--yes');
    expect(await drop.exited).toBe(0);
    expect(drop.out).toMatch(/^3 refused messages dropped/);
    await using retry = cqrs('refused', 'retry');
    expect(await retry.exited).toBe(0);
    expect(retry.out).toMatch(/^0 refused messages/);
  });

  test('--cqrs-id consumes a queue of its own', async () => {
    await using process = cqrs('consume', '--cqrs-id', 'account', '--json');
    await process.until(/"cqrs.consumer.started"/);
    expect(process.err).toContain(`"queue":"${queue}.account","cqrsIds":["account"]`);
    process.kill('SIGINT');
    expect(await process.exited).toBe(0);
  });
});

describe('cqrs consume -w', () => {
  const started = (worker: number): RegExp => new RegExp(`worker ${worker} started \\(pid (\\d+)\\)`);
  const pidOf = async (process: CqrsProcess, worker: number): Promise<number> =>
    Number((await process.until(started(worker)))[1]);
  const consumes = (worker: number): RegExp => new RegExp(`\\[worker ${worker}\\] consuming`);

  test('starts a worker again that was killed, and nothing is lost', async () => {
    await using supervisor = cqrs('consume', '-w', '2');
    await supervisor.until(consumes(1));
    await supervisor.until(consumes(2));
    const pid = await pidOf(supervisor, 1);
    await send('account', ...numbers(2_000).map((id) => 1_000 + id));
    process.kill(pid, 'SIGKILL');
    await supervisor.until(/worker 1 was killed; it is started again in \d+ ms/);
    const [, again] = await supervisor.until(
      /worker 1 was killed[^]*worker 1 started \(pid (\d+)\)[^]*\[worker 1\] consuming/,
    );
    expect(Number(again)).not.toBe(pid);
    supervisor.kill('SIGTERM');
    expect(await supervisor.exited).toBe(0);
    expect(isAlive(Number(again))).toBe(false);
    await using rest = cqrs('consume');
    await rest.until(consuming);
    while ((await rowsFrom(1_000)) < 2_000) await new Promise(setImmediate);
    rest.kill('SIGTERM');
    expect(await rest.exited).toBe(0);
    expect(await transport.inspect(queue)).toMatchObject({ messages: 0 });
  });

  // claims: drains
  test('signals to the whole group, as a terminal sends them, drain once and do not force', async () => {
    await using supervisor = cqrs('consume', '-w', '1');
    await supervisor.until(consumes(1));
    process.kill(await pidOf(supervisor, 1), 'SIGINT');
    supervisor.kill('SIGINT');
    expect(await supervisor.exited).toBe(0);
    expect(supervisor.err).toMatch(/\[worker 1\] stopped consuming/);
  });

  test('workers end when their supervisor is killed', async () => {
    await using supervisor = cqrs('consume', '-w', '1');
    await supervisor.until(consumes(1));
    supervisor.kill('SIGKILL');
    // all output is closed only when the worker has ended, too
    expect(await supervisor.exited).toBe('SIGKILL');
    expect(supervisor.err).toMatch(/\[worker 1\] stopped consuming/);
  });
});

test('cqrs consume --reload starts its workers again, and ends as others do', async () => {
  const ignored = 'src,test,docs,scripts,bench,examples,dist,package.json';
  await using supervisor = cqrs('consume', '--reload', '--ignore-paths', ignored);
  await supervisor.until(/\[worker 1\] consuming/);
  supervisor.kill('SIGHUP');
  await supervisor.until(
    /SIGHUP: starting the workers again[^]*\[worker 1\] stopped consuming[^]*worker 1 exited with 0[^]*\[worker 1\] consuming/,
  );
  supervisor.kill('SIGTERM');
  expect(await supervisor.exited).toBe(0);
});

describe('a second signal ends at once', () => {
  test.each([
    [['consume', '--cqrs-id', 'stuck'], 'SIGTERM', 143],
    [['consume', '--cqrs-id', 'stuck', '-w', '1'], 'SIGINT', 130],
  ] as const)('cqrs %p', async (args, signal, code) => {
    await using process = cqrs(...args);
    await process.until(/consuming/);
    await send('stuck', 1);
    await process.until(/^stuck$/m);
    process.kill(signal);
    await process.until(/stopping/);
    process.kill(signal);
    expect(await process.exited).toBe(code);
  });
});
