import { openWriter, type Writer } from '../harness/master-services.ts';
import { type Bench, pair, perSecond, type Suite } from '../harness/suite.ts';
import { rowsOf } from '../rows.ts';
import { productData } from '../products.ts';

const CONNECTIONS = [1, 8];

/** One row a transaction, through flush: what capture costs the writer. */
export const oneRow: Suite = {
  rows: rowsOf('create-1', 'create-8', 'update-1', 'update-8'),
  async run(bench) {
    await using ours = await openWriter('ours');
    await using plain = await openWriter('plain');
    for (const connections of CONNECTIONS) {
      await measure(
        bench,
        `create-${connections}`,
        (writer) => creates(writer, connections, bench.size(400, 200)),
        ours,
        plain,
      );
      await measure(
        bench,
        `update-${connections}`,
        (writer) => updates(writer, connections, bench.size(400, 200)),
        ours,
        plain,
      );
    }
  },
};

async function measure(
  bench: Bench,
  name: string,
  work: (writer: Writer) => Promise<number>,
  ours: Writer,
  plain: Writer,
): Promise<void> {
  if (!bench.wants(name)) return;
  for (const writer of [ours, plain]) await work(writer);
  // Short turns, many of them: the machine is never the same for long.
  for (let round = 0; round < 3 * bench.rounds; round++) {
    for (const writer of [ours, plain]) await writer.clear();
    bench.record(
      name,
      await pair(
        round,
        () => work(ours),
        () => work(plain),
      ),
    );
  }
}

export function creates({ orm, entity }: Writer, connections: number, count: number): Promise<number> {
  return perSecond(count, () =>
    inParallel(connections, async (worker) => {
      for (let index = worker; index < count; index += connections) {
        const em = orm.em.fork();
        em.create(entity, productData(index) as never);
        await em.flush();
      }
    }),
  );
}

export async function updates({ orm, entity }: Writer, connections: number, count: number): Promise<number> {
  const rows = Array.from({ length: connections }, (_, index) => productData(index));
  await orm.em.fork().insertMany(entity, rows as never);
  const entities = await orm.em.fork().find(entity, {}, { orderBy: { id: 'desc' }, limit: connections });
  const own = await Promise.all(
    entities.map(async ({ id }) => {
      const em = orm.em.fork();
      return { em, product: await em.findOneOrFail(entity, { id }) };
    }),
  );
  return perSecond(count, () =>
    inParallel(connections, async (worker) => {
      const { em, product } = own[worker]!;
      for (let index = worker; index < count; index += connections) {
        product.quantity = 1_000 + index;
        await em.flush();
      }
    }),
  );
}

function inParallel(count: number, work: (worker: number) => Promise<void>): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, worker) => work(worker)));
}
