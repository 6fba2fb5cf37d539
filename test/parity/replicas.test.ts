import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, MikroORM, p } from '@mikro-orm/postgresql';
import {
  type CreateContext,
  Cqrs,
  type CqrsEvents,
  type DeleteContext,
  type MappingOf,
  type Outcome,
  Replica,
  replica,
  replicaClass,
  ReplicaEntity,
  type SaveContext,
  SignalType,
  TransportPayload,
  type WireObject,
} from '../../src/index.js';
import { MemoryBroker, MemoryTransport } from '../../src/messaging/transport/memory.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** One test for each row of django-cqrs's public surface; the name says what stands for what. */

const columns = { id: p.integer().primary(), name: p.string() };

const AccountSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: columns });
class AccountRef extends replicaClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);

class UserBase {
  shout(): string {
    return 'name' in this ? String(this.name).toUpperCase() : '';
  }
}
const MappedSchema = defineEntity({
  name: 'MappedRef',
  extends: Replica(UserBase),
  properties: { ...columns, local: p.string().default('mine') },
});
class MappedRef extends replicaClass(MappedSchema) {
  static override CQRS_ID = 'mapped';
  static override CQRS_MAPPING = { id: 'id', full_name: 'name' } as const satisfies MappingOf<MappedRef>;
}
MappedSchema.setClass(MappedRef);

const OptionsRef = replica(defineEntity({ name: 'OptionsRef', extends: ReplicaEntity, properties: columns }), {
  id: 'options',
  onlyDirectSyncs: true,
});

const calls: unknown[][] = [];

const HookedSchema = defineEntity({ name: 'HookedRef', extends: ReplicaEntity, properties: columns });
class HookedRef extends replicaClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
  static override CQRS_META = true;
  static override CQRS_SELECT_FOR_UPDATE = true;
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    calls.push(['create', context]);
    return super.cqrsCreate(em, {
      ...context,
      mappedData: { ...context.mappedData, name: `new ${context.mappedData['name']}` },
    });
  }
  override async cqrsUpdate(em: EntityManager, context: CreateContext) {
    calls.push(['update', context]);
    await super.cqrsUpdate(em, context);
  }
  static override async cqrsDelete(em: EntityManager, context: DeleteContext) {
    calls.push(['delete', context]);
    await super.cqrsDelete(em, context);
  }
  static override shouldRetryCqrs(retries: number, error: Error): boolean {
    calls.push(['should retry', retries, error.message]);
    return retries < 2;
  }
  static override getCqrsRetryDelay(retries: number): number {
    calls.push(['delay', retries]);
    return 0;
  }
}
HookedSchema.setClass(HookedRef);

const RawSchema = defineEntity({ name: 'RawRef', extends: ReplicaEntity, properties: columns });
class RawRef extends replicaClass(RawSchema) {
  static override CQRS_ID = 'raw';
  static override CQRS_CUSTOM_SERIALIZATION = true;
  static override async cqrsCreate(em: EntityManager, { mappedData }: CreateContext) {
    const nested = mappedData['who'] as { given: string };
    const row = em.create(RawRef, { id: Number(mappedData['id']), name: nested.given } as never);
    em.persist(row);
    return row;
  }
}
RawSchema.setClass(RawRef);

const NoTableSchema = defineEntity({
  name: 'NoTableRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary() },
});
class NoTableRef extends replicaClass(NoTableSchema) {
  static override CQRS_ID = 'no-table';
  static override CQRS_NO_DB_OPERATIONS = true;
  static override async cqrsSave(
    _em: EntityManager,
    masterData: WireObject,
    context: SaveContext = {},
  ): Promise<Outcome | void> {
    calls.push(['save', masterData['id'], context.sync]);
  }
  static override async cqrsDelete(_em: EntityManager, { masterData }: DeleteContext): Promise<void> {
    calls.push(['delete', masterData['id']]);
  }
}
NoTableSchema.setClass(NoTableRef);

let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;
let sender: MemoryTransport;
let consumer: ReturnType<Cqrs['createConsumer']>;
const ends: (keyof CqrsEvents)[] = ['cqrs.inbox.applied', 'cqrs.inbox.skipped', 'cqrs.inbox.dead-lettered'];

beforeAll(async () => {
  database = await createDatabase();
  const broker = new MemoryBroker();
  cqrs = new Cqrs({ transport: new MemoryTransport(broker), queue: 'replica' });
  const entities = [AccountRef, MappedRef, OptionsRef, HookedRef, RawRef, NoTableRef];
  orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  await orm.schema.create();
  await cqrs.start();
  consumer = cqrs.createConsumer();
  await consumer.start();
  sender = new MemoryTransport(broker);
  await sender.connect({ events: cqrs.events, exchange: 'cqrs', publishTimeoutMs: 1_000 });
});
afterAll(async () => {
  await consumer.stop();
  await cqrs.stop();
  await sender.close();
  await orm.close();
  await database.drop();
});
beforeEach(() => {
  calls.length = 0;
});

const fork = () => orm.em.fork();
const version = (revision: number) => ({
  cqrs_revision: revision,
  cqrs_updated: `2026-11-21 10:00:0${revision}+00:00`,
});

/** Sends one message and answers how it ended. */
async function send(
  cqrsId: string,
  data: WireObject,
  {
    signalType = SignalType.SAVE,
    revision = 0,
    queue = null,
    ...rest
  }: Partial<TransportPayload> & { revision?: number } = {},
): Promise<string> {
  const ended = Promise.race(
    ends.map((name) =>
      cqrs.events
        .next(name as 'cqrs.inbox.applied', { matching: (event) => event.cqrsId === cqrsId })
        .then((event) => [name, event] as const),
    ),
  );
  const instanceData = { ...data, ...version(revision) };
  const payload = new TransportPayload({ signalType, cqrsId, instanceData, queue, incarnation: 1, ...rest });
  await sender.publish([{ route: { cqrsId, queue }, body: payload.toMessage() }]);
  const [name, event] = await ended;
  return name === 'cqrs.inbox.applied' ? event.action : `${name}: ${(event as unknown as { reason: string }).reason}`;
}

