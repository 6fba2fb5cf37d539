/**
 * `npm run test:chaos -- --seconds 20 [--seed N]`: two processes write the same rows while this one kills the relay and
 * the worker at random, on real servers. Succeeds when the databases are equal afterwards and nothing was dead-lettered.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Events } from '../../src/core/events.js';
import { RabbitMQTransport } from '../../src/transport/rabbitmq/index.js';
import { amqpUrl, uniqueName } from '../support/broker.ts';
import { createDatabase } from '../support/database.ts';
import { openMaster, openReplica, queueOf, type Scene } from './services.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' }, seed: { type: 'string' } } });
const seconds = Number(values.seconds);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
console.log(`chaos: ${seconds} s, seed ${seed} (replay with --seed ${seed})`);

const [masterDb, replicaDb] = [await createDatabase(), await createDatabase()];
const scene: Scene = {
  masterUrl: masterDb.url,
  replicaUrl: replicaDb.url,
  amqpUrl,
  exchange: uniqueName('chaos'),
  seed,
};
const master = await openMaster(scene);
const replica = await openReplica(scene);
await master.orm.schema.create();
await replica.orm.schema.create();

function spawn(file: string, env: Record<string, string> = {}, args: string[] = []): ChildProcess {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...env, CHAOS_SCENE: JSON.stringify(scene) },
    execArgv: process.execArgv,
  });
  return child;
}
const ready = (child: ChildProcess): Promise<unknown> => once(child, 'message');

// The worker makes the queue; before that there is nothing that could keep a message.
const victims = { worker: spawn('victim.ts', {}, ['worker']), relay: spawn('victim.ts', {}, ['relay']) };
await Promise.all(Object.values(victims).map(ready));
const writers = [1, 2].map((number) => spawn('writer.ts', { CHAOS_WRITER: String(number) }));
await Promise.all(writers.map(ready));

let kills = 0;
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 1200));
  const name = Math.random() < 0.5 ? 'worker' : 'relay';
  const gone = once(victims[name], 'exit');
  victims[name].kill('SIGKILL');
  await gone;
  kills++;
  victims[name] = spawn('victim.ts', {}, [name]);
  await ready(victims[name]);
}

const results = writers.map(async (writer) => {
  const result = once(writer, 'message');
  writer.kill('SIGTERM');
  return ((await result)[0] as { committed: number }).committed;
});
const committed = (await Promise.all(results)).reduce((sum, count) => sum + count, 0);

// Everything has its end when the outbox and the queues are empty and both tables are the same.
const transport = new RabbitMQTransport({ url: amqpUrl });
await transport.connect({ events: new Events(), exchange: scene.exchange, publishTimeoutMs: 10_000 });
const waiting = async (queue: string): Promise<number> => (await transport.inspect(queue))?.messages ?? 0;
const dump = async (orm: typeof master.orm): Promise<string> =>
  JSON.stringify(
    await orm.em
      .getConnection()
      .execute('select id, value, text, cqrs_revision, cqrs_incarnation from chaos_row order by id'),
  );
let equal = false;
for (const deadline = performance.now() + 60_000; performance.now() < deadline && !equal;) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  if ((await master.cqrs.outboxState())!.depth > 0 || (await waiting(queueOf(scene))) > 0) continue;
  equal = (await dump(master.orm)) === (await dump(replica.orm));
}
const dead = (await waiting(`dead_letter_${queueOf(scene)}`)) + (await waiting(`unreadable_${queueOf(scene)}`));

for (const child of Object.values(victims)) {
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}
if (!equal) console.log(`master  ${await dump(master.orm)}\nreplica ${await dump(replica.orm)}`);
await transport.close();
await Promise.all([master.orm.close(), replica.orm.close()]);
await Promise.all([masterDb.drop(), replicaDb.drop()]);

console.log(
  `chaos: ${committed} changes committed, ${kills} processes killed, ${dead} dead letters, databases ${equal ? 'equal' : 'DIFFER'}`,
);
process.exitCode = equal && dead === 0 && committed > 0 && kills > 0 ? 0 : 1;
