import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { BaseEntity, defineEntity, p } from '@mikro-orm/postgresql';
import { type FieldsOf, Master, master, masterClass, MasterEntity, type MetaContext } from '../../src/index.js';
import { type MasterService, masterService } from '../support/master-service.js';

/** One test for each row of django-cqrs's public surface; the name says what stands for what. */

const columns = { id: p.integer().primary(), name: p.string(), note: p.string().nullable() };

const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties: columns });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['name'] as const satisfies FieldsOf<Account>;
}
AccountSchema.setClass(Account);

const CardSchema = defineEntity({ name: 'Card', extends: Master(BaseEntity), properties: columns });
class Card extends masterClass(CardSchema) {
  static override CQRS_ID = 'card';
  static override CQRS_FIELDS = ['id', 'name'] as const satisfies FieldsOf<Card>;
  override isSyncInstance(): boolean {
    return this.name !== 'hidden';
  }
  override getCqrsMeta({ instanceData, previousData, signalType }: MetaContext) {
    return { fields: Object.keys(instanceData), previous: previousData, signal: signalType, of: this.name };
  }
  override getCustomCqrsDeleteData() {
    return { was: this.name };
  }
}
CardSchema.setClass(Card);

const Bill = master(defineEntity({ name: 'Bill', extends: MasterEntity, properties: columns }), {
  id: 'bill',
  produce: false,
});

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { ...columns, account: () => p.manyToOne(Account) },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
  static override CQRS_SERIALIZER = (note: Note) => ({ id: note.id, title: note.name, by: note.account.name });
  static override relateCqrsSerialization() {
    return ['account'];
  }
}
NoteSchema.setClass(Note);

const queries: string[] = [];
let service: MasterService;
beforeAll(async () => {
  service = await masterService([Account, Card, Bill, Note], {
    options: { debug: ['query'], colors: false, logger: (message) => queries.push(message) },
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.sql('truncate account, card, bill, note, cqrs_outbox restart identity cascade /* cqrs */');
});
const fork = () => service.orm.em.fork();
const taken = async () =>
  (await service.take()).map(({ signal, cqrsId, data }) => `${signal} ${cqrsId} ${data['name'] ?? data['id']}`);

test('RawMasterMixin, MasterMixin → MasterEntity, Master(Base), master(Schema)', async () => {
  await fork().insert(Account, { name: 'ada' });
  await fork().insert(Card, { name: 'visa' });
  const em = fork();
  em.create(Bill, { name: 'silent' });
  await em.flush();
  expect(await taken()).toEqual(['SAVE account ada', 'SAVE card visa']);
  expect(new Account()).toBeInstanceOf(MasterEntity);
  expect(new Card()).toBeInstanceOf(BaseEntity);
  expect(service.cqrs.masters.ids.toSorted()).toEqual(['account', 'bill', 'card', 'note']);
});

test('CQRS_ID → static CQRS_ID', () => {
  expect(service.cqrs.masters.getModelByCqrsId(Account.CQRS_ID)).toBe(Account);
});

test('CQRS_PRODUCE → static CQRS_PRODUCE: declared and silent', async () => {
  await fork().insert(Bill, { name: 'silent' });
  expect(await taken()).toEqual([]);
  expect(masterClass(Bill).CQRS_PRODUCE).toBe(false);
  expect(Account.CQRS_PRODUCE).toBe(true);
});

test('CQRS_FIELDS → static CQRS_FIELDS: the listed properties travel, by default all', async () => {
  await fork().insert(Account, { name: 'ada' });
  await fork().insert(Card, { name: 'visa', note: 'stays' });
  expect((await service.take()).map(({ data }) => Object.keys(data))).toEqual([
    ['id', 'name', 'note', 'cqrs_revision', 'cqrs_updated'],
    ['id', 'name', 'cqrs_revision', 'cqrs_updated'],
  ]);
  expect(Account.CQRS_FIELDS).toBe('__all__');
});

test('CQRS_SERIALIZER → static CQRS_SERIALIZER: a function or class, sync or async', async () => {
  const em = fork();
  em.create(Note, { name: 'hello', account: em.create(Account, { name: 'ada' }) });
  await em.flush();
  const sent = (await service.take()).find((one) => one.cqrsId === 'note')!;
  expect(sent.data).toEqual({ id: 1, title: 'hello', by: 'ada', cqrs_revision: 0, cqrs_updated: expect.any(String) });
});

test('CQRS_TRACKED_FIELDS → static CQRS_TRACKED_FIELDS: former values travel', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'ada' });
  await em.flush();
  account.name = 'eve';
  await em.flush();
  account.note = 'not tracked';
  await em.flush();
  expect((await service.take()).map((one) => one.previous)).toEqual([{ name: null }, { name: 'ada' }, {}]);
});

