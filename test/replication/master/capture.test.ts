import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, raw } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService, type Waiting } from '../../support/master-service.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: {
    id: p.bigint('string').primary(),
    email: p.string().unique(),
    name: p.string().nullable(),
    balance: p.decimal('string').precision(12).scale(2).default('0'),
    note: p.text().lazy().nullable(),
    upper: p
      .string()
      .generated((columns) => `(upper(${columns.name})) stored`)
      .nullable(),
    data: p.json<object>().nullable(),
  },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['name', 'balance'] as const;
}
AccountSchema.setClass(Account);

let service: MasterService;
let orm: MasterService['orm'];
beforeAll(async () => {
  service = await masterService([Account]);
  orm = service.orm;
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('truncate account, cqrs_outbox /* cqrs */');
});
const take = (): Promise<Waiting[]> => service.take();
const brief = (sent: Waiting[]): string[] =>
  sent.map((one) => `${one.signal} ${one.data['email'] ?? 'id'} r${one.data['cqrs_revision']}`);

describe('one flush', () => {
  test('a created row is announced once, with what the database has', async () => {
    const em = orm.em.fork();
    const account = em.create(Account, { email: 'a', name: 'ada' });
    await em.flush();
    const [sent, ...more] = await take();
    expect(more).toEqual([]);
    expect(sent).toMatchObject({
      signal: 'SAVE',
      data: {
        id: Number(account.id),
        email: 'a',
        name: 'ada',
        balance: '0.00',
        note: null,
        upper: 'ADA',
        cqrs_revision: 0,
      },
      previous: { name: null, balance: null },
    });
    expect(sent!.data).not.toHaveProperty('cqrs_incarnation');
    expect(account.cqrsRevision).toBe(0);
    expect(account.cqrsIncarnation).toBe(sent!.incarnation);
  });

  test('a changed row moves its revision; the entity in memory knows it', async () => {
    const em = orm.em.fork();
    const account = em.create(Account, { email: 'a', name: 'ada' });
    await em.flush();
    await take();
    account.name = 'eve';
    await em.flush();
    expect(account.cqrsRevision).toBe(1);
    expect(await take()).toMatchObject([
      { signal: 'SAVE', data: { name: 'eve', cqrs_revision: 1 }, previous: { name: 'ada' } },
    ]);
  });

  test('several changed rows in one statement', async () => {
    const em = orm.em.fork();
    const accounts = ['a', 'b', 'c'].map((email) => em.create(Account, { email, name: email }));
    await em.flush();
    await take();
    for (const account of accounts) account.name += '!';
    await em.flush();
    const sent = await take();
    expect(brief(sent)).toEqual(['SAVE a r1', 'SAVE b r1', 'SAVE c r1']);
    expect(sent.map((one) => one.previous)).toEqual([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    expect(accounts.map((account) => account.cqrsRevision)).toEqual([1, 1, 1]);
  });

  test('a deleted row carries its database revision + 1', async () => {
    const em = orm.em.fork();
    const account = em.create(Account, { email: 'a' });
    await em.flush();
    await orm.em.fork().nativeUpdate(Account, { email: 'a' }, { name: 'later' });
    await take();
    em.remove(account);
    await em.flush();
    expect(await take()).toMatchObject([
      { signal: 'DELETE', data: { id: Number(account.id), cqrs_revision: 2 }, previous: null },
    ]);
  });
});

describe('transactions', () => {
  test('three flushes of one row: one message, one step, the first previous value', async () => {
    const em = orm.em.fork();
    em.create(Account, { email: 'a', name: 'ada' });
    await em.flush();
    await take();
    await em.transactional(async (inner) => {
      const account = await inner.findOneOrFail(Account, { email: 'a' });
      for (const name of ['1', '2', '3']) {
        account.name = name;
        await inner.flush();
      }
    });
    expect(await take()).toMatchObject([{ data: { name: '3', cqrs_revision: 1 }, previous: { name: 'ada' } }]);
  });

  test('two rows flushed twice in a transaction, then changed in bulk: one step each', async () => {
    await orm.em.fork().insertMany(Account, [{ email: 'a' }, { email: 'b' }, { email: 'c' }]);
    await take();
    await orm.em.fork().transactional(async (em) => {
      const accounts = await em.find(Account, { email: { $in: ['a', 'b'] } });
      for (const name of ['1', '2']) {
        for (const account of accounts) account.name = name;
        await em.flush();
      }
      expect(accounts.map((account) => account.cqrsRevision)).toEqual([1, 1]);
      await em.nativeUpdate(Account, {}, { balance: '9' });
    });
    expect(brief(await take())).toEqual(['SAVE a r1', 'SAVE b r1', 'SAVE c r1']);
  });

  test('a rollback leaves nothing, a rolled-back savepoint nothing of its own', async () => {
    const em = orm.em.fork();
    em.create(Account, { email: 'a', name: 'ada' });
    await em.flush();
    await take();
    await expect(
      em.transactional(async (inner) => {
        await inner.nativeUpdate(Account, {}, { name: 'lost' });
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await take()).toEqual([]);
    await orm.em.fork().transactional(async (outer) => {
      await outer.nativeUpdate(Account, {}, { name: 'outer' });
      await outer
        .transactional(async (inner) => {
          inner.create(Account, { email: 'ghost' });
          await inner.flush();
          await inner.nativeUpdate(Account, { email: 'a' }, { name: 'ghost' });
          throw new Error('inner');
        })
        .catch(() => {});
      await outer.transactional(async (inner) => void inner.create(Account, { email: 'kept' }));
    });
    expect(brief(await take())).toEqual(['SAVE a r1', 'SAVE kept r0']);
  });

  test('created and deleted: nothing; deleted and created again: a SAVE of a new incarnation', async () => {
    await orm.em.fork().transactional(async (em) => {
      await em.insert(Account, { email: 'a' });
      await em.nativeDelete(Account, { email: 'a' });
    });
    expect(await take()).toEqual([]);
    await orm.em.fork().insert(Account, { id: '5', email: 'a', name: 'one' });
    const [first] = await take();
    await orm.em.fork().transactional(async (em) => {
      await em.nativeDelete(Account, { id: '5' });
      await em.insert(Account, { id: '5', email: 'a', name: 'two' });
    });
    const [second, ...more] = await take();
    expect(more).toEqual([]);
    expect(second).toMatchObject({ signal: 'SAVE', data: { name: 'two', cqrs_revision: 1 } });
    expect(second!.incarnation).toBeGreaterThan(first!.incarnation);
  });
});

describe("MikroORM's own bulk calls", () => {
  test('insertMany', async () => {
    await orm.em.fork().insertMany(Account, [{ email: 'a' }, { email: 'b' }]);
    expect(brief(await take())).toEqual(['SAVE a r0', 'SAVE b r0']);
  });

  test('nativeUpdate, nativeDelete, upsert, upsertMany', async () => {
    await orm.em.fork().insertMany(Account, [{ email: 'a' }, { email: 'b' }]);
    await take();
    await orm.em.fork().nativeUpdate(Account, {}, { balance: raw('balance + 10') as never });
    expect((await take()).map((one) => [one.data['balance'], one.previous])).toEqual([
      ['10.00', { balance: '0.00' }],
      ['10.00', { balance: '0.00' }],
    ]);
    const upserted = await orm.em.fork().upsert(Account, { email: 'a', name: 'up' });
    expect([upserted.name, upserted.cqrsRevision]).toEqual(['up', 2]);
    expect(await take()).toMatchObject([{ data: { email: 'a', cqrs_revision: 2 }, previous: { name: null } }]);
    const many = await orm.em.fork().upsertMany(Account, [
      { email: 'b', name: 'x' },
      { email: 'c', name: 'y' },
    ]);
    expect(many.map((one) => one.cqrsRevision)).toEqual([2, 0]);
    expect(brief(await take())).toEqual(['SAVE b r2', 'SAVE c r0']);
    expect(await orm.em.fork().nativeDelete(Account, { email: { $in: ['a', 'b'] } })).toBe(2);
    expect((await take()).map((one) => one.signal)).toEqual(['DELETE', 'DELETE']);
  });

  test('query builders, their clones, and what they return', async () => {
    const rows = await orm.em
      .fork()
      .createQueryBuilder(Account)
      .insert([{ email: 'q1' }, { email: 'q2' }])
      .returning(['id', 'email'])
      .execute('all');
    expect(rows.map((row: object) => Object.keys(row))).toEqual([
      ['id', 'email'],
      ['id', 'email'],
    ]);
    expect(brief(await take())).toEqual(['SAVE q1 r0', 'SAVE q2 r0']);
    const builder = orm.em.fork().createQueryBuilder(Account, 'a').update({ name: 'qb' }).where({ email: 'q1' });
    expect(builder.getQuery()).toContain('cqrs_revision');
    await builder.execute();
    await builder.clone().execute();
    expect(brief(await take())).toEqual(['SAVE q1 r1', 'SAVE q1 r2']);
    await expect(orm.em.fork().createQueryBuilder(Account).truncate().execute()).rejects.toThrow(/TRUNCATE/);
  });

  test('a changed key is a DELETE and a SAVE, of many rows at once, too', async () => {
    await orm.em.fork().insertMany(Account, [
      { id: '1', email: 'a' },
      { id: '2', email: 'b' },
    ]);
    const [first] = await take();
    await orm.em.fork().nativeUpdate(Account, { id: '1' }, { id: '11' });
    const sent = await take();
    expect(sent.map((one) => [one.signal, one.data['id'], one.data['cqrs_revision']])).toEqual([
      ['DELETE', 1, 1],
      ['SAVE', 11, 1],
    ]);
    expect(sent[1]!.incarnation).toBeGreaterThan(first!.incarnation);
    // a key that another row has had until then
    await orm.em.fork().nativeUpdate(Account, {}, { id: raw('case when id = 2 then 12 else 2 end') as never });
    expect((await take()).map((one) => [one.signal, one.data['id'], one.data['cqrs_revision']])).toEqual([
      ['SAVE', 2, 1],
      ['DELETE', 11, 2],
      ['SAVE', 12, 1],
    ]);
  });
});

describe('the explicit bulk API', () => {
  test('bulkCreate, bulkUpdate, bulkUpsert, bulkDelete', async () => {
    const em = orm.em.fork();
    em.create(Account, { email: 'pending' });
    const created = await Account.cqrs(em).bulkCreate([{ email: 'a' }, { email: 'b' }]);
    expect(created).toMatchObject({ count: 2, keys: [expect.any(String), expect.any(String)] });
    expect(brief(await take())).toEqual(['SAVE a r0', 'SAVE b r0']);
    expect(await Account.cqrs(em).bulkUpdate({ email: 'a' }, { name: 'x' })).toEqual({
      count: 1,
      keys: [created.keys[0]],
    });
    expect(
      await Account.cqrs(em).bulkUpsert(
        [
          { email: 'a', name: 'y' },
          { email: 'c', name: 'z' },
        ],
        { onConflictFields: ['email'] },
      ),
    ).toMatchObject({ count: 2 });
    expect(brief(await take())).toEqual(['SAVE a r1', 'SAVE a r2', 'SAVE c r0']);
    expect(await Account.cqrs(em).bulkDelete({})).toMatchObject({
      count: 3,
      keys: expect.arrayContaining(created.keys as string[]),
    });
    expect(await orm.em.fork().count(Account)).toBe(0);
  });
});
