import pg from 'pg';
import { openWriter, type Writer } from '../harness/master-services.ts';
import { pair, perSecond, type Suite } from '../harness/suite.ts';
import { Product, productData, TriggeredProduct } from '../products.ts';
import { rowsOf } from '../rows.ts';
import { appendRaw, RETURNING, type RawProduct } from '../twins/outbox.ts';

/** Many rows in one transaction. */
export const bulk: Suite = {
  rows: rowsOf('bulk-create', 'bulk-update', 'flush-update'),
  async run(bench) {
    const size = bench.size(10_000, 5_000);
    await using ours = await openWriter('ours', 1);
    await using plain = await openWriter('plain', 1);
    if (bench.wants('bulk-create')) {
      for (let round = -1; round < bench.rounds; round++) {
        for (const writer of [ours, plain]) await writer.clear();
        const measured = await pair(
          round + 1,
          () => creates(ours, size),
          () => creates(plain, size),
        );
        if (round >= 0) bench.record('bulk-create', measured);
      }
    }
    if (bench.wants('flush-update')) {
      for (const writer of [ours, plain]) await writer.clear();
      for (const writer of [ours, plain]) await creates(writer, size);
      for (let round = -1; round < bench.rounds; round++) {
        await ours.orm.em.getConnection().execute('truncate cqrs_outbox');
        const measured = await pair(
          round + 1,
          () => flushes(ours, size, round),
          () => flushes(plain, size, round),
        );
        if (round >= 0) bench.record('flush-update', measured);
      }
    }
    if (bench.wants('bulk-update')) {
      await using raw = await openWriter('ours', 1);
      const client = new pg.Client({ connectionString: raw.url });
      await client.connect();
      try {
        for (const writer of [ours, raw]) await writer.clear();
        for (const writer of [ours, raw]) await creates(writer, size);
        for (let round = -1; round < bench.rounds; round++) {
          for (const writer of [ours, raw]) await writer.orm.em.getConnection().execute('truncate cqrs_outbox');
          const measured = await pair(
            round + 1,
            () => updates(ours, size, round),
            () => rawUpdates(client, size, round),
          );
          if (round >= 0) bench.record('bulk-update', measured);
        }
      } finally {
        await client.end();
      }
    }
  },
};

/** In chunks of 1,000, in one transaction, as `bulkCreate` does it. */
export function creates({ orm, entity }: Writer, count: number): Promise<number> {
  const rows = Array.from({ length: count }, (_, index) => productData(index));
  return perSecond(count, async () => {
    const Master = [Product, TriggeredProduct].find((one) => (one as unknown) === entity);
    if (Master) return Master.cqrs(orm.em.fork()).bulkCreate(rows as never);
    return orm.em.fork().transactional(async (em) => {
      for (let from = 0; from < count; from += 1_000) {
        const entities = rows
          .slice(from, from + 1_000)
          .map((row) => em.create(entity, row as never, { persist: false }));
        await em.insertMany(entities);
      }
    });
  });
}

function updates({ orm }: Writer, count: number, round: number): Promise<number> {
  return perSecond(count, () => Product.cqrs(orm.em.fork()).bulkUpdate({}, { quantity: 1_000_000 + round } as never));
}

/** The entities are loaded before the clock runs. */
export async function flushes({ orm, entity }: Writer, count: number, round: number): Promise<number> {
  const em = orm.em.fork();
  const products = await em.find(entity, {}, { limit: count });
  for (const product of products as { quantity: number }[]) product.quantity = 2_000_000 + round;
  return perSecond(count, () => em.flush());
}

function rawUpdates(client: pg.Client, count: number, round: number): Promise<number> {
  return perSecond(count, async () => {
    await client.query('begin');
    const { rows } = await client.query<RawProduct>(
      `update products set quantity = $1, cqrs_revision = cqrs_revision + 1, cqrs_updated = clock_timestamp() returning ${RETURNING}`,
      [1_000_000 + round],
    );
    await appendRaw(client, rows);
    await client.query('commit');
  });
}
