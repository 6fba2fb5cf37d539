import type { MikroORM } from '@mikro-orm/postgresql';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { PlainProductCopy } from '../product-copies.ts';
import type { Body } from './consumer.ts';

const BATCH = 500;

/**
 * What one would write by hand with MikroORM: 500 messages, their entities in one query, assigned, one flush, one
 * acknowledgement. @returns how many rows a second
 */
export async function consumeByFlush(
  connection: ChannelModel,
  queue: string,
  orm: MikroORM,
  count: number,
): Promise<number> {
  const channel = await connection.createChannel();
  await channel.prefetch(1_000);
  const waiting: ConsumeMessage[] = [];
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  let applied = 0;
  let working = false;
  const work = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      await apply(orm, batch);
      channel.ack(batch.at(-1)!, true);
      applied += batch.length;
    }
    working = false;
    if (applied >= count) resolve();
  };
  const startedAt = performance.now();
  const { consumerTag } = await channel.consume(queue, (message) => {
    waiting.push(message!);
    if (working) return;
    working = true;
    Promise.resolve().then(work).catch(reject);
  });
  await done;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await channel.cancel(consumerTag);
  await channel.close();
  return rate;
}

async function apply(orm: MikroORM, batch: readonly ConsumeMessage[]): Promise<void> {
  const em = orm.em.fork();
  const rows = batch.map((message) => (JSON.parse(message.content.toString()) as Body).instance_data);
  const known = new Map(
    (await em.find(PlainProductCopy, { id: { $in: rows.map((row) => row.id) } })).map((one) => [one.id, one]),
  );
  for (const row of rows) {
    const data = {
      id: row.id,
      name: row.name,
      quantity: row.quantity,
      price: row.price,
      createdAt: new Date(row.created_at),
      active: row.active,
      cqrsRevision: row.cqrs_revision,
      cqrsUpdated: new Date(row.cqrs_updated),
    };
    const entity = known.get(data.id);
    if (!entity) em.create(PlainProductCopy, data);
    else if (entity.cqrsRevision < data.cqrsRevision) em.assign(entity, data);
  }
  await em.flush();
}
