import type { CqrsOptions } from '../../../src/cqrs.js';
import type { CqrsEventName, CqrsEvents } from '../../../src/kernel/events.js';
import { deleteTopology, uniqueName } from '../../support/broker.js';
import { createDatabase } from '../../support/database.js';
import { replicas } from '../models/our-replicas.js';
import { type OurService, ourService } from './our-service.js';
import { PythonMaster } from './python-master.js';
import type { TransportPair } from './transports.js';
import { TwoDatabases } from './two-databases.js';

/** A Python master and a replica of ours, on real servers. */
export interface PythonToUs extends AsyncDisposable {
  readonly python: PythonMaster;
  readonly ours: OurService;
  readonly databases: TwoDatabases;
  readonly exchange: string;
  readonly queue: string;
  readonly masterUrl: string;
  readonly replicaUrl: string;
  /** Every event of the replica so far, with its name. */
  readonly heard: readonly { readonly name: CqrsEventName; readonly fields: CqrsEvents[CqrsEventName] }[];
}

export async function pythonToUs(
  pair: TransportPair,
  { timeZone, ...settings }: Partial<CqrsOptions> & { timeZone?: string } = {},
): Promise<PythonToUs> {
  const [masterDatabase, replicaDatabase] = await Promise.all([createDatabase(), createDatabase()]);
  const exchange = uniqueName('interop');
  const queue = `${exchange}_replica`;
  const python = new PythonMaster({
    transport: pair.python,
    databaseUrl: masterDatabase.url,
    exchange,
    ...(timeZone === undefined ? {} : { timeZone }),
  });
  const ours = await ourService(replicaDatabase.url, replicas, {
    transport: pair.ours(),
    exchange,
    queue,
    ...settings,
  });
  await ours.orm.schema.create();
  const heard: { name: CqrsEventName; fields: CqrsEvents[CqrsEventName] }[] = [];
  ours.cqrs.events.onAny((name, fields) => heard.push({ name, fields }));
  const consumer = ours.cqrs.createConsumer();
  await consumer.start();
  const databases = await TwoDatabases.open({ master: masterDatabase.url, replica: replicaDatabase.url });
  return {
    python,
    ours,
    databases,
    exchange,
    queue,
    masterUrl: masterDatabase.url,
    replicaUrl: replicaDatabase.url,
    heard,
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      await Promise.all([python[Symbol.asyncDispose](), ours[Symbol.asyncDispose](), databases[Symbol.asyncDispose]()]);
      await Promise.all([masterDatabase.drop(), replicaDatabase.drop()]);
      await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
    },
  };
}
