import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { InputError } from '../../src/kernel/errors.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { Filtered, Product } from '../golden/master-models.js';
import { twoServices, type TwoServices } from '../support/two-services.js';
import { masters, Pair, replicas } from './models.js';

/** A master that was put back to an older state while its replicas went on from the newer one. */

let services: TwoServices;
const master = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.master.orm.em.getConnection().execute(sql);
const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);
const restored = (sql: string): Promise<unknown> =>
  services.master.cqrs.withoutReplication(() => master(`${sql} /* cqrs */`));
const fork = () => services.master.orm.em.fork();

beforeAll(async () => {
  services = await twoServices({ masters, replicas });
  services.master.cqrs.events.on('cqrs.master.announced', ({ count }) => (announced += count));
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});

const COLUMNS = 'id, name, quantity::text, cqrs_revision, cqrs_incarnation::text, cqrs_updated::text';
const onMaster = (): Promise<unknown> => master(`select ${COLUMNS} from product order by id`);
const onReplica = (): Promise<unknown> => replica(`select ${COLUMNS} from product_ref order by id`);

let announced = 0;
/** Does something, and waits until the replica has been through every message of it. */
async function settled<T>(work: () => Promise<T>): Promise<T> {
  const result = await work();
  await services.ended(announced);
  return result;
}

const product = (id: number, name: string): object => ({
  id,
  name,
  quantity: 1n,
  price: 1,
  createdAt: new Date(),
  active: true,
});

describe('a master that was restored from a backup', () => {
  beforeEach(async () => {
    await restored('delete from product');
    await replica('delete from product_ref');
    await replica('delete from cqrs_tombstones');
    await settled(() =>
      fork().insertMany(
        Product,
        Array.from({ length: 25 }, (_, index) => product(index + 1, `first ${index + 1}`) as never),
      ),
    );
    await restored('drop table if exists backup');
    await restored('create table backup as select * from product');
    for (const name of ['second', 'third']) {
      await settled(() => fork().nativeUpdate(Product, { id: { $gt: 0 } }, { name }));
    }
    await restored('delete from product');
    await restored('insert into product select * from backup');
  });

  // claims: fail-over
  test('sync alone changes nothing; with a new incarnation the replica takes the master’s state', async () => {
    const ahead = await onReplica();
    expect(await settled(() => services.master.cqrs.sync({ cqrsId: 'product' }))).toMatchObject({ synced: 25 });
    expect(await onReplica()).toEqual(ahead);

    const before = announced;
    const result = await settled(() =>
      services.master.cqrs.sync({ cqrsId: 'product', pageSize: 10, newIncarnation: true }),
    );
    expect(result).toMatchObject({ synced: 25, withdrawn: 0, unroutable: 0 });
    expect(await onReplica()).toEqual(await onMaster());
    expect(await master('select distinct cqrs_revision, count(*)::int as count from product group by 1')).toEqual([
      { cqrs_revision: 1, count: 25 },
    ]);
    // Capture has not told of them as well.
    expect(announced - before).toBe(25);
    expect(
      await reconcile(services.master.cqrs, {
        cqrsId: 'product',
        queue: services.queue,
        settleSeconds: 0,
        dryRun: true,
      }),
    ).toMatchObject({ missing: 0, extra: 0, stale: 0, damaged: 0, ahead: 0 });
  });

  test('only rows of the filter begin a new incarnation', async () => {
    const before = await master(`select ${COLUMNS} from product where id > 3 order by id`);
    await settled(() =>
      services.master.cqrs.sync({ cqrsId: 'product', filter: { id: { $lte: 3 } }, newIncarnation: true }),
    );
    expect(await master(`select ${COLUMNS} from product where id > 3 order by id`)).toEqual(before);
    expect(await replica('select id from product_ref where name like $$first%$$ order by id')).toEqual(
      [1, 2, 3].map((id) => ({ id })),
    );
  });

  test('what happens to the rows afterwards arrives: updates, deletions, keys used again', async () => {
    await settled(() => services.master.cqrs.sync({ cqrsId: 'product', newIncarnation: true }));
    await settled(() => fork().nativeUpdate(Product, { id: 1 }, { name: 'updated' }));
    await settled(() => fork().nativeDelete(Product, { id: 2 }));
    await settled(() => fork().nativeDelete(Product, { id: 3 }));
    await settled(() => fork().insert(Product, product(3, 'again') as never));
    expect(await onReplica()).toEqual(await onMaster());
    expect(await replica('select id, name from product_ref where id <= 3 order by id')).toEqual([
      { id: 1, name: 'updated' },
      { id: 3, name: 'again' },
    ]);
  });

  test('beside live writes, both ends are equal in the end', async () => {
    let writing = true;
    let writes = 0;
    const writer = async (first: number): Promise<void> => {
      for (let turn = first; writing; turn++) {
        const id = 1 + (turn % 20);
        // Keys in another order than the sync's: whoever locks without one would wait for ever.
        await fork().transactional(async (em) => {
          await em.nativeUpdate(Product, { id: 21 - id }, { name: `live ${turn}` });
          if (turn % 5 === 0) await em.nativeDelete(Product, { id: 21 + (turn % 3) });
        });
        writes++;
      }
    };
    const writers = [writer(0), writer(7)];
    for (let round = 0; round < 5; round++) {
      await services.master.cqrs.sync({ cqrsId: 'product', pageSize: 4, newIncarnation: true });
    }
    writing = false;
    await Promise.all(writers);
    expect(writes).toBeGreaterThan(0);
    await services.ended(announced);
    // What was deleted before its turn is on the replica alone.
    const report = await settled(() =>
      reconcile(services.master.cqrs, { cqrsId: 'product', queue: services.queue, settleSeconds: 0 }),
    );
    expect(report).toMatchObject({ missing: 0, stale: 0, damaged: 0, ahead: 0, unrepaired: 0 });
    expect(await onReplica()).toEqual(await onMaster());
  });
});

