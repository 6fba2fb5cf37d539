import { connect } from 'amqplib';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { serviceWith } from './service/service.js';
import type { ScaleOptions } from './scale-options.js';
import { WatchedCommand } from './watched-command.js';

const PURGE_EVERY_MS = 1_000;

/** `cqrs sync` beside `cqrs relay`: every row reaches the queue, and the memory of both stays flat. */
export async function runSync({ rows, table, say }: ScaleOptions): Promise<boolean> {
  const exchange = uniqueName('scale');
  const queue = `${exchange}_replica`;
  await using broker = new AsyncDisposableStack();
  broker.defer(() => deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]));
  await using master = await serviceWith(rows, { table, exchange });
  await using _replica = await serviceWith(0, { exchange, queue });
  const connection = await connect(amqpUrl);
  broker.defer(() => connection.close());
  const channel = await connection.createChannel();
  let arrived = 0;
  // Nobody reads it, and the broker is not what is measured.
  const purge = async (): Promise<void> => void (arrived += (await channel.purgeQueue(queue)).messageCount);
  await using relay = new WatchedCommand(['relay'], { rows, env: master.env });
  await using sync = new WatchedCommand(['sync', '-c', table, '--progress', '--json'], {
    rows,
    env: master.env,
    onProgress: (done) => relay.reached(done),
  });
  let purging = Promise.resolve();
  const purges = setInterval(() => void (purging = purging.then(purge)), PURGE_EVERY_MS);
  try {
    const { out } = await sync.ended;
    const result = JSON.parse(out) as { synced: number };
    relay.stop();
    await relay.ended;
    clearInterval(purges);
    await purging.then(purge);
    say(`${rows} rows: ${result.synced} sent, ${arrived} in the queue`);
    const flat = [sync.tell(say), relay.tell(say)].every(Boolean);
    return flat && result.synced === rows && arrived === rows;
  } finally {
    clearInterval(purges);
    await purging.catch(() => {});
  }
}
