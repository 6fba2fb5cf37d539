import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p, raw } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import type { CreateContext } from '../../src/replication/replica/definition/replica-hooks.js';
import { twoServices, type TwoServices } from '../support/two-services.js';

const columns = () => ({
  id: p.integer().primary().autoincrement(false),
  name: p.string(),
  amount: p.decimal('string').precision(20).scale(4).nullable(),
  at: p.datetime().columnType('timestamptz(6)').nullable(),
  data: p.json<object>().nullable(),
});
const ThingSchema = defineEntity({ name: 'Thing', extends: MasterEntity, properties: columns() });
class Thing extends masterClass(ThingSchema) {
  static override CQRS_ID = 'thing';
}
ThingSchema.setClass(Thing);
const PartSchema = defineEntity({
  name: 'Part',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), thing: () => p.manyToOne(Thing) },
});
class Part extends masterClass(PartSchema) {
  static override CQRS_ID = 'part';
}
PartSchema.setClass(Part);

const ThingRefSchema = defineEntity({
  name: 'ThingRef',
  tableName: 'thing',
  extends: ReplicaEntity,
  properties: columns(),
});
class ThingRef extends replicaClass(ThingRefSchema) {
  static override CQRS_ID = 'thing';
}
ThingRefSchema.setClass(ThingRef);
const PartRefSchema = defineEntity({
  name: 'PartRef',
  tableName: 'part',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), thing: () => p.manyToOne(ThingRef) },
});
class PartRef extends replicaClass(PartRefSchema) {
  static override CQRS_ID = 'part';
}
PartRefSchema.setClass(PartRef);

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), text: p.string() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);
let noteMayBeStored = false;
const NoteRefSchema = defineEntity({
  name: 'NoteRef',
  tableName: 'note',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), text: p.string() },
});
class NoteRef extends replicaClass(NoteRefSchema) {
  static override CQRS_ID = 'note';
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    if (!noteMayBeStored) throw new Error('not yet');
    return super.cqrsCreate(em as never, context);
  }
}
NoteRefSchema.setClass(NoteRef);

let services: TwoServices;
let total = 0;
beforeAll(async () => {
  services = await twoServices({
    masters: [Thing, Part, Note],
    replicas: [ThingRef, PartRef, NoteRef],
    replicaSettings: { replica: { maxRetries: 1, retryDelaySeconds: 0.2 } },
  });
});
afterAll(async () => {
  await services[Symbol.asyncDispose]();
});
const em = () => services.master.orm.em.fork();
/** Waits for the ends of this many more messages. */
const ended = (count: number): Promise<void> => services.ended((total += count));
async function sameTables(...tables: string[]): Promise<void> {
  for (const table of tables) {
    const read = async (service: TwoServices['master']): Promise<unknown> =>
      service.orm.em.getConnection().execute(`select row_to_json(t)::text as row from "${table}" t order by id`);
    const [ours, theirs] = [await read(services.master), await read(services.replica)];
    expect(theirs).toEqual(ours);
  }
}

test('the walk of a SAVE: created, changed, changed in bulk, column by column the same', async () => {
  const fork = em();
  fork.create(Thing, { id: 1, name: 'one', amount: '12345678901234.5678', data: { deep: [1, 'ü'] } });
  fork.create(Thing, { id: 2, name: 'two' });
  await fork.flush();
  await em().nativeUpdate(Thing, {}, { at: raw(`'2024-01-02 03:04:05.123456+00'::timestamptz`) as never });
  await ended(4);
  await sameTables('thing');
});

// claims: re-creation
test('the walk of a DELETE, and of the same key created again', async () => {
  await em().nativeDelete(Thing, { id: 2 });
  await em().insert(Thing, { id: 2, name: 'again' });
  await em().transactional(async (inner) => {
    await inner.nativeDelete(Thing, { id: 2 });
    await inner.insert(Thing, { id: 2, name: 'replaced' });
  });
  await em().nativeDelete(Thing, { id: 1 });
  await ended(4);
  await sameTables('thing');
  expect(await services.replica.orm.em.fork().count(ThingRef)).toBe(1);
});

test('the walk of a SYNC: a damaged copy is repaired, a row that the replica never had is made', async () => {
  await services.master.cqrs.withoutReplication(() => em().insert(Thing, { id: 3, name: 'unsent' }));
  await services.replica.orm.em.fork().nativeUpdate(ThingRef, { id: 2 }, { name: 'damaged' });
  expect(await services.master.cqrs.sync({ cqrsId: 'thing', queue: services.queue })).toEqual({
    synced: 2,
    withdrawn: 0,
    unroutable: 0,
    refused: 0,
    lastKey: ['3'],
  });
  await ended(2);
  await sameTables('thing');
});

test('a row waits for the one it refers to, in the broker, and does not count it as a retry', async () => {
  await services.master.cqrs.withoutReplication(() => em().insert(Thing, { id: 4, name: 'late' }));
  const waiting = services.replica.cqrs.events.next('cqrs.inbox.retried');
  await em().insert(Part, { id: 1, thing: 4 });
  expect(await waiting).toMatchObject({ cqrsId: 'part', retries: 0 });
  await services.master.cqrs.sync({ cqrsId: 'thing', filter: { id: 4 } });
  await ended(2);
  await sameTables('thing', 'part');
});

// claims: dead-letter-reason, poison-isolated
test('a failing message is tried again, then set aside with its reason; others are not held up', async () => {
  await em().insert(Note, { id: 1, text: 'fails' });
  await em().nativeUpdate(Thing, { id: 3 }, { name: 'meanwhile' });
  const dead = services.replica.cqrs.events.next('cqrs.inbox.dead-lettered');
  expect(await dead).toMatchObject({ cqrsId: 'note', instancePk: '1', retries: 1, error: { message: 'not yet' } });
  await ended(2);
  await sameTables('thing');
  expect(await services.replica.cqrs.transport.inspect(`dead_letter_${services.queue}`)).toMatchObject({ messages: 1 });
  noteMayBeStored = true;
  await em().nativeUpdate(Note, { id: 1 }, { text: 'works' });
  await ended(1);
  await sameTables('note');
});

test('two writers of many rows at once: equal in the end', async () => {
  const before = services.heard.length;
  let sent = 0;
  const off = services.master.cqrs.events.on('cqrs.master.announced', ({ count }) => (sent += count));
  await Promise.all(
    [0, 1].map(async (writer) => {
      for (let round = 0; round < 25; round++) {
        const id = 10 + ((round * 7 + writer * 3) % 5);
        await em().upsert(Thing, { id, name: `${writer}-${round}` });
        if (round % 6 === 5) await em().nativeDelete(Thing, { id });
      }
    }),
  );
  off();
  await ended(sent);
  await sameTables('thing');
  expect(services.heard.slice(before).filter(({ name }) => name === 'cqrs.inbox.dead-lettered')).toEqual([]);
});
