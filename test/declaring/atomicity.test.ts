import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string().unique() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_SERIALIZER = async (account: Account) => {
    if (account.name === 'unspeakable') throw new Error('the serializer refuses');
    return { id: account.id, name: account.name };
  };
}
AccountSchema.setClass(Account);

describe.each([
  ['as MikroORM does by default', {}],
  ['with implicitTransactions: false', { implicitTransactions: false }],
  ['with disableTransactions', { disableTransactions: true }],
])('a change and its message commit together %s', (_, options) => {
  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Account], { options });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await service.sql('truncate account, cqrs_outbox /* cqrs */');
  });
  const stored = async (): Promise<string[]> =>
    (await service.sql<{ name: string }>('select name from account order by id')).map((row) => row.name);
  const announced = async (): Promise<unknown[]> => (await service.take()).map((one) => one.data['name'] ?? one.signal);
  const fork = () => service.orm.em.fork();

  test('flush', async () => {
    const em = fork();
    const ada = em.create(Account, { name: 'ada' });
    await em.flush();
    ada.name = 'eve';
    await em.flush();
    em.remove(ada);
    await em.flush();
    expect(await announced()).toEqual(['ada', 'eve', 'DELETE']);
    expect(await stored()).toEqual([]);
  });

  test('a statement that fails leaves no message of its own', async () => {
    await fork().insert(Account, { name: 'ada' });
    await expect(fork().insert(Account, { name: 'ada' })).rejects.toThrow(/unique/);
    const em = fork();
    em.create(Account, { name: 'ada' });
    await expect(em.flush()).rejects.toThrow(/unique/);
    expect(await announced()).toEqual(['ada']);
  });

  test('a serializer that throws: the caller gets its error, and nothing is kept', async () => {
    const em = fork();
    em.create(Account, { name: 'unspeakable' });
    await expect(em.flush()).rejects.toThrow('the serializer refuses');
    await expect(fork().insert(Account, { name: 'unspeakable' })).rejects.toThrow('the serializer refuses');
    await expect(Account.cqrs(fork()).bulkCreate([{ name: 'fine' }, { name: 'unspeakable' }])).rejects.toThrow(
      'the serializer refuses',
    );
    expect([await stored(), await announced()]).toEqual([[], []]);
  });

  // claims: atomic-capture
  test('an outbox that cannot be written: the caller gets the error, and nothing is kept', async () => {
    await service.sql('alter table cqrs_outbox rename to away');
    try {
      const em = fork();
      em.create(Account, { name: 'ada' });
      await expect(em.flush()).rejects.toThrow(/cqrs_outbox/);
      await expect(fork().insert(Account, { name: 'ada' })).rejects.toThrow(/cqrs_outbox/);
      await expect(Account.cqrs(fork()).bulkCreate([{ name: 'ada' }])).rejects.toThrow(/cqrs_outbox/);
    } finally {
      await service.sql('alter table away rename to cqrs_outbox');
    }
    expect(await stored()).toEqual([]);
  });
});

describe('a transaction', () => {
  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Account]);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await service.sql('truncate account, cqrs_outbox /* cqrs */');
  });
  const state = async (): Promise<[number, unknown[]]> => [
    (await service.sql('select 1 from account')).length,
    await service.take(),
  ];

  test('whose statement failed and was swallowed is no success: the caller gets an error, and nothing is kept', async () => {
    await expect(
      service.orm.em.fork().transactional(async (em) => {
        await em.insert(Account, { name: 'ada' });
        await em.execute('select 1 / 0').catch(() => undefined);
      }),
    ).rejects.toThrow(/aborted/);
    expect(await state()).toEqual([0, []]);
  });

  test('whose swallowed statement came after the last change, with begin and commit by hand', async () => {
    const em = service.orm.em.fork();
    await em.begin();
    await em.insert(Account, { name: 'ada' });
    await em.insert(Account, { name: 'ada' }).catch(() => undefined);
    await expect(em.commit()).rejects.toThrow(/aborted/);
    await em.rollback().catch(() => undefined);
    expect(await state()).toEqual([0, []]);
  });

  test('may fail in a savepoint and go on', async () => {
    await service.orm.em.fork().transactional(async (em) => {
      await em.insert(Account, { name: 'ada' });
      await em
        .transactional(async (inner) => {
          await inner.insert(Account, { name: 'lost' });
          await inner.insert(Account, { name: 'ada' });
        })
        .catch(() => undefined);
      await em.insert(Account, { name: 'eve' });
    });
    expect((await service.take()).map((one) => one.data['name'])).toEqual(['ada', 'eve']);
  });

  // claims: atomic-capture
  test('that is rolled back by an error of its own leaves nothing', async () => {
    await expect(
      service.orm.em.fork().transactional(async (em) => {
        await em.insert(Account, { name: 'ada' });
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect(await state()).toEqual([0, []]);
  });
});
