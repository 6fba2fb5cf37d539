import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Cqrs } from '../../src/cqrs.js';
import { deletedSyncReplica } from '../../src/operations/deleted-diff.js';
import { diffSync } from '../../src/operations/diff.js';
import { loadRows } from '../../src/operations/load.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { Author } from '../golden/master-models.js';
import { twoServices, type TwoServices } from '../support/two-services.js';
import { AuthorRef } from './models.js';
import { loadResult, pieces } from './streams.js';

/** The operators' tools while transactions of an application write the same rows: nobody becomes the victim of a deadlock. */

const ROWS = 50;
let services: TwoServices;
let cqrs: Cqrs;
let writer: pg.Client;
const master = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.master.orm.em.getConnection().execute(sql);
const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);

beforeAll(async () => {
  services = await twoServices({ masters: [Author], replicas: [AuthorRef] });
  ({ cqrs } = services.master);
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await master('delete from author /* cqrs */');
  await master(`insert into author (id, name, cqrs_updated) select n, 'a', now() - interval '1 minute'
    from generate_series(1, ${ROWS}) n /* cqrs */`);
  await replica('delete from author_ref');
  await replica('delete from cqrs_tombstones');
});
afterEach(() => writer?.end());

async function connect({ orm }: { orm: TwoServices['master']['orm'] }): Promise<void> {
  writer = new pg.Client({ connectionString: orm.config.get('clientUrl') });
  await writer.connect();
}

/** Resolves when somebody waits for a lock, as PostgreSQL sees it. */
async function untilSomebodyWaits(): Promise<void> {
  for (;;) {
    const { rowCount } = await writer.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (rowCount! > 0) return;
    await setTimeout(10);
  }
}

const keys = Array.from({ length: ROWS }, (_, index) => index + 1);
const every = async (): Promise<unknown> =>
  diffSync(cqrs, pieces(`author,2026-01-01 00:00:00+00:00,${services.queue}\n[${keys.toReversed().join(',')}]\n`), {});
const repair = (): Promise<unknown> =>
  reconcile(cqrs, { cqrsId: 'author', queue: services.queue, settleSeconds: 0 }).then(({ repaired }) => ({
    synced: repaired,
  }));

const ON_THE_MASTER: readonly [string, () => Promise<unknown>][] = [
  ['sync', () => cqrs.sync({ cqrsId: 'author' })],
  ['sync --new-incarnation', () => cqrs.sync({ cqrsId: 'author', newIncarnation: true })],
  ['diff-sync, keys in another order', every],
  ['reconcile', repair],
];

test.each(ON_THE_MASTER)('%s: a transaction that writes rows in the opposite order commits', async (_, command) => {
  await connect(services.master);
  await writer.query('begin');
  await writer.query(`update author set name = 'b' where id = 40`);
  const ended = command();
  await untilSomebodyWaits();
  await writer.query(`update author set name = name where id = 1`);
  await writer.query('commit');
  expect(await ended).toMatchObject({ synced: ROWS });
  const stored = async (): Promise<unknown[]> =>
    replica(`select count(*)::int as rows, max(name) filter (where id = 40) as name from author_ref`);
  while ((await stored()).some((row) => (row as { rows: number }).rows < ROWS)) await setTimeout(20);
  expect(await stored()).toEqual([{ rows: ROWS, name: 'b' }]);
});

test('rows that somebody holds for long are waited for, the others go meanwhile', async () => {
  await connect(services.master);
  await writer.query('begin');
  await writer.query(`update author set name = 'b' where id in (10, 20, 30)`);
  let told = 0;
  const ended = cqrs.sync({ cqrsId: 'author', onProgress: ({ synced }) => (told = synced) });
  while (told < ROWS - 3) await setTimeout(10);
  await writer.query('commit');
  expect(await ended).toMatchObject({ synced: ROWS, withdrawn: 0, unroutable: 0, lastKey: [String(ROWS)] });
});

/** Makes PostgreSQL end the next transactions that write so with that error, as in a conflict. */
async function conflicts(on: 'master' | 'replica', when: string, state: string): Promise<void> {
  const run = on === 'master' ? master : replica;
  await run(`
    create sequence if not exists conflicts; select setval('conflicts', 1);
    create or replace function conflict() returns trigger language plpgsql as $$ begin
      if nextval('conflicts') <= 3 then raise exception 'conflict' using errcode = '${state}'; end if;
      return null;
    end $$;
    create or replace trigger conflict after ${when} for each statement execute function conflict() /* cqrs */`);
}
const peace = async (on: 'master' | 'replica', table: string): Promise<unknown> =>
  (on === 'master' ? master : replica)(`drop trigger conflict on ${table} /* cqrs */`);

const STATES = { deadlock: '40P01', 'serialization failure': '40001', 'lock timeout': '55P03' };

describe.each(Object.entries(STATES))('after a %s', (_, state) => {
  test.each(ON_THE_MASTER)('%s goes on', async (__, command) => {
    await conflicts('master', 'insert on cqrs_outbox', state);
    expect(await command()).toMatchObject({ synced: ROWS });
    await peace('master', 'cqrs_outbox');
  });

  test('so does what reconcile withdraws', async () => {
    await cqrs.sync({ cqrsId: 'author' });
    await master('delete from author where id > 30 /* cqrs */');
    await conflicts('master', 'insert on cqrs_outbox', state);
    const report = await reconcile(cqrs, { cqrsId: 'author', queue: services.queue, settleSeconds: 0 });
    expect(report).toMatchObject({ extra: ROWS - 30, repaired: ROWS - 30 });
    await peace('master', 'cqrs_outbox');
  });

  const dump = (): AsyncIterable<Uint8Array> =>
    pieces(
      [
        'author',
        ...keys.map((id) => `{"id":${id},"name":"a","cqrs_revision":0,"cqrs_updated":"2026-01-01 00:00:00+00:00"}`),
      ].join('\n'),
    );

  test.each([false, true])('so does bulk-load, with --clear: %p', async (clear) => {
    await conflicts('replica', 'insert on author_ref', state);
    expect(await loadRows(services.replica.cqrs, dump(), { clear })).toEqual(loadResult({ loaded: ROWS }));
    expect(await replica('select count(*)::int as rows from author_ref')).toEqual([{ rows: ROWS }]);
    await peace('replica', 'author_ref');
  });

  test('so does deleted-sync-replica', async () => {
    await loadRows(services.replica.cqrs, dump());
    await conflicts('replica', 'delete on author_ref', state);
    const list = pieces(`author,2026-11-01 00:00:00+00:00\n[${keys.join(',')}]\n`);
    expect(await deletedSyncReplica(services.replica.cqrs, list)).toMatchObject({ deleted: ROWS, failed: 0 });
    await peace('replica', 'author_ref');
  });
});

test('bulk-load --clear makes room for a transaction that holds the table and comes to wait for a key', async () => {
  await replica(`insert into author_ref (id, name, cqrs_updated) values (1, 'old', '2025-01-01')`);
  await connect(services.replica);
  await writer.query('begin');
  await writer.query(`update author_ref set name = 'x' where id = 1`);
  const text = `author\n{"id":2,"name":"a","cqrs_revision":0,"cqrs_updated":"2026-01-01 00:00:00+00:00"}`;
  const ended = loadRows(services.replica.cqrs, pieces(text), { clear: true });
  await untilSomebodyWaits();
  await writer.query(`select pg_advisory_xact_lock_shared($1, 0)`, [0x63717261]);
  await writer.query('commit');
  expect(await ended).toEqual(loadResult({ loaded: 1, removed: 1 }));
});
