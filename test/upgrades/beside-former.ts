import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs, master, MasterEntity, replica, ReplicaEntity } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { tap } from '../interop/support/tap.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase } from '../support/database.js';
import { foreignWrites, SteadyWriters, versionOf, writesOf } from '../support/steady-writers.js';

/**
 * This release beside a process of a former one, which captures at the driver, knows nothing of triggers, and relays
 * without lifting the sequence of incarnations. With triggers another program writes as well. Nothing may be lost: in the
 * end the replica has what the master has, and every write was told.
 *
 *   node scripts/with-servers.ts tsx test/upgrades/beside-former.ts [driver | trigger]
 */

const capture = process.argv[2] === 'driver' ? 'driver' : 'trigger';

/** The last release candidate in which capture knew the driver alone. */
const FORMER = '37934a0';
const WRITES = 400;
const root = fileURLToPath(new URL('../../', import.meta.url));

await using stack = new AsyncDisposableStack();
const [bank, shop] = [await createDatabase(), await createDatabase()];
stack.defer(() => shop.drop());
stack.defer(() => bank.drop());
const exchange = uniqueName('former');
const queue = `${exchange}_shop`;
stack.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));

const properties = { id: p.integer().primary().autoincrement(false), name: p.text() };
const Thing = master(defineEntity({ name: 'Thing', extends: MasterEntity, properties }), { id: 'thing' });
const Ref = replica(defineEntity({ name: 'Ref', tableName: 'ref', extends: ReplicaEntity, properties }), {
  id: 'thing',
});

async function service(url: string, entity: unknown, options: object): Promise<{ orm: MikroORM; cqrs: Cqrs }> {
  const transport = new RabbitMQTransport({ url: amqpUrl });
  const cqrs = new Cqrs({ transport, exchange, relay: { pollIntervalMs: 50 }, ...options });
  const orm = await MikroORM.init({ clientUrl: url, entities: [entity as never], extensions: [cqrs] });
  stack.defer(async () => {
    await cqrs.stop();
    await orm.close();
  });
  await orm.schema.create();
  return { orm, cqrs };
}

const now = await service(bank.url, Thing, { master: { capture } });
const replicas = await service(shop.url, Ref, { queue });
const consumer = replicas.cqrs.createConsumer();
await consumer.start();
stack.defer(() => consumer.stop());
const heard = stack.use(await tap(exchange, ['thing']));
await now.cqrs.start();
const other = new pg.Client({ connectionString: bank.url });
await other.connect();
stack.defer(() => other.end());

const writers = new SteadyWriters();
stack.defer(() => writers.stop());
const former = await startFormer();
writers.start('now', writesOf(now.orm));
if (capture === 'trigger') writers.start('other', foreignWrites(other));
await writers.more(WRITES);
await writers.stop();
const byFormer = Number(await former.end());

const rows = (orm: MikroORM, table: string): Promise<object[]> =>
  orm.em.getConnection().execute(`select id, name, cqrs_revision, cqrs_incarnation from ${table} order by id`);
const captured = async (): Promise<number> => (await other.query('select from cqrs_captured limit 1')).rowCount!;
while ((capture === 'trigger' && (await captured()) > 0) || (await now.cqrs.outboxState())!.depth > 0);
while ((await replicas.cqrs.transport.inspect(queue))!.messages > 0);
await consumer.stop();
const [here, there] = [await rows(now.orm, 'thing'), await rows(replicas.orm, 'ref')];
const different = here.filter((row, index) => JSON.stringify(row) !== JSON.stringify(there[index])).length;
const dead = (await replicas.cqrs.transport.inspect(`dead_letter_${queue}`))?.messages ?? 0;
const written = writers.written + byFormer;
const told = new Set(heard.heard.map(({ body }) => versionOf(JSON.stringify(body))));
process.stdout.write(
  `beside ${FORMER}, by ${capture}: ${written} writes (${byFormer} by it), ${told.size} told in ${heard.heard.length} messages, ` +
    `${here.length} rows, ${different + Math.abs(here.length - there.length)} differ, ${dead} dead letters\n`,
);
if (told.size !== written || different > 0 || here.length !== there.length || dead > 0) process.exitCode = 1;

async function startFormer(): Promise<{ end(): Promise<string> }> {
  const folder = `${root}.cache/former-${FORMER}`;
  if (!existsSync(`${folder}/src/index.ts`)) {
    mkdirSync(folder, { recursive: true });
    execFileSync('bash', ['-c', `git archive ${FORMER} src package.json tsconfig.json | tar -x -C "$0"`, folder], {
      cwd: root,
    });
  }
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('former-writer.ts', import.meta.url))],
    {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        FORMER_SOURCES: `${folder}/src`,
        FORMER_DATABASE: bank.url,
        FORMER_AMQP: amqpUrl,
        FORMER_EXCHANGE: exchange,
      },
    },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the former release has ended');
    return value as string;
  };
  await line();
  return {
    end: () => {
      child.stdin.end();
      return line();
    },
  };
}
