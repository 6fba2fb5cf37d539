import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase } from '../support/database.js';
import { accountMaster, AccountRef } from './existing-table/entities.js';

/** The guide's "An existing table of 10 million rows", block by block, on fewer rows. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const ROWS = 5_000;

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function blocksOf(language: string): Promise<string[]> {
  const guide = await readFile(new URL('../../docs/guide.md', import.meta.url), 'utf8');
  const section = /\n## An existing table of 10 million rows\n([^]*?)\n## /.exec(guide)![1]!;
  return [...section.matchAll(new RegExp(`\`\`\`${language}\\n([^\`]*)\`\`\``, 'g'))].map((block) => block[1]!);
}

/** Types a line of the guide in a shell. */
async function shell(line: string, env: Record<string, string>): Promise<string> {
  const script = `npx() {
    case "$1" in
      cqrs) shift; "$NODE" --import tsx src/cli/main.ts "$@" ;;
      mikro-orm) shift; "$NODE" --import tsx node_modules/@mikro-orm/cli/cli.js "$@" ;;
    esac
  }
  ${line}`;
  const child = spawn('bash', ['-c', script], {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE: process.execPath, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`${line} ended with ${String(code)}: ${text}`);
  return text;
}

async function open(url: string, entity: unknown, exchange: string, queue: string | null = null): Promise<Cqrs> {
  const cqrs = new Cqrs({ transport: new RabbitMQTransport({ url: amqpUrl }), exchange, queue });
  const orm = await MikroORM.init({ clientUrl: url, entities: [entity as never], extensions: [cqrs] });
  stack.defer(async () => {
    await cqrs.stop();
    await orm.close();
  });
  return cqrs;
}

// claims: existing-table
test('the steps of the guide, as they are written', async () => {
  const exchange = uniqueName('existing');
  const queue = `${exchange}_shop`;
  stack.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  const [bank, shop] = [await createDatabase(), await createDatabase()];
  stack.defer(() => bank.drop());
  stack.defer(() => shop.drop());
  const env = {
    EXISTING_DATABASE: bank.url,
    EXISTING_AMQP: amqpUrl,
    EXISTING_EXCHANGE: exchange,
    MIKRO_ORM_CLI_CONFIG: 'test/cli/existing-table/mikro-orm.config.ts',
  };
  const before = await MikroORM.init({ clientUrl: bank.url, discovery: { warnWhenNoEntities: false }, entities: [] });
  stack.defer(() => before.close());
  const sql = <T = Record<string, unknown>>(text: string): Promise<T[]> => before.em.getConnection().execute(text);
  await sql('create table account (id serial primary key, name varchar(255) not null)');
  await sql(`insert into account (name) select 'n' || i from generate_series(1, ${ROWS}) i`);
  const file = `select pg_relation_filenode('account') as file`;
  const [fileBefore] = await sql(file);

  const [migration, ...others] = await blocksOf('sql');
  expect(others).toEqual([]);
  for (const statement of migration!.split(';').filter((text) => text.trim())) await sql(statement);
  expect(await sql(file)).toEqual([fileBefore]); // no row was rewritten
  const [schema, sync] = await blocksOf('sh');
  const [dump, update] = schema!.trim().split('\n');
  const printed = await shell(dump!, env);
  const made = [...printed.matchAll(/(?:create table|alter table) "(\w+)"/g)].map(([, name]) => name!);
  expect(made).toContain('cqrs_outbox');
  expect(made.filter((name) => !name.startsWith('cqrs_'))).toEqual(['account']);
  expect(printed).toMatch(/alter table "account"\s+alter column "cqrs_incarnation" set default greatest\([^;]*;/);
  await shell(update!, env);
  expect(await shell(dump!, env)).toContain('Nothing is to be added');
  expect(await sql(file)).toEqual([fileBefore]);

  // 1.
  const silent = await open(bank.url, accountMaster(false), exchange);
  await silent.start();
  const rename = (cqrs: Cqrs, id: number, name: string): Promise<number> =>
    cqrs.orm.em
      .fork()
      .nativeUpdate(cqrs.masters.get('account').meta.class as never, { id } as never, { name } as never);
  await rename(silent, 7, 'changed while nothing is sent');
  expect(await sql('select cqrs_revision from account where id = 7')).toEqual([{ cqrs_revision: 1 }]);
  expect(await sql('select id from cqrs_outbox')).toEqual([]);
  // 2.
  const replica = await open(shop.url, AccountRef, exchange, queue);
  await replica.orm.schema.create();
  const worker = replica.createConsumer();
  await worker.start();
  stack.defer(() => worker.stop());
  // 3.
  await silent.stop();
  const master = await open(bank.url, accountMaster(true), exchange);
  await master.start();
  const applied = replica.events.next('cqrs.inbox.applied');
  await rename(master, 8, 'changed before the sync');
  expect(await applied).toMatchObject({ cqrsId: 'account', instancePk: '8' });
  // 4.
  const line = sync!.trim();
  expect(line).toMatch(/--queue shop$/);
  const running = shell(line.replace(/shop$/, queue), env);
  for (let id = 1; id <= 50; id++) await rename(master, id * 100, `changed beside the sync ${id}`);
  expect(await running).toContain(`account: ${ROWS} rows sent to queue ${queue}`);
  const rows = (cqrs: Cqrs, table: string): Promise<unknown[]> =>
    (cqrs.orm.em as never as typeof before.em)
      .getConnection()
      .execute(`select id, name, cqrs_revision from ${table} order by id`);
  for (let more = true; more;) {
    more = ((await master.transport.inspect(queue))?.messages ?? 0) > 0 || (await master.outboxState())!.depth > 0;
  }
  await worker.stop();
  expect(await rows(replica, 'account_ref')).toEqual(await rows(master, 'account'));
}, 180_000);
