import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, raw, type SqlEntityManager } from '@mikro-orm/postgresql';
import { Pool } from 'pg';
import type { CqrsEvents } from '../../../src/kernel/events.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), v: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);

/** No master: what is written there is nobody's business. */
const Plain = defineEntity({ name: 'Plain', properties: { id: p.integer().primary(), accountId: p.integer() } });

let service: MasterService;
const heard: CqrsEvents['cqrs.master.uncaptured'][] = [];
beforeAll(async () => {
  service = await masterService([Account, Plain]);
  await service.sql('create view account_view as select id, v from account');
  await service.sql('create schema other create table account (id int primary key, v text)');
  await service.sql('insert into other.account values (1, $$a$$)');
  service.cqrs.events.on('cqrs.master.uncaptured', (event) => heard.push(event));
  await service.cqrs.check();
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await fork().nativeDelete(Account, {});
  await fork().insertMany(
    Account,
    Array.from({ length: 30 }, (_, id) => ({ id, v: 'x' })),
  );
  await service.take();
  heard.length = 0;
});

const fork = (): SqlEntityManager => service.orm.em.fork();
const connection = () => service.orm.em.getConnection();
async function all(rows: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of rows);
}
const values = Array.from({ length: 1_000 }, (_, id) => `(${id + 100}, 'value')`).join(', ');

