import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/index.js';
import { type MasterService, masterService } from '../support/master-service.js';

/** django-cqrs counts saves on the object; here the transaction is asked what it will say. */

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  override isSyncInstance(): boolean {
    return this.name !== 'hidden';
  }
}
AccountSchema.setClass(Account);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Account]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('truncate account, cqrs_outbox restart identity /* cqrs */');
});
const fork = () => service.orm.em.fork();

test('cqrs_saves_count → cqrs.pending(em): one entry a row, however often it was saved', async () => {
  const { cqrs } = service;
  await fork().transactional(async (em) => {
    expect(cqrs.pending(em)).toEqual([]);
    const ada = em.create(Account, { name: 'ada' });
    expect(cqrs.pending(em)).toEqual([]);
    await em.flush();
    const created = { cqrsId: 'account', signalType: 'SAVE', instancePk: ada.id, revision: 0 };
    expect(cqrs.pending(em)).toEqual([created]);
    ada.name = 'eve';
    await em.flush();
    await Account.cqrs(em).bulkCreate([{ name: 'bob' }]);
    expect(cqrs.pending(em)).toEqual([created, { ...created, instancePk: 2 }]);
  });
  expect(cqrs.pending(fork())).toEqual([]);
  expect((await service.take()).map(({ pk }) => pk)).toEqual([1, 2]);
});

test('is_initial_cqrs_save → cqrs.pending(em): whether the row is in it; what is filtered or never was is not', async () => {
  await fork().insertMany(Account, [{ name: 'ada' }, { name: 'bob' }]);
  await service.take();
  await fork().transactional(async (em) => {
    await em.nativeUpdate(Account, { id: 1 }, { name: 'eve' });
    await em.nativeDelete(Account, { id: 2 });
    await em.insert(Account, { name: 'hidden' });
    await em.insert(Account, { name: 'brief' });
    await em.nativeDelete(Account, { name: 'brief' });
    expect(service.cqrs.pending(em)).toEqual([
      { cqrsId: 'account', signalType: 'SAVE', instancePk: 1, revision: 1 },
      { cqrsId: 'account', signalType: 'DELETE', instancePk: 2, revision: 1 },
    ]);
  });
  expect((await service.take()).map(({ signal, pk, data }) => [signal, pk, data['cqrs_revision']])).toEqual([
    ['SAVE', 1, 1],
    ['DELETE', 2, 1],
  ]);
});

test('reset_cqrs_saves_count → nothing to reset: a rollback forgets by itself, a savepoint only its own', async () => {
  const { cqrs } = service;
  await fork().insert(Account, { name: 'ada' });
  await service.take();
  const em = fork();
  await em.begin();
  await em.nativeUpdate(Account, { id: 1 }, { name: 'eve' });
  await em
    .transactional(async (inner) => {
      await inner.nativeUpdate(Account, { id: 1 }, { name: 'twice' });
      await inner.insert(Account, { name: 'lost' });
      expect(cqrs.pending(inner).map(({ instancePk }) => instancePk)).toEqual([1, 2]);
      throw new Error('no');
    })
    .catch(() => {});
  expect(cqrs.pending(em).map(({ instancePk }) => instancePk)).toEqual([1]);
  await em.rollback();
  expect(cqrs.pending(em)).toEqual([]);
  await fork().nativeUpdate(Account, { id: 1 }, { name: 'said' });
  expect(await service.take()).toMatchObject([{ signal: 'SAVE', data: { name: 'said', cqrs_revision: 1 } }]);
});
