import type { Channel, ConsumeMessage } from 'amqplib';
import type pg from 'pg';

export const REPLICA_DDL = `create table product_copies (
  id integer primary key, name varchar(60000) not null, quantity integer not null, price numeric(12,2) not null,
  created_at timestamptz(6) not null, active boolean not null, cqrs_revision integer not null,
  cqrs_updated timestamptz(6) not null)`;

/** What the twins read of a message. */
export interface Body {
  readonly instance_data: {
    readonly id: number;
    readonly name: string;
    readonly quantity: number;
    readonly price: string;
    readonly created_at: string;
    readonly active: boolean;
    readonly cqrs_revision: number;
    readonly cqrs_updated: string;
  };
}

const UPSERT = `insert into product_copies as t
  select * from unnest($1::int[], $2::text[], $3::int[], $4::numeric[], $5::timestamptz[], $6::bool[], $7::int[], $8::timestamptz[])
  on conflict (id) do update set name = excluded.name, quantity = excluded.quantity, price = excluded.price,
    created_at = excluded.created_at, active = excluded.active, cqrs_revision = excluded.cqrs_revision,
    cqrs_updated = excluded.cqrs_updated
  where t.cqrs_revision < excluded.cqrs_revision`;

const BATCH = 500;

/**
 * The leanest consumer: up to 500 messages, parsed, one upsert, committed, one acknowledgement for all.
 * Calls `onApplied` after each commit, with the keys that are visible now.
 */
export async function consumeRaw(
  channel: Channel,
  queue: string,
  client: pg.Client,
  onApplied: (keys: readonly number[]) => void,
): Promise<{ stop(): Promise<void> }> {
  const waiting: ConsumeMessage[] = [];
  let working: Promise<void> | undefined;
  const work = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      const rows = batch.map((message) => (JSON.parse(message.content.toString()) as Body).instance_data);
      await client.query({
        name: 'upsert',
        text: UPSERT,
        values: [
          rows.map((row) => row.id),
          rows.map((row) => row.name),
          rows.map((row) => row.quantity),
          rows.map((row) => row.price),
          rows.map((row) => row.created_at),
          rows.map((row) => row.active),
          rows.map((row) => row.cqrs_revision),
          rows.map((row) => row.cqrs_updated),
        ],
      });
      channel.ack(batch.at(-1)!, true);
      onApplied(rows.map((row) => row.id));
    }
    working = undefined;
  };
  await channel.prefetch(1_000);
  const { consumerTag } = await channel.consume(queue, (message) => {
    waiting.push(message!);
    // What came in the same chunk of the socket belongs together.
    working ??= Promise.resolve().then(work);
  });
  return {
    async stop() {
      await channel.cancel(consumerTag);
      await working;
    },
  };
}
