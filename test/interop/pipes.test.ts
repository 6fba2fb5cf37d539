import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { masters, Sample, Stock } from './models/our-masters.js';
import { replicas } from './models/our-replicas.js';
import { startPython } from './support/django-service.js';
import { startOurs } from './support/our-command.js';
import { type OurService, ourService } from './support/our-service.js';
import { pipe } from './support/processes.js';
import { interop } from './support/python.js';
import { pika } from './support/transports.js';
import { TwoDatabases } from './support/two-databases.js';

type Side = 'ours' | 'Python';
type Role = 'master' | 'replica';

/** Every way to put a pipe together. */
function mixtures(length: number): Side[][] {
  if (length === 0) return [[]];
  return mixtures(length - 1).flatMap((rest): Side[][] => [
    ['ours', ...rest],
    ['Python', ...rest],
  ]);
}

interop('pipes between masters and replicas, each command ours or Python', () => {
  const exchange = uniqueName('interop');
  const queue = `${exchange}_replica`;
  let masterDatabase: TestDatabase;
  let replicaDatabase: TestDatabase;
  let master: OurService;
  let replica: OurService;
  let consumer: ReturnType<OurService['cqrs']['createConsumer']>;
  let databases: TwoDatabases;
  const em = () => master.orm.em.fork();
  const silently = (work: () => Promise<unknown>) => master.cqrs.withoutReplication(work);

  beforeAll(async () => {
    [masterDatabase, replicaDatabase] = await Promise.all([createDatabase(), createDatabase()]);
    master = await ourService(masterDatabase.url, masters, { transport: pika.ours(), exchange });
    await master.orm.schema.create();
    replica = await ourService(replicaDatabase.url, replicas, { transport: pika.ours(), exchange, queue });
    await replica.orm.schema.create();
    consumer = replica.cqrs.createConsumer();
    await consumer.start();
    await master.cqrs.start();
    databases = await TwoDatabases.open({ master: masterDatabase.url, replica: replicaDatabase.url });
  });
  afterAll(async () => {
    await consumer.stop();
    await Promise.all([master, replica, databases].map((part) => part[Symbol.asyncDispose]()));
    await Promise.all([masterDatabase.drop(), replicaDatabase.drop()]);
    await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
  });
  beforeEach(async () => {
    await em().nativeDelete(Stock, {});
    await em().insertMany(
      Stock,
      Array.from({ length: 12 }, (_, id) => ({ id, name: `row ${id}` })),
    );
    await databases.same('stock');
  });

  interface Stage {
    readonly role: Role;
    readonly ours: readonly string[];
    readonly python: readonly string[];
  }
  function start(side: Side, { role, ours, python }: Stage): ChildProcessWithoutNullStreams {
    const databaseUrl = role === 'master' ? masterDatabase.url : replicaDatabase.url;
    const service = { role, databaseUrl, exchange, ...(role === 'replica' ? { queue } : {}) };
    return side === 'ours'
      ? startOurs(service, ours)
      : startPython({ ...service, transport: pika.python }, ['manage.py', ...python]);
  }
  /** Runs the pipe; every program in it must end well. */
  async function run(sides: readonly Side[], stages: readonly Stage[]): Promise<void> {
    const ends = await pipe(stages.map((stage, index) => start(sides[index]!, stage)));
    expect(ends.map(({ code, stderr }) => (code === 0 ? 'done' : stderr))).toEqual(stages.map(() => 'done'));
  }

  describe('diff-master | diff-replica | diff-sync', () => {
    test.each(mixtures(3))('%s | %s | %s', async (...sides) => {
      await silently(async () => {
        await em().nativeUpdate(Stock, { id: { $in: [3, 4] } }, { city: 'Łódź' });
        await em().insert(Stock, { id: 20, name: 'missing' });
      });
      await databases.replica('delete from stock where id = 5');
      await run(sides, [
        {
          role: 'master',
          ours: ['diff-master', '--cqrs-id', 'stock', '--settle-seconds', '0', '--batch', '5'],
          python: ['cqrs_diff_master', '--cqrs-id', 'stock', '--batch', '5'],
        },
        { role: 'replica', ours: ['diff-replica', '--settle-seconds', '0'], python: ['cqrs_diff_replica'] },
        { role: 'master', ours: ['diff-sync'], python: ['cqrs_diff_sync'] },
      ]);
      expect(await databases.same('stock')).toHaveLength(13);
    });
  });

  describe('deleted-diff-replica | deleted-diff-master | deleted-sync-replica', () => {
    test.each(mixtures(3))('%s | %s | %s', async (...sides) => {
      await databases.replica(
        `insert into stock (id, name, cqrs_revision, cqrs_updated)
          select id, 'gone', 0, now() - interval '1 hour' from generate_series(50, 60) as id`,
      );
      await run(sides, [
        {
          role: 'replica',
          ours: ['deleted-diff-replica', '--cqrs-id', 'stock', '--batch', '5'],
          python: ['cqrs_deleted_diff_replica', '--cqrs-id', 'stock', '--batch', '5'],
        },
        { role: 'master', ours: ['deleted-diff-master'], python: ['cqrs_deleted_diff_master'] },
        { role: 'replica', ours: ['deleted-sync-replica'], python: ['cqrs_deleted_sync_replica'] },
      ]);
      expect(await databases.same('stock')).toHaveLength(12);
    });
  });

  describe('bulk-dump | bulk-load', () => {
    beforeAll(async () => {
      const kinds = {
        amount: '12.5',
        ratio: 0.1,
        active: true,
        total: 9007199254740993n,
        day: '2024-02-29',
        data: { é: [1.5] },
      };
      await silently(() =>
        em().insertMany(Sample, [
          { id: 1, title: 'Zoë', body: 'a\nb', uid: '6f1c2a34-9b7d-4e11-8a55-0c9d3e2b7f10', at: new Date(), ...kinds },
          { id: 2, title: 'nulls' },
        ]),
      );
    });
    test.each(mixtures(2))('%s | %s', async (...sides) => {
      await databases.replica('delete from sample');
      await run(sides, [
        {
          role: 'master',
          ours: ['bulk-dump', '--cqrs-id', 'sample', '--output', '-'],
          python: ['cqrs_bulk_dump', '--cqrs-id', 'sample', '--output', '-'],
        },
        { role: 'replica', ours: ['bulk-load', '--input', '-'], python: ['cqrs_bulk_load', '--input', '-'] },
      ]);
      expect(await databases.same('sample')).toHaveLength(2);
    });
  });
});
