import type pg from 'pg';
import { rawBody } from '../twins/outbox.ts';
import { NAME } from '../products.ts';

/** Puts that many messages of as many rows into the outbox, as an outage leaves them behind. */
export async function fillOutbox(
  client: pg.Client,
  size: number,
  { bodyBytes = 0 }: { bodyBytes?: number } = {},
): Promise<void> {
  await client.query('truncate cqrs_outbox');
  const body = rawBody({
    id: '#',
    name: NAME.padEnd(NAME.length + bodyBytes, '.'),
    quantity: '#',
    price: '12.50',
    created_at: '2026-01-01 00:00:00.123456+00:00',
    active: 'true',
    cqrs_revision: '0',
    cqrs_updated: '2026-01-01 00:00:00.123456+00:00',
  }).replace(/,"expires":.*\}$/, '}');
  await client.query(
    `insert into cqrs_outbox (bucket, cqrs_id, signal, key, body)
     select n % 64, 'product', 'SAVE', '["' || n || '"]', replace($1, '#', n::text) from generate_series(1, $2) as n`,
    [body, size],
  );
  await client.query('analyze cqrs_outbox');
}