test('cqrs_revision, cqrs_updated → cqrsRevision, cqrsUpdated, and cqrsIncarnation beyond them', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'ada' });
  await em.flush();
  const created = { updated: account.cqrsUpdated, incarnation: account.cqrsIncarnation };
  expect(account.cqrsRevision).toBe(0);
  account.name = 'eve';
  await em.flush();
  expect(account.cqrsRevision).toBe(1);
  expect(account.cqrsUpdated.getTime()).toBeGreaterThanOrEqual(created.updated.getTime());
  expect(account.cqrsIncarnation).toBe(created.incarnation);
  const [first, second] = await service.take();
  expect([first!.data['cqrs_revision'], second!.data['cqrs_revision']]).toEqual([0, 1]);
  expect(String(second!.data['cqrs_updated']) > String(first!.data['cqrs_updated'])).toBe(true);
});

test('cqrs.bulk_create → Account.cqrs(em).bulkCreate', async () => {
  const created = await Account.cqrs(fork()).bulkCreate([{ name: 'ada' }, { name: 'eve' }]);
  expect(created).toEqual({ count: 2, keys: [1, 2] });
  expect(await taken()).toEqual(['SAVE account ada', 'SAVE account eve']);
});

test('cqrs.bulk_update → Account.cqrs(em).bulkUpdate', async () => {
  await Account.cqrs(fork()).bulkCreate([{ name: 'ada' }, { name: 'eve' }, { name: 'bob' }]);
  await service.take();
  const changed = await Account.cqrs(fork()).bulkUpdate({ name: { $ne: 'bob' } }, { note: 'x' });
  expect({ ...changed, keys: changed.keys.toSorted() }).toEqual({ count: 2, keys: [1, 2] });
  expect((await taken()).toSorted()).toEqual(['SAVE account ada', 'SAVE account eve']);
});

test('beyond cqrs.bulk_…: Account.cqrs(em).bulkUpsert and .bulkDelete', async () => {
  await Account.cqrs(fork()).bulkCreate([{ name: 'ada' }]);
  const upserted = await Account.cqrs(fork()).bulkUpsert([
    { id: 1, name: 'ADA' },
    { id: 7, name: 'new' },
  ]);
  expect(upserted.count).toBe(2);
  const deleted = await Account.cqrs(fork()).bulkDelete({ name: 'ADA' });
  expect(deleted).toEqual({ count: 1, keys: [1] });
  expect(await taken()).toEqual(['SAVE account ada', 'SAVE account ADA', 'SAVE account new', 'DELETE account 1']);
});

test('call_post_bulk_create → callPostBulkCreate: announces rows that raw SQL inserted', async () => {
  await fork().transactional(async (em) => {
    await em.execute("insert into account (id, name) values (1, 'ada'), (2, 'eve')");
    expect(await Account.callPostBulkCreate([{ id: 1 }, { id: 2 }], { em })).toBe(2);
  });
  expect(await taken()).toEqual(['SAVE account ada', 'SAVE account eve']);
});

test('call_post_update → callPostUpdate: announces rows that raw SQL changed, with a new revision', async () => {
  await fork().insert(Account, { name: 'ada' });
  await service.take();
  await fork().transactional(async (em) => {
    await em.execute("update account set name = 'eve'");
    expect(await Account.callPostUpdate([{ id: 1 }], { em })).toBe(1);
  });
  expect(await service.take()).toMatchObject([{ signal: 'SAVE', data: { name: 'eve', cqrs_revision: 1 } }]);
});

test('call_post_…, of a transaction that rolls back, announce nothing', async () => {
  const failing = fork().transactional(async (em) => {
    await em.execute("insert into account (id, name) values (1, 'ada')");
    await Account.callPostBulkCreate([{ id: 1 }], { em });
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await taken()).toEqual([]);
});

test('to_cqrs_dict → toCqrsDict', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'ada', note: null });
  const note = em.create(Note, { name: 'hello', account });
  await em.flush();
  account.name = 'in memory';
  const own = { cqrs_revision: 0, cqrs_updated: expect.stringMatching(/\+00:00$/) };
  expect(await account.toCqrsDict()).toEqual({ id: 1, name: 'in memory', note: null, ...own });
  expect(await account.toCqrsDict({ em, sync: true })).toEqual(await account.toCqrsDict());
  expect(await note.toCqrsDict()).toEqual({ id: 1, title: 'hello', by: 'in memory', ...own });
});

