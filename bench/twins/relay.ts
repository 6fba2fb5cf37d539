import type pg from 'pg';
import { type ConfirmChannel, publishRaw } from '../harness/broker.ts';

interface Waiting {
  readonly id: string;
  readonly body: string;
}

const BATCH = 500;

/**
 * The leanest relay that keeps the order of each row beside another one: key buckets locked by the transaction, the
 * oldest messages read, published without waiting, confirmed, deleted. @returns how many it took
 */
export async function relayBatchRaw(client: pg.Client, channel: ConfirmChannel, exchange: string): Promise<number> {
  await client.query('begin');
  const locks = await client.query({
    name: 'locks',
    text: 'select b from generate_series(0, 63) as b where pg_try_advisory_xact_lock(7, b)',
  });
  const { rows } = await client.query<Waiting>({
    name: 'claim',
    text: 'select id, body from cqrs_outbox where failure is null and bucket = any($1::smallint[]) order by id limit $2',
    values: [locks.rows.map((row: { b: number }) => row.b), BATCH],
  });
  if (rows.length > 0) {
    const expires = new Date(Date.now() + 86_400_000).toISOString().slice(0, 19);
    const confirms = rows.map(
      ({ body }) =>
        new Promise<void>((resolve, reject) => {
          const stamped = `${body.slice(0, -1)},"expires":"${expires}+00:00"}`;
          publishRaw(channel, exchange, stamped, (error) => (error ? reject(error) : resolve()));
        }),
    );
    await Promise.all(confirms);
    await client.query({
      name: 'settle',
      text: 'delete from cqrs_outbox where id = any($1::bigint[])',
      values: [rows.map((row) => row.id)],
    });
  }
  await client.query('commit');
  return rows.length;
}
