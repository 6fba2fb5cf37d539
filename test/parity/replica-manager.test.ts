import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/core';
import { MappingError } from '../../src/kernel/errors.js';
import { type CreateContext, replicaClass, ReplicaEntity, type SaveContext, type WireObject } from '../../src/index.js';
import { replica } from '../../src/replication/replica/definition/replica-entity.js';
import { ReplicaService } from '../replication/replica/support/replica-service.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** The replica manager of django-cqrs, name by name. */

const columns = { id: p.integer().primary(), name: p.string() };
const AccountSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: columns });
class AccountRef extends replicaClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);

const calls: unknown[] = [];
const HookedSchema = defineEntity({ name: 'HookedRef', extends: ReplicaEntity, properties: columns });
class HookedRef extends replicaClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
  static override CQRS_META = true;
  static override async cqrsSave(em: EntityManager, data: WireObject, context?: SaveContext) {
    calls.push('save');
    return HookedRef.cqrs(em).saveInstance({ ...data, name: `my ${String(data['name'])}` }, context);
  }
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    calls.push(['create', context.sync, context.previousData, context.meta]);
    return super.cqrsCreate(em, context);
  }
}
HookedSchema.setClass(HookedRef);

const BareSchema = defineEntity({ name: 'BareRef', extends: ReplicaEntity, properties: columns });
class BareRef extends replicaClass(BareSchema) {
  static override CQRS_ID = 'bare';
  static override CQRS_NO_DB_OPERATIONS = true;
  static override async cqrsSave() {
    calls.push('bare');
  }
}
BareSchema.setClass(BareRef);
const OptionsRef = replica(defineEntity({ name: 'OptionsRef', extends: ReplicaEntity, properties: columns }), {
  id: 'options',
});

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [AccountRef, HookedRef, BareRef, OptionsRef]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows('truncate account_ref, hooked_ref, options_ref, cqrs_tombstones');
  calls.length = 0;
});
const fork = () => service.orm.em.fork();
const state = (name: string, revision: number, id = 1) => ({
  id,
  name,
  cqrs_revision: revision,
  cqrs_updated: `2026-11-21 10:00:0${revision}+00:00`,
});
const nameOf = async (id = 1) => (await fork().findOne(AccountRef, id))?.name;

test('save_instance → AccountRef.cqrs(em).saveInstance(masterData, { previousData, sync, meta })', async () => {
  const manager = AccountRef.cqrs(fork());
  expect(await manager.saveInstance(state('ada', 3))).toMatchObject({ kind: 'applied', action: 'create' });
  expect(await manager.saveInstance(state('eve', 4))).toMatchObject({ kind: 'applied', action: 'update' });
  expect(await manager.saveInstance(state('old', 2))).toEqual({ kind: 'skipped', reason: 'stale' });
  expect(await manager.saveInstance(state('sync', 4), { sync: true })).toMatchObject({ kind: 'applied' });
  expect(await nameOf()).toBe('sync');
  const { name: _, ...nameless } = state('x', 5);
  await expect(manager.saveInstance(nameless)).rejects.toThrow(MappingError);
});

test('save_instance inside cqrsSave: the rules, and no call of itself', async () => {
  const context = { previousData: { name: 'ada' }, sync: true, meta: { by: 'eve' } };
  expect(await HookedRef.cqrsSave(fork(), state('ada', 0), context)).toMatchObject({ action: 'create' });
  expect(calls).toEqual(['save', ['create', true, { name: 'ada' }, { by: 'eve' }]]);
  expect((await fork().findOneOrFail(HookedRef, 1)).name).toBe('my ada');
});

test('create_instance → createInstance: only where there is no row', async () => {
  const manager = AccountRef.cqrs(fork());
  expect(await manager.createInstance(state('ada', 0))).toMatchObject({ kind: 'applied', action: 'create' });
  expect(await manager.createInstance(state('eve', 1))).toEqual({ kind: 'skipped', reason: 'exists' });
  expect(await nameOf()).toBe('ada');
});

test('update_instance → updateInstance: only where there is a row, and only to a newer state', async () => {
  const manager = AccountRef.cqrs(fork());
  expect(await manager.updateInstance(state('ada', 1))).toEqual({ kind: 'skipped', reason: 'absent' });
  await manager.saveInstance(state('ada', 1));
  expect(await manager.updateInstance(state('eve', 2))).toMatchObject({ kind: 'applied', action: 'update' });
  expect(await manager.updateInstance(state('old', 1))).toEqual({ kind: 'skipped', reason: 'stale' });
  expect(await nameOf()).toBe('eve');
});

test('delete_instance → deleteInstance: the row goes, and older states do not bring it back', async () => {
  const manager = AccountRef.cqrs(fork());
  await manager.saveInstance(state('ada', 1), { incarnation: 1 });
  expect(await manager.deleteInstance(state('', 2), { incarnation: 1 })).toMatchObject({
    kind: 'applied',
    action: 'delete',
  });
  expect(await manager.saveInstance(state('old', 1), { incarnation: 1 })).toEqual({ kind: 'skipped', reason: 'stale' });
  expect(await nameOf()).toBeUndefined();
  expect(await manager.saveInstance(state('new', 0), { incarnation: 2 })).toMatchObject({ action: 'create' });
});

test('the manager works in the open transaction of its EntityManager', async () => {
  const failing = fork().transactional(async (em) => {
    await AccountRef.cqrs(em).createInstance(state('ada', 0));
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await nameOf()).toBeUndefined();
});

test('create_instance by two at once: one makes the row, the other finds it', async () => {
  const both = await Promise.all([1, 2].map((n) => AccountRef.cqrs(fork()).createInstance(state(`n${n}`, 0))));
  expect(both.map(({ kind }) => kind).toSorted()).toEqual(['applied', 'skipped']);
});

test('a replica without a table has nothing for the manager to write to', async () => {
  await expect(BareRef.cqrs(fork()).saveInstance(state('x', 0))).rejects.toThrow('has no table to write to');
  await expect(BareRef.cqrs(fork()).deleteInstance(state('x', 0))).rejects.toThrow('has no table to write to');
});