test.each<[what: string, write: (em: SqlEntityManager) => Promise<unknown>, reason: string]>([
  [
    'an UPDATE',
    (em) => em.execute(`update account set v = 'r' where id = 1`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'an UPDATE behind 10,000 characters',
    (em) =>
      em.execute(
        `with n(id, v) as (values ${values}, (2, 'l')) update account set v = n.v from n where n.id = account.id`,
      ),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'comments',
    (em) => em.execute(`update /* x /* y */ */ account set v = 'c' where id = 9`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'spaces',
    (em) => em.execute(`update public . account set v = 'c' where id = 10`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'quotes',
    (em) => em.execute(`UPDATE ONLY "public"."account" set v = 'c'`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'Unicode escapes',
    (em) => em.execute(`update U&"\\0061ccount" set v = 'c'`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    `the user's comment`,
    (em) => em.execute(`/* cqrs */ update account set v = 'm' /* cqrs */`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'an INSERT',
    (em) => em.execute(`insert into account (id, v) values (?, ?)`, [100, 'x']),
    'INSERT of its table was sent as raw SQL',
  ],
  [
    'a DELETE',
    (em) => em.execute('delete from account where id = :id', { id: 1 }),
    'DELETE of its table was sent as raw SQL',
  ],
  [
    'a CTE',
    (em) => em.execute('with gone as (delete from account returning id) select count(*) from gone'),
    'DELETE of its table was sent as raw SQL',
  ],
  [
    'a CTE of a builder',
    (em) =>
      em
        .createQueryBuilder(Account, 'a')
        .with('gone', em.createQueryBuilder(Account).delete({ id: 7 }).returning('*'))
        .select('*')
        .where({ id: 8 })
        .execute(),
    'DELETE of its table was sent by a query builder, in WITH',
  ],
  ['TRUNCATE', (em) => em.execute('truncate plain, account'), 'TRUNCATE of its table was sent as raw SQL'],
  [
    'MERGE',
    (em) =>
      em
        .execute('merge into account a using account b on a.id = b.id when matched then delete')
        .catch((error: Error) => {
          // PostgreSQL 15 has it first: the statement is told where it runs.
          if (!/syntax error/.test(error.message)) throw error;
          return em.execute('delete from account');
        }),
    'of its table was sent as raw SQL',
  ],
  [
    'a fragment',
    (em) => em.execute(raw(`update account set v = 'f' where id = 4`)),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'the text of a builder',
    (em) => {
      const builder = em.createQueryBuilder(Account).update({ v: 'q' }).where({ id: 5 });
      return em.execute(builder.getQuery(), [...builder.getParams()]);
    },
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'the formatted text of a builder',
    (em) => em.execute(em.createQueryBuilder(Account).update({ v: 'q' }).where({ id: 6 }).getFormattedQuery()),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'a dump',
    () => connection().executeDump(`select 1; update account set v = 'd' where id = 12;`),
    'UPDATE of its table was sent by executeDump()',
  ],
  [
    'a stream',
    () => all(connection().stream(`update account set v = 's' returning id`)),
    'UPDATE of its table was sent as a stream',
  ],
  [
    'Kysely',
    (em) =>
      (em.getKysely() as never as AnyKysely).updateTable('account').set({ v: 'k' }).where('id', '=', 14).execute(),
    'UPDATE of its table was sent by Kysely',
  ],
  [
    'Kysely in a transaction',
    (em) =>
      em.transactional(async (inner) => {
        await (inner.getKysely() as never as AnyKysely).deleteFrom('account').where('id', '=', 14).execute();
      }),
    'DELETE of its table was sent by Kysely',
  ],
  [
    'a view',
    (em) => em.execute(`update account_view set v = 'v' where id = 1`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'DO',
    (em) => em.execute(`do $$ begin update account set v = 'b'; end $$`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'EXPLAIN ANALYZE',
    (em) => em.execute(`explain analyze update account set v = 'e'`),
    'UPDATE of its table was sent as raw SQL',
  ],
  [
    'in a transaction',
    (em) => em.transactional((inner) => inner.execute(`update account set v = 'r'`)),
    'UPDATE of its table was sent as raw SQL',
  ],
])('%s is heard, once, and named', async (_what, write, reason) => {
  await write(fork());
  expect(heard).toEqual([
    { entity: 'Account', reason: expect.stringContaining(reason), cure: expect.stringMatching(/\.$/) },
  ]);
  expect(await service.take()).toEqual([]);
});

interface AnyKysely {
  updateTable(name: string): { set(values: object): Where };
  deleteFrom(name: string): Where;
}
interface Where {
  where(...condition: unknown[]): { execute(): Promise<unknown> };
}

describe('nothing is told of', () => {
  test.each<[what: string, write: (em: SqlEntityManager) => Promise<unknown>]>([
    ['reads', (em) => em.execute('select * from account for update')],
    [
      'a text that names the table',
      (em) => em.execute(`insert into plain (id, account_id) values (1, 1) -- update account`),
    ],
    ['a table of another schema', (em) => em.execute(`update other.account set v = 'o'`)],
    ['a write that met no row', (em) => em.execute(`update account set v = 'n' where id = -1`)],
    ['a write that failed', (em) => em.execute(`update account set v = 1 / 0`).catch(() => {})],
    ['an explanation', (em) => em.execute(`explain delete from account`)],
    ['a temporary trigger of the catalogue', (em) => em.execute('create table if not exists t (id int, account int)')],
    ['withoutReplication()', (em) => service.cqrs.withoutReplication(() => em.execute(`update account set v = 'w'`))],
    [
      'another table',
      (em) =>
        em
          .getKysely()
          .deleteFrom('plain' as never)
          .execute(),
    ],
  ])('%s', async (_what, write) => {
    await write(fork());
    expect(heard).toEqual([]);
  });

  test.each<[what: string, messages: number, write: (em: SqlEntityManager) => Promise<unknown>]>([
    ['flush', 1, async (em) => em.create(Account, { id: 100, v: 'x' }, { persist: true }) && em.flush()],
    ['native calls', 2, (em) => em.nativeUpdate(Account, { id: [1, 2] }, { v: 'n' })],
    ['a builder', 1, (em) => em.createQueryBuilder(Account).delete({ id: 1 }).execute()],
    [
      'a native query',
      1,
      (em) => em.execute(em.createQueryBuilder(Account).update({ v: 'n' }).where({ id: 3 }).getNativeQuery()),
    ],
    [
      'a stream of a builder',
      1,
      (em) => all(em.createQueryBuilder(Account).update({ v: 's' }).where({ id: 3 }).returning('*').stream()),
    ],
    [
      'a batch of updates',
      30,
      async (em) => {
        for (const account of await em.find(Account, {})) account.v = 'f';
        await em.flush();
      },
    ],
  ])('what is captured: %s', async (_what, messages, write) => {
    await write(fork());
    expect(await service.take()).toHaveLength(messages);
    expect(heard).toEqual([]);
  });
});

test('statements are heard from the first on, once, before start', async () => {
  const fresh = await masterService([Account]);
  try {
    await fresh.orm.reconnect();
    const told: string[] = [];
    fresh.cqrs.events.on('cqrs.master.uncaptured', ({ reason }) => told.push(reason));
    await fresh.orm.em.fork().execute(`insert into account (id, v) values (1, 'a')`);
    expect(told).toEqual(['INSERT of its table was sent as raw SQL']);
  } finally {
    await fresh[Symbol.asyncDispose]();
  }
});

test(`where the service brings a dialect of its own, MikroORM's ways are heard`, async () => {
  const { PostgresDialect } = await import('kysely');
  const { clientUrl } = service.orm.config.getAll();
  const pool = (): Promise<Pool> => Promise.resolve(new Pool({ connectionString: clientUrl! }));
  const { MikroORM } = await import('@mikro-orm/postgresql');
  const { Cqrs } = await import('../../../src/cqrs.js');
  const cqrs = new Cqrs({ transport: 'MemoryTransport' });
  const orm = await MikroORM.init({
    dbName: 'unused',
    entities: [Account],
    extensions: [cqrs],
    driverOptions: new PostgresDialect({ pool: pool as never }),
  });
  try {
    const told: string[] = [];
    cqrs.events.on('cqrs.master.uncaptured', ({ reason }) => told.push(reason));
    await orm.em.fork().execute(`update account set v = 'd' where id = 1`);
    await orm.em.getConnection().executeDump(`update account set v = 'd' where id = 1`);
    await orm.em.fork().nativeUpdate(Account, { id: 1 }, { v: 'n' });
    expect(told).toEqual(['UPDATE of its table was sent as raw SQL', 'UPDATE of its table was sent by executeDump()']);
  } finally {
    await orm.close();
  }
});
