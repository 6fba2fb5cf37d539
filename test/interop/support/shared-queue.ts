import type { CqrsEventName } from '../../../src/kernel/events.js';
import { deleteTopology, uniqueName } from '../../support/broker.js';
import { createDatabase } from '../../support/database.js';
import { FragileRef, StockRef } from '../models/our-replicas.js';
import { type OurService, ourService } from './our-service.js';
import { PythonWorker } from './python-worker.js';
import type { TransportPair } from './transports.js';
import { workerReady } from './us-to-python.js';

/** One replica service on its way from Python to us, or back: a worker of each on one queue and one database. */
export interface SharedQueue extends AsyncDisposable {
  readonly ours: OurService;
  readonly worker: PythonWorker;
  readonly exchange: string;
  readonly replicaUrl: string;
  /** What the tables of the first needed before the other could join. */
  readonly migration: readonly string[];
  /** How many such events our half has told of. */
  count(event: CqrsEventName): number;
}

/** @param first whose tables and queue they are; the other one joins. */
export async function sharedQueue(pair: TransportPair, first: 'Python' | 'ours'): Promise<SharedQueue> {
  const database = await createDatabase();
  const exchange = uniqueName('interop');
  const queue = `${exchange}_replica`;
  const names = { exchange, queue };
  const ours = await ourService(database.url, [StockRef, FragileRef], {
    ...names,
    transport: pair.ours(),
    replica: { retryDelaySeconds: 0.1 },
  });
  const heard: CqrsEventName[] = [];
  ours.cqrs.events.onAny((name) => heard.push(name));
  const consumer = ours.cqrs.createConsumer();
  const startOurs = async (): Promise<void> => {
    await ours.cqrs.start();
    await consumer.start();
  };
  const startPython = async (options: { keepTables: boolean; consumers: number }): Promise<PythonWorker> => {
    const { keepTables, consumers } = options;
    const worker = new PythonWorker({ ...names, transport: pair.python, databaseUrl: database.url, keepTables });
    await workerReady(ours, queue, worker, consumers);
    return worker;
  };

  let worker: PythonWorker;
  let migration = '';
  if (first === 'Python') {
    worker = await startPython({ keepTables: false, consumers: 1 });
    migration = await ours.orm.schema.getUpdateSchemaSQL({ safe: true, wrap: false });
    await ours.orm.schema.update({ safe: true });
    await startOurs();
  } else {
    await ours.orm.schema.create();
    await ours.orm.em.getConnection().execute('create table permit (id integer primary key)');
    await startOurs();
    worker = await startPython({ keepTables: true, consumers: 2 });
  }
  return {
    ours,
    worker,
    exchange,
    replicaUrl: database.url,
    migration: migration.split('\n').filter((line) => line !== ''),
    count: (event) => heard.filter((name) => name === event).length,
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      await Promise.all([worker[Symbol.asyncDispose](), ours[Symbol.asyncDispose]()]);
      await database.drop();
      await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
    },
  };
}
