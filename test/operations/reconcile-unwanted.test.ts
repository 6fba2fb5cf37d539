import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import type { ReconcileReport } from '../../src/operations/reconcile/report.js';
import { replica as declareReplica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { twoServices, type TwoServices } from '../support/two-services.js';

/** Rows that the replica's database does not store as they are sent: reconcile ends, and says why. */

const properties = () => ({
  id: p.integer().primary().autoincrement(false),
  name: p.string().columnType('text').nullable(),
  price: p.decimal().columnType('numeric(12,2)').nullable(),
});
const ItemSchema = defineEntity({ name: 'Item', extends: MasterEntity, properties: properties() });
class Item extends masterClass(ItemSchema) {
  static override CQRS_ID = 'item';
}
ItemSchema.setClass(Item);
const HookedSchema = defineEntity({ name: 'Hooked', extends: MasterEntity, properties: properties() });
class Hooked extends masterClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
}
HookedSchema.setClass(Hooked);
const ItemRef = declareReplica(
  defineEntity({ name: 'ItemRef', tableName: 'item_ref', extends: ReplicaEntity, properties: properties() }),
  { id: 'item' },
);
const HookedRef = declareReplica(
  defineEntity({ name: 'HookedRef', tableName: 'hooked_ref', extends: ReplicaEntity, properties: properties() }),
  { id: 'hooked', cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never) },
);

let services: TwoServices;
const master = (sql: string): Promise<unknown> => services.master.orm.em.getConnection().execute(sql);
const replica = (sql: string): Promise<{ id: number }[]> => services.replica.orm.em.getConnection().execute(sql);
const compare = (cqrsId: string): Promise<ReconcileReport> =>
  reconcile(services.master.cqrs, { cqrsId, queue: services.queue, settleSeconds: 0, timeoutSeconds: 20 });

beforeAll(async () => {
  services = await twoServices({ masters: [Item, Hooked] as never, replicas: [ItemRef, HookedRef] as never });
  await replica(`create function keep_back() returns trigger language plpgsql as $$ begin
    if coalesce(new.name, old.name) like 'skip%' then return null; end if; return coalesce(new, old); end $$`);
  for (const table of ['item_ref', 'hooked_ref'])
    await replica(`create trigger keep_back before insert or update or delete on ${table}
      for each row execute function keep_back()`);
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});

const outcomes = ({ sample }: ReconcileReport): unknown[] =>
  sample
    .map(({ key, difference, outcome, reason }) => [key, difference, outcome, reason])
    .toSorted((a, b) => Number(a[0]) - Number(b[0]));

for (const cqrsId of ['item', 'hooked']) {
  beforeEach(async () => {
    await services.master.cqrs.withoutReplication(async () => {
      await master(`delete from ${cqrsId} /* cqrs */`);
      await master(
        `insert into ${cqrsId} (id, name, price) select n, 'name', 1 from generate_series(1, 5) n /* cqrs */`,
      );
      await replica(`truncate ${cqrsId}_ref, cqrs_tombstones`);
    });
  });

  test(`${cqrsId}: rows that a trigger keeps back: new ones, changed ones, deleted ones`, async () => {
    expect(await compare(cqrsId)).toMatchObject({ missing: 5, repaired: 5, reasons: {} });
    await services.master.cqrs.withoutReplication(async () => {
      await master(`insert into ${cqrsId} (id, name) select n, 'skip' from generate_series(101, 170) n /* cqrs */`);
      await master(
        `update ${cqrsId} set name = 'skip', cqrs_revision = 1, cqrs_updated = now() where id = 2 /* cqrs */`,
      );
      await master(
        `update ${cqrsId} set name = 'other', cqrs_revision = 1, cqrs_updated = now() where id = 3 /* cqrs */`,
      );
    });
    await replica(`alter table ${cqrsId}_ref disable trigger keep_back`);
    await replica(`insert into ${cqrsId}_ref (id, name, cqrs_revision, cqrs_updated, cqrs_incarnation)
      values (9, 'skip', 0, now() - interval '1 minute', 1)`);
    await replica(`alter table ${cqrsId}_ref enable trigger keep_back`);
    const report = await compare(cqrsId);
    expect(report).toMatchObject({
      missing: 70,
      stale: 2,
      extra: 1,
      repaired: 1,
      unrepaired: 72,
      reasons: { suppressed: 72 },
      stopped: false,
    });
    expect(outcomes(report).slice(0, 4)).toEqual([
      [2, 'stale', 'unrepaired', 'suppressed'],
      [3, 'stale', 'repaired', undefined],
      [9, 'extra', 'unrepaired', 'suppressed'],
      [101, 'missing', 'unrepaired', 'suppressed'],
    ]);
    // It has not waited until its time was over, and has changed nothing by trying.
    expect(report.durationMs).toBeLessThan(30_000);
    expect(await replica(`select id from ${cqrsId}_ref order by id`)).toEqual([1, 2, 3, 4, 5, 9].map((id) => ({ id })));
  });
}

test('rows whose values a column rounds, and rows that become dead letters', async () => {
  await services.master.cqrs.withoutReplication(async () => {
    await master(`update item set price = 12.5 where id = 1 /* cqrs */`);
    await master(`update item set price = 123456 where id = 2 /* cqrs */`);
  });
  await replica('alter table item_ref alter price type numeric(4,0)');
  try {
    // What was learned at the start of a worker is that of another column: start anew.
    await services.replica.cqrs.check();
    const report = await compare('item');
    expect(report).toMatchObject({ missing: 5, repaired: 3, unrepaired: 2 });
    expect(outcomes(report).filter((row) => (row as unknown[])[2] === 'unrepaired')).toEqual([
      [1, 'missing', 'unrepaired', 'lossy-value'],
      [2, 'missing', 'unrepaired', 'mapping'],
    ]);
    expect(report.durationMs).toBeLessThan(30_000);
  } finally {
    await replica('alter table item_ref alter price type numeric(12,2)');
  }
});
