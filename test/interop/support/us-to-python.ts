import type { CqrsOptions } from '../../../src/cqrs.js';
import { deleteTopology, uniqueName } from '../../support/broker.js';
import { createDatabase } from '../../support/database.js';
import { masters } from '../models/our-masters.js';
import { eventually } from './eventually.js';
import { type OurService, ourService } from './our-service.js';
import { PythonWorker } from './python-worker.js';
import type { TransportPair } from './transports.js';
import { TwoDatabases } from './two-databases.js';

/** A master of ours and a Python replica, on real servers. */
export interface UsToPython extends AsyncDisposable {
  readonly ours: OurService;
  readonly worker: PythonWorker;
  readonly databases: TwoDatabases;
  readonly exchange: string;
  readonly queue: string;
  readonly replicaUrl: string;
  /** How many messages wait in a queue. */
  waitingIn(queue: string): Promise<number>;
}

export async function usToPython(pair: TransportPair, settings: Partial<CqrsOptions> = {}): Promise<UsToPython> {
  const [masterDatabase, replicaDatabase] = await Promise.all([createDatabase(), createDatabase()]);
  const exchange = uniqueName('interop');
  const queue = `${exchange}_replica`;
  const worker = new PythonWorker({ transport: pair.python, databaseUrl: replicaDatabase.url, exchange, queue });
  const ours = await ourService(masterDatabase.url, masters, {
    transport: pair.ours(),
    exchange,
    relay: { pollIntervalMs: 100 },
    ...settings,
  });
  await ours.orm.schema.create();
  await ours.cqrs.start();
  await workerReady(ours, queue, worker);
  const databases = await TwoDatabases.open({ master: masterDatabase.url, replica: replicaDatabase.url });
  return {
    ours,
    worker,
    databases,
    exchange,
    queue,
    replicaUrl: replicaDatabase.url,
    waitingIn: async (name) => (await ours.cqrs.transport.inspect(name))?.messages ?? 0,
    async [Symbol.asyncDispose]() {
      await Promise.all([worker[Symbol.asyncDispose](), ours[Symbol.asyncDispose](), databases[Symbol.asyncDispose]()]);
      await Promise.all([masterDatabase.drop(), replicaDatabase.drop()]);
      await deleteTopology(exchange, [queue, `dead_letter_${queue}`]);
    },
  };
}

/**
 * Waits until the Python worker consumes: it has made its tables, its queue and all bindings by then.
 * @param consumers how many there are then on the queue.
 */
export async function workerReady(
  { cqrs }: OurService,
  queue: string,
  worker: PythonWorker,
  consumers = 1,
): Promise<void> {
  await cqrs.connect();
  const state = await eventually(
    () => cqrs.transport.inspect(queue),
    (found) => (found?.consumers ?? 0) >= consumers,
  );
  if ((state?.consumers ?? 0) < consumers)
    throw new Error(`the Python worker never came up:\n${worker.log.join('\n')}`);
}
