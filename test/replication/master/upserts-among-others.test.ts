import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p, type SqlEntityManager } from '@mikro-orm/postgresql';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/**
 * An upsert locks the rows that it will find before it is sent. Somebody else's ROLLBACK TO on its connection gives the locks
 * back; then others may write a row after the upsert has begun and before it reaches the row: what the statement has seen is
 * no longer what the row was.
 */
const Stock = master(
  defineEntity({
    name: 'Stock',
    extends: MasterEntity,
    properties: {
      id: p.integer().primary(),
      code: p.string().nullable().unique(),
      count: p.integer(),
      waits: p.boolean().default(false),
    },
  }),
  { id: 'stock', trackedFields: ['count'] },
);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Stock]);
  // Insertions that are told to wait do so after their statement's snapshot is taken, until the lock is free.
  await service.sql(`
    create function hold() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock(7); return new; end $$;
    create trigger hold before insert on stock for each row when (new.waits) execute function hold()`);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

type Em = SqlEntityManager;
const fork = (): Em => service.orm.em.fork() as Em;
const change = (count: number): Promise<unknown> => fork().nativeUpdate(Stock, { id: 1 }, { count });
const remove = (): Promise<unknown> => fork().nativeDelete(Stock, { id: 1 });
const make = (count: number): Promise<unknown> => fork().insert(Stock, { id: 1, code: 'a', count });

test.each<[string, () => Promise<unknown>, object | null]>([
  ['nobody wrote it', () => Promise.resolve(), { count: 5 }],
  ['changed', () => change(6), null],
  ['changed twice', async () => (await change(6), await change(7)), null],
  ['deleted and made anew', async () => (await remove(), await make(6)), null],
  ['deleted and made anew, and changed', async () => (await remove(), await make(6), await change(7)), null],
])('the previous values are told only if they are known: %s', async (_what, others, previous) => {
  await service.sql('delete from stock');
  await make(1);
  for (const count of [2, 3, 4, 5]) await change(count);
  await service.take();

  const em = await upsertAmong(others, (own) =>
    own.createQueryBuilder(Stock).insert({ id: 1, count: 99, waits: true }).onConflict('id').merge(['count']).execute(),
  );
  await em.commit();

  const saves = (await service.take()).filter(({ data }) => data['count'] === 99);
  expect(saves.map((save) => [save.signal, save.previous])).toEqual([['SAVE', previous]]);
});

test.each<[string, () => Promise<unknown>]>([
  ['changed', () => change(6)],
  ['deleted and made anew', async () => (await remove(), await make(6))],
])('a key is not moved that may have had another row: %s', async (_what, others) => {
  await service.sql('delete from stock');
  await make(1);
  await service.take();
  const upsert = upsertAmong(others, (own) =>
    own
      .createQueryBuilder(Stock)
      .insert({ id: 2, code: 'a', count: 99, waits: true })
      .onConflict('code')
      .merge(['id', 'count'])
      .execute(),
  );
  await expect(upsert).rejects.toThrow('Run the transaction again.');
  expect(await service.sql('select id from stock')).toEqual([{ id: 1 }]);
});

/** An upsert whose locks are given back before it is sent, and `others` while it is on its way to the row. */
async function upsertAmong(others: () => Promise<unknown>, write: (em: Em) => Promise<unknown>): Promise<Em> {
  const [holder, blocker, em] = [fork(), fork(), fork()];
  await holder.begin();
  await holder.execute('select from stock for update');
  await blocker.begin();
  await blocker.execute('select pg_advisory_xact_lock(7)');
  await em.begin();
  await em.execute('savepoint neighbour');
  const upsert = write(em).catch((error: unknown) => error);
  await waitingFor('transactionid');
  const rolledBack = em.execute('rollback to neighbour');
  await holder.rollback();
  await rolledBack;
  await waitingFor('advisory');
  await others();
  await blocker.rollback();
  const ended = await upsert;
  if (!(ended instanceof Error)) return em;
  await em.rollback();
  throw ended;
}

async function waitingFor(lock: 'transactionid' | 'advisory'): Promise<void> {
  const blocked = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and wait_event = '${lock}'`;
  while ((await service.sql(blocked)).length === 0) await setImmediate();
}
