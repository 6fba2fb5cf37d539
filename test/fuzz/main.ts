/**
 * `npm run test:fuzz [-- --count 100000] [-- --broker 4000] [-- --seed N] [-- --only INDEX]`: hostile messages through
 * consumer and applier into PostgreSQL, most of them over the memory transport, some over RabbitMQ. Each has exactly one
 * end; nothing crashes, hangs, changes a prototype, or writes row data or a line without end into the log. The kept cases
 * of corpus.ts come first. The seed replays a run; a message depends on the seed and its index alone, which `--only`
 * sends once more.
 */
import { parseArgs } from 'node:util';
import { MemoryBroker } from '../../src/index.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.ts';
import { corpus } from './corpus.ts';
import { WatchedTransport } from './in-process.ts';
import { type Hostile, hostileMessage } from './messages.ts';
import { Stranger } from './real-broker.ts';
import { openReplica } from './replica.ts';
import { Watch } from './watch.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    broker: { type: 'string', default: '4000' },
    seed: { type: 'string' },
    only: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const CHUNK = 1_000;
const PATIENCE_MS = 60_000;
const problems: string[] = [];
process.on('uncaughtException', (error) => {
  for (const problem of new Set(problems)) console.error(`fuzz: ${problem}`);
  console.error(`fuzz: a crash or a hang (seed ${seed})`, error);
  process.exit(1);
});

console.log(`fuzz: seed ${seed} (replay with --seed ${seed})`);
await inProcess(values.only === undefined ? Number(values.count) : 0);
if (values.only === undefined) await overRabbitMQ(Number(values.broker));
else await once(Number(values.only));
for (const problem of problems.slice(0, 20)) console.error(`fuzz: ${problem}`);
console.log(problems.length === 0 ? 'fuzz: passed' : `fuzz: ${problems.length} problems (seed ${seed})`);
process.exitCode = problems.length === 0 ? 0 : 1;

async function inProcess(count: number): Promise<void> {
  const queue = 'fuzz';
  const transport = new WatchedTransport(new MemoryBroker(), queue, (problem) => problems.push(problem));
  await using replica = await openReplica(transport, 'fuzz', queue);
  await using consumer = replica.cqrs.createConsumer();
  using watch = new Watch(replica.cqrs, problems);
  await consumer.start();

  const kept = corpus();
  for (const one of kept) {
    const before = watch.ended;
    transport.put(one);
    await watch.until(before + 1, PATIENCE_MS);
    if (watch.lastEnd !== one.end) problems.push(`'${one.name}' ended ${watch.lastEnd} instead of ${one.end}`);
    watch.check();
  }
  console.log(`fuzz: ${kept.length} kept cases`);

  const began = performance.now();
  for (let sent = 0; sent < count;) {
    const before = watch.ended;
    const upTo = Math.min(count, sent + CHUNK);
    for (let index = sent; index < upTo; index++) transport.put(hostileMessage(seed, index));
    await watch.until(before + upTo - sent, PATIENCE_MS);
    watch.check();
    sent = upTo;
  }
  report(`${count} messages in this process`, watch, began);
}

async function overRabbitMQ(count: number): Promise<void> {
  const exchange = uniqueName('fuzz');
  const queue = `${exchange}_queue`;
  const queues = [queue, `dead_letter_${queue}`, `unreadable_${queue}`, `${queue}.delay.10`];
  {
    await using replica = await openReplica(new RabbitMQTransport({ url: amqpUrl }), exchange, queue);
    await using consumer = replica.cqrs.createConsumer();
    using watch = new Watch(replica.cqrs, problems);
    await consumer.start();
    await using stranger = await Stranger.join(exchange, queue);
    const began = performance.now();
    const send = async (messages: Iterable<Hostile>): Promise<void> => {
      let sent = 0;
      for (const message of messages) if (stranger.send(message)) sent++;
      const before = watch.ended;
      await stranger.confirmed();
      await watch.until(before + sent, PATIENCE_MS);
      watch.check();
    };
    for (const one of corpus()) await send([one]);
    for (let from = 0; from < count; from += CHUNK) {
      await send(
        Array.from({ length: Math.min(CHUNK, count - from) }, (_, index) => hostileMessage(seed, from + index)),
      );
    }
    report(`${watch.ended} messages over RabbitMQ`, watch, began);
    for (const [name, expected] of [
      [queue, 0],
      [`dead_letter_${queue}`, watch.ends['dead-lettered']],
      [`unreadable_${queue}`, watch.ends.unreadable],
    ] as const) {
      const found = await stranger.depth(name);
      if (found !== expected) problems.push(`${found} messages in ${name} instead of ${expected}`);
    }
  }
  await deleteTopology(exchange, queues);
}

/** One message of a run, with what it is and what becomes of it. */
async function once(index: number): Promise<void> {
  const transport = new WatchedTransport(new MemoryBroker(), 'fuzz', (problem) => problems.push(problem));
  await using replica = await openReplica(transport, 'fuzz', 'fuzz');
  await using consumer = replica.cqrs.createConsumer();
  replica.cqrs.events.onAny((name, fields) => console.log(name, fields));
  using watch = new Watch(replica.cqrs, problems);
  await consumer.start();
  const message = hostileMessage(seed, index);
  console.log(message.body.toString(), message);
  transport.put(message);
  await watch.until(1, PATIENCE_MS);
  report(`message ${index}`, watch, performance.now());
}

function report(what: string, watch: Watch, began: number): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const ends = Object.entries(watch.ends).map(([end, count]) => `${count} ${end}`);
  console.log(
    `fuzz: ${what} in ${seconds} s: ${ends.join(', ')}; ${watch.retried} retries, ${watch.splits} batches split, ${watch.lines} log lines`,
  );
}
