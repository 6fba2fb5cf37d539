import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { bodies } from '../harness/bodies.ts';
import { BenchBroker } from '../harness/broker.ts';
import { findPostgres, startOwnPostgres } from '../harness/own-postgres.ts';
import { openReader } from '../harness/replica-services.ts';
import { pair, type Suite } from '../harness/suite.ts';
import { ProductCopy } from '../product-copies.ts';
import { NAME } from '../products.ts';
import { rowsOf } from '../rows.ts';
import { REPLICA_DDL } from '../twins/consumer.ts';

/** Beside the database's own replication, which needs the same schema at both ends and asks no questions. */
export const logical: Suite = {
  rows: rowsOf('apply-logical'),
  async run(bench) {
    const programs = findPostgres();
    if (programs === undefined) return bench.skip('apply-logical', "PostgreSQL's own programs are not on this machine");
    const size = bench.size(50_000, 10_000);
    // Both sides on this one server: what is measured is the apply alone.
    await using server = await startOwnPostgres(programs, { wal_level: 'logical', max_wal_size: '4GB' });
    const [master, replica, ours] = [
      await server.createDatabase('master'),
      await server.createDatabase('replica'),
      await server.createDatabase('ours'),
    ];
    await using publisher = await connected(master);
    await using subscriber = await connected(replica);
    for (const { client } of [publisher, subscriber]) await client.query(REPLICA_DDL);
    await publisher.client.query('create publication bench for table product_copies');
    await publisher.client.query(WRITE_ONE_BY_ONE);

    await using broker = await BenchBroker.open();
    const queue = await broker.queue('saturated', 'quorum');
    await using reader = await openReader(
      ProductCopy,
      { exchange: broker.exchange, queue, queueType: 'quorum' },
      { url: ours, drop: async () => {} },
    );
    for (let round = -1; round < bench.rounds; round++) {
      await reader.clear();
      await publisher.client.query('truncate product_copies');
      await subscriber.client.query('truncate product_copies');
      await broker.fill(bodies(size, 0));
      await publisher.client.query("select pg_create_logical_replication_slot('bench', 'pgoutput')");
      await publisher.client.query(`call write_one_by_one($$${NAME}$$, ${size})`);
      const measured = await pair(
        round + 1,
        () => reader.drain(size),
        () => replicate(publisher.client, subscriber.client, master, size),
      );
      if (round >= 0) bench.record('apply-logical', measured);
    }
  },
};

// Filling is not what is measured, and may be quick.
const WRITE_ONE_BY_ONE = `create procedure write_one_by_one(name text, count int) language plpgsql as $body$
  begin
    set synchronous_commit = off;
    for n in 1..count loop
      insert into product_copies values (n, name || ' ' || n, n, 12.5, now(), true, 0, clock_timestamp());
      commit;
    end loop;
    set synchronous_commit = on;
  end $body$`;

/** From the first rows that are there, so that the start of the worker does not count, to the last. */
async function replicate(publisher: pg.Client, subscriber: pg.Client, url: string, count: number): Promise<number> {
  const { port } = new URL(url);
  await subscriber.query(
    `create subscription bench connection 'host=127.0.0.1 port=${port} user=postgres dbname=master' publication bench
     with (slot_name = 'bench', create_slot = false, copy_data = false)`,
  );
  const seen = async (): Promise<number> => {
    const { rows } = await subscriber.query<{ id: number }>('select coalesce(max(id), 0) as id from product_copies');
    return rows[0]!.id;
  };
  let first = 0;
  while ((first = await seen()) === 0) await setTimeout(5);
  const startedAt = performance.now();
  while ((await seen()) < count) await setTimeout(5);
  const rate = ((count - first) / (performance.now() - startedAt)) * 1000;
  await subscriber.query('alter subscription bench disable');
  await subscriber.query('alter subscription bench set (slot_name = none)');
  await subscriber.query('drop subscription bench');
  for (;;) {
    const { rows } = await publisher.query('select active from pg_replication_slots');
    if (rows.every((row: { active: boolean }) => !row.active)) break;
    await setTimeout(20);
  }
  await publisher.query("select pg_drop_replication_slot('bench')");
  return rate;
}

async function connected(url: string): Promise<{ client: pg.Client } & AsyncDisposable> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