test('a row that the restored master keeps back is withdrawn, and returns with its next change', async () => {
  await settled(() => fork().insert(Filtered, { id: 1, name: 'wanted' }));
  await settled(() => fork().nativeUpdate(Filtered, { id: 1 }, { name: 'still wanted' }));
  await restored(`update filtered set name = 'skip', cqrs_revision = 0`);
  const sync = () => services.master.cqrs.sync({ cqrsId: 'filtered', newIncarnation: true });
  expect(await settled(sync)).toMatchObject({ synced: 0, withdrawn: 1 });
  expect(await replica('select id from filtered_ref')).toEqual([]);
  await settled(() => fork().nativeUpdate(Filtered, { id: 1 }, { name: 'back' }));
  expect(await replica('select id, name from filtered_ref')).toEqual([{ id: 1, name: 'back' }]);
});

test('keys of several parts', async () => {
  const keys = [
    { left: 1, right: "it's" },
    { left: 1, right: 'é"' },
    { left: 2, right: '' },
  ];
  await settled(() =>
    fork().insertMany(
      Pair,
      keys.map((key) => ({ ...key, note: 'old' })),
    ),
  );
  await replica(`update pair_ref set note = 'ahead', cqrs_revision = 9`);
  await settled(() => services.master.cqrs.sync({ cqrsId: 'pair', pageSize: 1, newIncarnation: true }));
  expect(await replica('select "left", "right", note, cqrs_revision from pair_ref order by 1, 2 desc')).toEqual(
    expect.arrayContaining(keys.map((key) => ({ ...key, note: 'old', cqrs_revision: 1 }))),
  );
});

test('a new incarnation for one queue is refused: the others would not hear of it', async () => {
  await expect(
    services.master.cqrs.sync({ cqrsId: 'product', queue: services.queue, newIncarnation: true }),
  ).rejects.toThrow(InputError);
});
