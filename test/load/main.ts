/**
 * `npm run test:load [-- --full] [-- --messages N] [-- --letters N] [-- --seconds N] [-- --only backlog,slow,letters,
 * poison,outbox] [-- --json] [-- --report]`: how the relay and the worker hold up under much: a backlog, an outage, dead
 * letters, one poison key, a slow database. Each part runs in a process of its own whose memory is watched. Small by
 * default; `--full` is a million messages and 100 000 dead letters. `--report` keeps the figures in
 * test/load/report.json, from which docs/guarantees.md takes them.
 */
import { parseArgs } from 'node:util';
import { Proxy } from '../faults/proxy.ts';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.ts';
import { createDatabase } from '../support/database.ts';
import { Publisher } from './broker.ts';
import { backlog, backPressure, deadLetters, type Load, outbox, poison, type Stage } from './loads.ts';
import { machine } from './machine.ts';
import { keepLoads, LOAD_HEAD, loadRow } from './report.ts';
import { openMaster, openReplica, queueOf, queuesOf, type Scene } from './scene.ts';

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    messages: { type: 'string' },
    letters: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});
const messages = Number(values.messages ?? (values.full ? 1_000_000 : 10_000));
const letters = Number(values.letters ?? (values.full ? 100_000 : 1_000));
const seconds = Number(values.seconds ?? (values.full ? 20 : 3));

const LOADS: Readonly<Record<string, (stage: Stage) => Promise<Load | Load[]>>> = {
  backlog: (stage) => backlog(stage, messages),
  slow: (stage) => backPressure(stage, Math.min(messages, 20_000)),
  letters: (stage) => deadLetters(stage, letters),
  poison: (stage) => poison(stage, seconds),
  outbox: (stage) => outbox(stage, messages),
};
const chosen = values.only?.split(',') ?? Object.keys(LOADS);
const unknown = chosen.filter((name) => !(name in LOADS));
if (unknown.length > 0) throw new Error(`no load is called ${unknown.join(', ')}: ${Object.keys(LOADS).join(', ')}`);

const loads: Load[] = [];
const tell = async ({ scene }: Stage, done: Load[]): Promise<void> => {
  loads.push(...done);
  for (const load of done) console.log(values.json ? JSON.stringify(load) : loadRow(load));
  // One by one: a run may take an hour.
  if (values.report)
    keepLoads(
      done.filter(({ problems }) => problems.length === 0),
      await machine(scene),
    );
};
if (!values.json) console.log(LOAD_HEAD);
{
  const [masterDb, replicaDb] = [await createDatabase(), await createDatabase()];
  const proxy = await Proxy.before(amqpUrl);
  const scene: Scene = {
    masterUrl: masterDb.url,
    replicaUrl: replicaDb.url,
    relayAmqpUrl: proxy.through(amqpUrl),
    amqpUrl,
    exchange: uniqueName('load'),
  };
  const [master, replica] = [await openMaster(scene), await openReplica(scene)];
  try {
    await master.orm.schema.create();
    await replica.orm.schema.create();
    // The queue keeps nothing from before it exists.
    await using consumer = replica.cqrs.createConsumer();
    await consumer.start();
    await consumer.stop();
    await using publisher = await Publisher.join();
    const stage: Stage = { scene, master, replica, proxy, publisher };
    for (const name of chosen) await tell(stage, [await LOADS[name]!(stage)].flat());
    if ((await publisher.ready(`unreadable_${queueOf(scene)}`)) > 0) throw new Error('messages could not be read');
  } finally {
    await Promise.all([master.cqrs.stop(), replica.cqrs.stop()]);
    await Promise.all([master.orm.close(), replica.orm.close()]);
    await proxy[Symbol.asyncDispose]();
    await Promise.all([masterDb.drop(), replicaDb.drop()]);
    await deleteTopology(scene.exchange, queuesOf(scene));
  }
}
const failed = loads.filter(({ problems }) => problems.length > 0);
if (!values.json) console.log(`\nload: ${loads.length - failed.length} held, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
