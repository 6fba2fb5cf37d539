import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Collection, defineEntity, p, raw } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/index.js';
import { type MasterService, masterService } from '../support/master-service.js';

/** What django-cqrs does, or gets wrong, when a master is written; docs/django-cqrs.md has them by number. */

const columns = { id: p.integer().primary(), name: p.string(), note: p.string().nullable() };

const TagSchema = defineEntity({ name: 'Tag', properties: { id: p.integer().primary() } });
const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { ...columns, tags: () => p.manyToMany(TagSchema) },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['name', 'note'] as const;
  override isSyncInstance(): boolean {
    return this.name !== 'hidden';
  }
}
AccountSchema.setClass(Account);

const CardSchema = defineEntity({
  name: 'Card',
  extends: MasterEntity,
  properties: { ...columns, account: () => p.manyToOne(Account) },
});
class Card extends masterClass(CardSchema) {
  static override CQRS_ID = 'card';
  static override CQRS_TRACKED_FIELDS = '__all__' as const;
  static override CQRS_SERIALIZER = (card: Card) => ({ id: card.id, name: card.name, owner: card.account.name });
  static override relateCqrsSerialization() {
    return ['account'];
  }
}
CardSchema.setClass(Card);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([TagSchema, Account, Card]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('truncate account, card, tag, account_tags, cqrs_outbox restart identity cascade /* cqrs */');
});
const fork = () => service.orm.em.fork();
const ada = async (): Promise<void> => {
  await fork().insert(Account, { name: 'ada' });
  await service.take();
};

test('two objects of one row saved in one transaction: one message, with the columns of both', async () => {
  await ada();
  await fork().transactional(async (em) => {
    const other = em.fork({ keepTransactionContext: true });
    const [one, two] = [await em.findOneOrFail(Account, 1), await other.findOneOrFail(Account, 1)];
    expect(one).not.toBe(two);
    one.name = 'eve';
    await em.flush();
    two.note = 'both';
    await other.flush();
  });
  expect(await service.take()).toMatchObject([{ data: { name: 'eve', note: 'both', cqrs_revision: 1 } }]);
});

test('one column written, then all of them, in one transaction: one message, one step', async () => {
  await ada();
  await fork().transactional(async (em) => {
    await em.nativeUpdate(Account, { id: 1 }, { note: 'restricted' });
    const account = await em.findOneOrFail(Account, 1);
    account.name = 'full';
    await em.flush();
  });
  expect(await service.take()).toMatchObject([{ data: { name: 'full', note: 'restricted', cqrs_revision: 1 } }]);
});

test('the filter is asked about the state at the end of the transaction', async () => {
  const twice = (first: string, second: string) =>
    fork().transactional(async (em) => {
      const account = em.create(Account, { name: first });
      await em.flush();
      account.name = second;
      await em.flush();
    });
  await twice('hidden', 'shown');
  await twice('shown', 'hidden');
  expect((await service.take()).map(({ data }) => data['name'])).toEqual(['shown']);
});

test('a row that is filtered sends no state, for save and sync, and its revision grows', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'hidden' });
  await em.flush();
  account.note = 'x';
  await em.flush();
  expect(account.cqrsRevision).toBe(1);
  expect(await account.cqrsSync()).toBe(false);
  await service.sql("delete from cqrs_outbox where body::json->>'signal_type' = 'DELETE'");
  expect(await service.take()).toEqual([]);
});

test('an expression is sent as the value that the database made of it', async () => {
  await fork().insert(Account, { name: raw("upper('ada')") as never });
  await fork().nativeUpdate(Account, { id: 1 }, { note: raw("name || '!'") as never });
  expect((await service.take()).map(({ data }) => [data['name'], data['note']])).toEqual([
    ['ADA', null],
    ['ADA', 'ADA!'],
  ]);
});

test('a related row that changes does not announce those whose serializer shows it; saving them does', async () => {
  await ada();
  await fork().insert(Card, { name: 'visa', account: 1 });
  await service.take();
  await fork().nativeUpdate(Account, { id: 1 }, { name: 'eve' });
  expect((await service.take()).map(({ cqrsId }) => cqrsId)).toEqual(['account']);
  await fork().nativeUpdate(Card, { id: 1 }, { name: 'master' });
  expect(await service.take()).toMatchObject([{ cqrsId: 'card', data: { owner: 'eve' } }]);
});

test('many-to-many relations are not sent', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'ada' });
  account.tags.add(em.create(TagSchema, {}));
  await em.flush();
  expect(account.tags).toBeInstanceOf(Collection);
  const [sent, ...others] = await service.take();
  expect(Object.keys(sent!.data)).toEqual(['id', 'name', 'note', 'cqrs_revision', 'cqrs_updated']);
  expect(others).toEqual([]);
});

test('previous data is compared with the row in the database, for bulk updates too, and holds only what changed', async () => {
  await ada();
  await fork().nativeUpdate(Account, { id: 1 }, { note: 'x' });
  await Account.cqrs(fork()).bulkUpdate({ id: 1 }, { name: 'eve', note: 'x' });
  expect((await service.take()).map(({ previous }) => previous)).toEqual([{ note: null }, { name: 'ada' }]);
});

test('tracking all fields of a master with a serializer: former values, save by save', async () => {
  await ada();
  const em = fork();
  const card = em.create(Card, { name: 'visa', account: em.getReference(Account, 1) });
  await em.flush();
  await service.take();
  for (const name of ['one', 'two']) {
    card.name = name;
    await em.flush();
  }
  const sent = await service.take();
  expect(sent.map(({ previous }) => previous!['name'])).toEqual(['visa', 'one']);
  expect(sent.map(({ previous }) => previous!['cqrs_revision'])).toEqual([0, 1]);
});

test('a SYNC has no previous data, whatever was saved before', async () => {
  await ada();
  const em = fork();
  const account = await em.findOneOrFail(Account, 1);
  account.name = 'eve';
  await em.flush();
  await account.cqrsSync();
  expect((await service.take()).map(({ signal, previous }) => [signal, previous])).toEqual([
    ['SAVE', { name: 'ada' }],
    ['SYNC', null],
  ]);
});