test('get_tracked_fields_data → getTrackedFieldsData', async () => {
  const em = fork();
  const account = em.create(Account, { name: 'ada' });
  expect(account.getTrackedFieldsData({ em })).toBeNull();
  await em.flush();
  expect(account.getTrackedFieldsData()).toEqual({});
  account.name = 'eve';
  account.note = 'not tracked';
  expect(account.getTrackedFieldsData()).toEqual({ name: 'ada' });
  const card = em.create(Card, { name: 'visa' });
  await em.flush();
  expect(card.getTrackedFieldsData()).toBeNull();
});

test('cqrs_sync → cqrsSync: false when the row is not persisted, gone, or filtered', async () => {
  const em = fork();
  const card = em.create(Card, { name: 'visa' });
  expect(await card.cqrsSync({ em })).toBe(false);
  await em.flush();
  await service.take();
  expect(await card.cqrsSync({ queue: 'reports' })).toBe(true);
  expect(await service.take()).toMatchObject([{ signal: 'SYNC', queue: 'reports', data: { name: 'visa' } }]);
  await service.cqrs.withoutReplication(() => fork().nativeUpdate(Card, { id: card.id }, { name: 'hidden' }));
  expect(await card.cqrsSync()).toBe(false);
  await fork().nativeDelete(Card, { id: card.id });
  await service.take();
  expect(await card.cqrsSync()).toBe(false);
  expect(await service.take()).toEqual([]);
});

test('is_sync_instance → isSyncInstance: called on the row as the database has it, for flush and bulk', async () => {
  const em = fork();
  const card = em.create(Card, { name: 'hidden' });
  await em.flush();
  await Card.cqrs(em).bulkCreate([{ name: 'hidden' }]);
  expect(await taken()).toEqual([]);
  await Card.cqrs(em).bulkUpdate({ id: card.id }, { name: 'shown' });
  card.name = 'hidden';
  expect(await taken()).toEqual(['SAVE card shown']);
  expect(new Account().isSyncInstance()).toBe(true);
});

test('get_cqrs_meta → getCqrsMeta({ instanceData, previousData, signalType })', async () => {
  await fork().insert(Card, { name: 'visa' });
  expect(await service.take()).toMatchObject([
    { meta: { fields: ['id', 'name', 'cqrs_revision', 'cqrs_updated'], previous: null, signal: 'SAVE', of: 'visa' } },
  ]);
});

test('get_custom_cqrs_delete_data → getCustomCqrsDeleteData', async () => {
  await fork().insert(Card, { name: 'visa' });
  await fork().insert(Account, { name: 'ada' });
  await service.take();
  await fork().nativeDelete(Card, {});
  await fork().nativeDelete(Account, {});
  const [card, account] = await service.take();
  expect(card).toMatchObject({ signal: 'DELETE', data: { id: 1, cqrs_revision: 1, custom: { was: 'visa' } } });
  expect(account!.data).not.toHaveProperty('custom');
});

test('relate_cqrs_serialization → static relateCqrsSerialization: loaded once for all rows of a transaction', async () => {
  await fork().insert(Account, { name: 'ada' });
  queries.length = 0;
  await Note.cqrs(fork()).bulkCreate(['a', 'b', 'c'].map((name) => ({ name, account: 1 })));
  expect(queries.filter((query) => /select .* from "account"/.test(query))).toHaveLength(1);
  expect((await service.take()).slice(1).map((one) => one.data['by'])).toEqual(['ada', 'ada', 'ada']);
});

test('signals post_bulk_create, post_update; MasterSignals → the event cqrs.master.announced, after COMMIT', async () => {
  const heard: unknown[] = [];
  const off = service.cqrs.events.on('cqrs.master.announced', (event) => heard.push(event));
  await fork().transactional(async (em) => {
    await Account.cqrs(em).bulkCreate([{ name: 'ada' }, { name: 'eve' }]);
    await Card.cqrs(em).bulkCreate([{ name: 'visa' }]);
    expect(heard).toEqual([]);
  });
  off();
  expect(heard).toEqual([{ count: 3, cqrsIds: ['account', 'card'], counts: { account: 2, card: 1 } }]);
});