test('ReplicaMixin → ReplicaEntity, Replica(Base), replica(Schema)', async () => {
  expect(await send('account', { id: 1, name: 'ada' })).toBe('create');
  expect(await send('mapped', { id: 1, full_name: 'ada' })).toBe('create');
  expect(await send('options', { id: 1, name: 'ada' })).toBe('create');
  const account = await fork().findOneOrFail(AccountRef, 1);
  expect(account).toBeInstanceOf(ReplicaEntity);
  expect(account).toMatchObject({ name: 'ada', cqrsRevision: 0, cqrsIncarnation: 1 });
  expect(((await fork().findOneOrFail(MappedRef, 1)) as unknown as UserBase).shout()).toBe('ADA');
  expect((await fork().findOneOrFail(OptionsRef, 1)).name).toBe('ada');
});

test('CQRS_MAPPING → static CQRS_MAPPING, master field → replica property; the rest is left alone', async () => {
  await send('mapped', { id: 2, full_name: 'ada', local: 'theirs' });
  expect(await fork().findOneOrFail(MappedRef, 2)).toMatchObject({ name: 'ada', local: 'mine' });
  expect(await send('mapped', { id: 3, name: 'wrong name' })).toBe('cqrs.inbox.dead-lettered: mapping');
});

test('CQRS_CUSTOM_SERIALIZATION → static CQRS_CUSTOM_SERIALIZATION: the data as it came', async () => {
  await send('raw', { id: 1, who: { given: 'ada' } });
  expect((await fork().findOneOrFail(RawRef, 1)).name).toBe('ada');
});

test('CQRS_NO_DB_OPERATIONS → static CQRS_NO_DB_OPERATIONS: no table, methods do it all', async () => {
  expect(await orm.schema.getCreateSchemaSQL()).not.toContain('no_table_ref');
  await send('no-table', { id: 7 });
  await send('no-table', { id: 7 }, { signalType: SignalType.DELETE, revision: 1 });
  expect(calls).toEqual([
    ['save', 7, false],
    ['delete', 7],
  ]);
});

test('CQRS_ONLY_DIRECT_SYNCS → static CQRS_ONLY_DIRECT_SYNCS: a SYNC for everybody is not for it', async () => {
  await send('options', { id: 5, name: 'ada' });
  expect(await send('options', { id: 5, name: 'all' }, { signalType: SignalType.SYNC, revision: 1 })).toMatch(
    /^cqrs\.inbox\.skipped/,
  );
  expect(
    await send('options', { id: 5, name: 'me' }, { signalType: SignalType.SYNC, revision: 1, queue: 'replica' }),
  ).toBe('update');
  expect((await fork().findOneOrFail(OptionsRef, 5)).name).toBe('me');
});

test('cqrs_create (class), cqrs_update (instance), cqrs_delete (class), CQRS_META, CQRS_SELECT_FOR_UPDATE → the same, typed', async () => {
  const meta = { by: 'eve' };
  await send('hooked', { id: 1, name: 'ada' }, { meta });
  await send('hooked', { id: 1, name: 'bob' }, { revision: 1, previousData: { name: 'ada' }, meta });
  expect((await fork().findOneOrFail(HookedRef, 1)).name).toBe('bob');
  await send('hooked', { id: 1 }, { signalType: SignalType.DELETE, revision: 2, meta });
  expect(await fork().count(HookedRef)).toBe(0);
  expect(calls).toMatchObject([
    ['create', { sync: false, mappedData: { id: 1, name: 'ada' }, previousData: null, meta }],
    ['update', { sync: false, mappedData: { id: 1, name: 'bob' }, previousData: { name: 'ada' }, meta }],
    ['delete', { masterData: { id: 1, cqrs_revision: 2 }, meta }],
  ]);
});

describe('cqrs_save → static cqrsSave(em, masterData, { previousData, sync, meta })', () => {
  test("the consumer's rules without a broker", async () => {
    const save = (name: string, revision: number, context?: SaveContext) =>
      AccountRef.cqrsSave(fork(), { id: 20, name, ...version(revision) }, context);
    expect(await save('ada', 1)).toMatchObject({ kind: 'applied', action: 'create' });
    expect(await save('eve', 2)).toMatchObject({ kind: 'applied', action: 'update' });
    expect(await save('old', 1)).toMatchObject({ kind: 'skipped' });
    expect(await save('sync', 2, { sync: true })).toMatchObject({ kind: 'applied', action: 'update' });
    expect((await fork().findOneOrFail(AccountRef, 20)).name).toBe('sync');
  });

  test('joins the open transaction of its EntityManager', async () => {
    const failing = fork().transactional(async (em) => {
      await AccountRef.cqrsSave(em, { id: 21, name: 'ada', ...version(0) });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await fork().findOne(AccountRef, 21)).toBeNull();
  });
});

test('should_retry_cqrs, get_cqrs_retry_delay → static shouldRetryCqrs, getCqrsRetryDelay in seconds', async () => {
  expect(await send('hooked', { id: 30, name: 'x'.repeat(300) })).toMatch(/^cqrs\.inbox\.dead-lettered/);
  const retries = calls.filter(([name]) => name === 'should retry').map(([, count]) => count);
  expect(retries).toEqual([0, 1, 2]);
  expect(calls.filter(([name]) => name === 'delay').map(([, count]) => count)).toEqual([0, 1]);
});
