import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { faultOf } from '../../../src/messaging/inbox/faults.js';
import type { Outcome } from '../../../src/messaging/inbox/handler.js';
import { replicaClass, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import type {
  CreateContext,
  DeleteContext,
  SaveContext,
} from '../../../src/replication/replica/definition/replica-hooks.js';
import type { WireObject } from '../../../src/wire/values.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, type MessageOptions } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const LogEntry = defineEntity({
  name: 'LogEntry',
  properties: { id: p.integer().primary(), text: p.string() },
});
const log = (em: EntityManager, text: string) => void em.persist(em.create(LogEntry, { text } as never));

const AddressSchema = defineEntity({ name: 'Address', embeddable: true, properties: { city: p.string().nullable() } });

const AccountSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.bigint('string').primary(),
    name: p.string(),
    at: p.datetime().length(6).nullable(),
    balance: p.decimal('string').precision(12).scale(2).nullable(),
    data: p.json<object>().nullable(),
    address: () => p.embedded(AddressSchema).nullable(),
  },
});
/** Writes down every call, and fails when it is told to. */
class AccountRef extends replicaClass(AccountSchema) {
  static override CQRS_ID = 'account';
  static override CQRS_META = true;
  static readonly calls: [string, unknown][] = [];

  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    this.calls.push(['create', context]);
    log(em, `create ${context.mappedData['name']}`);
    if (context.mappedData['name'] === 'nobody') return;
    if (context.mappedData['name'] === 'executes') await em.execute('execute nothing_prepared');
    const row = await super.cqrsCreate(em, context);
    if (context.mappedData['name'] === 'throws') throw new Error('no such luck');
    return row;
  }
  override async cqrsUpdate(em: EntityManager, context: CreateContext): Promise<void> {
    AccountRef.calls.push(['update', context]);
    log(em, `update ${this.name} to ${context.mappedData['name']}`);
    await super.cqrsUpdate(em, context);
    if (context.mappedData['name'] === 'throws') throw new Error('no such luck');
  }
  static override async cqrsDelete(em: EntityManager, context: DeleteContext): Promise<void> {
    this.calls.push(['delete', context]);
    log(em, `delete ${String(context.masterData['id'])}`);
    if (context.meta && (context.meta as WireObject)['keep']) return;
    await super.cqrsDelete(em, context);
  }
}
AccountSchema.setClass(AccountRef);

const PlainSchema = defineEntity({
  name: 'PlainRef',
  tableName: 'plain_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class PlainRef extends replicaClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(PlainRef);

const NestedSchema = defineEntity({
  name: 'NestedRef',
  tableName: 'nested_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), title: p.string(), author: p.string() },
});
class NestedRef extends replicaClass(NestedSchema) {
  static override CQRS_ID = 'nested';
  static override CQRS_CUSTOM_SERIALIZATION = true;
  static override async cqrsCreate(em: EntityManager, { mappedData }: CreateContext): Promise<object> {
    const author = mappedData['author'] as WireObject;
    return em.create(NestedRef, { id: mappedData['id'], title: mappedData['title'], author: author['name'] } as never);
  }
  override cqrsUpdate(_em: EntityManager, { mappedData }: CreateContext): void {
    this.author = (mappedData['author'] as { name: string }).name;
  }
}
NestedSchema.setClass(NestedRef);

const BareSchema = defineEntity({
  name: 'BareRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary() },
});
class BareRef extends replicaClass(BareSchema) {
  static override CQRS_ID = 'bare';
  static override CQRS_NO_DB_OPERATIONS = true;
  static readonly calls: unknown[] = [];
  static override async cqrsSave(
    _em: EntityManager,
    data: WireObject,
    { sync }: SaveContext = {},
  ): Promise<Outcome | void> {
    if (data['name'] === 'throws') throw new Error('no such luck');
    this.calls.push([sync ? 'sync' : 'save', data['id']]);
  }
  static override async cqrsDelete(_em: EntityManager, { masterData }: DeleteContext): Promise<void> {
    this.calls.push(['delete', masterData['id']]);
  }
}
BareSchema.setClass(BareRef);

const SavingSchema = defineEntity({
  name: 'SavingRef',
  tableName: 'saving_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class SavingRef extends replicaClass(SavingSchema) {
  static override CQRS_ID = 'saving';
  static override async cqrsSave(
    em: EntityManager,
    data: WireObject,
    context: SaveContext = {},
  ): Promise<Outcome | void> {
    if (data['name'] === 'secret') return { kind: 'skipped', reason: 'secret' };
    return super.cqrsSave(em, { ...data, name: String(data['name']).toUpperCase() }, context);
  }
}
SavingSchema.setClass(SavingRef);

const CountingSchema = defineEntity({
  name: 'CountingRef',
  tableName: 'counting_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
/** Counts its calls beside the EntityManager, from what it reads through it. */
class CountingRef extends replicaClass(CountingSchema) {
  static override CQRS_ID = 'counting';
  static async count(em: EntityManager): Promise<void> {
    const [entry] = await em.find(LogEntry, {}, { orderBy: { id: 'asc' }, limit: 1 });
    await em.nativeUpdate(LogEntry, { id: entry!.id }, { text: String(Number(entry!.text) + 1) });
  }
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    await this.count(em);
    return super.cqrsCreate(em, context);
  }
  override async cqrsUpdate(em: EntityManager, context: CreateContext): Promise<void> {
    await CountingRef.count(em);
    if (context.mappedData['name'] === 'clear') {
      em.clear();
      await em.nativeUpdate(CountingRef, { id: this.id }, { name: 'clear' });
      return;
    }
    await super.cqrsUpdate(em, context);
  }
}
CountingSchema.setClass(CountingRef);

let database: TestDatabase;
let service: ReplicaService;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [
    AccountRef,
    PlainRef,
    NestedRef,
    BareRef,
    SavingRef,
    CountingRef,
    LogEntry,
  ]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows(
    'truncate account_ref, plain_ref, nested_ref, saving_ref, counting_ref, log_entry, cqrs_tombstones',
  );
  AccountRef.calls.length = 0;
  BareRef.calls.length = 0;
});

const account = (name: string, options: MessageOptions = {}, rest: WireObject = {}) =>
  message({ id: 1, name, at: null, balance: null, data: null, address_city: null, ...rest }, options);
const handle = async (...batch: Parameters<ReplicaService['handle']>[0]) => brief(await service.handle(batch));
const logged = async () => (await service.rows('select text from log_entry order by id')).map((row) => row['text']);
const stored = async (table = 'account_ref') =>
  (await service.rows(`select name, cqrs_revision as r from ${table} order by id`)).map(
    (row) => `${row['name']} ${row['r']}`,
  );

describe('hooks', () => {
  test('are called once a message, in the order of versions, and write through the given EntityManager', async () => {
    const outcomes = await handle(
      account('c', { revision: 2 }),
      account('a'),
      account('b', { revision: 1 }),
      message({ id: 1 }, { signal: 'DELETE', revision: 3 }),
    );
    expect(outcomes).toEqual(['update', 'create', 'update', 'delete']);
    expect(await logged()).toEqual(['create a', 'update a to b', 'update b to c', 'delete 1']);
    expect(await stored()).toEqual([]);
  });

  // claims: effect-once
  test('have their effects exactly once, however often a message comes', async () => {
    await handle(account('a'), account('a'), account('b', { revision: 1 }));
    expect(await handle(account('a'), account('b', { revision: 1 }))).toEqual(['stale', 'duplicate']);
    expect(await logged()).toEqual(['create a', 'update a to b']);
  });

  test('that make no row are not called again for the same state', async () => {
    expect(await handle(account('nobody'))).toEqual(['create']);
    expect(await handle(account('nobody'))).toEqual(['duplicate']);
    expect(await handle(account('somebody', { revision: 1 }))).toEqual(['create']);
    expect(await logged()).toEqual(['create nobody', 'create somebody']);
    expect(await stored()).toEqual(['somebody 1']);
  });

  test('that keep a row they should delete keep it from older states, and get it back in its next incarnation', async () => {
    await handle(account('a'));
    await handle(message({ id: 1 }, { signal: 'DELETE', revision: 2, meta: { keep: true } }));
    expect(await stored()).toEqual(['a 2']);
    expect(await handle(account('b', { revision: 1 }))).toEqual(['stale']);
    expect(await handle(account('new', { incarnation: 2, meta: { keep: true } }))).toEqual(['create']);
    expect(await stored()).toEqual(['new 0']);
  });

  test('hear of the end of the old life before the new one begins', async () => {
    await handle(account('a', { revision: 4 }));
    expect(await handle(account('z', { incarnation: 2 }))).toEqual(['create']);
    expect(await logged()).toEqual(['create a', 'delete 1', 'create z']);
  });

  test('are called once for the deletion of what is not there: they may have written elsewhere', async () => {
    const gone = message({ id: 1 }, { signal: 'DELETE', revision: 1 });
    expect(await handle(gone)).toEqual(['delete']);
    expect(await handle(gone)).toEqual(['duplicate']);
    expect(AccountRef.calls.map(([name]) => name)).toEqual(['delete']);
    expect(await handle(account('a'))).toEqual(['stale']);
    expect(AccountRef.calls.map(([name]) => name)).toEqual(['delete']);
  });

  test('that throw fail alone, and leave nothing behind', async () => {
    const outcomes = await handle(
      account('throws'),
      account('b', { revision: 1 }),
      message({ id: 7, name: 'fine' }, { cqrsId: 'plain' }),
      account('throws', { revision: 2 }),
    );
    expect(outcomes).toEqual(['failed no such luck', 'create', 'create', 'failed no such luck']);
    expect(await logged()).toEqual(['create b']);
    expect([await stored(), await stored('plain_ref')]).toEqual([['b 1'], ['fine 0']]);
    expect(await handle(account('b2', { revision: 2 }))).toEqual(['update']);
  });

  test('are told what the message says, in the entity’s own terms', async () => {
    const rich = { at: '2024-01-02 03:04:05.123456+00:00', balance: 12.5, data: { a: [1] }, address_city: 'Rome' };
    await handle(
      account('a', { previous: { name: 'before', unknown: 1 }, meta: { by: 'admin' }, signal: 'SYNC' }, rich),
    );
    expect(AccountRef.calls).toEqual([
      [
        'create',
        {
          sync: true,
          mappedData: {
            id: '1',
            name: 'a',
            at: new Date('2024-01-02T03:04:05.123Z'),
            balance: '12.5',
            data: { a: [1] },
            address: { city: 'Rome' },
            cqrsRevision: 0,
            cqrsUpdated: expect.any(Date),
            cqrsIncarnation: 1,
          },
          previousData: { name: 'before' },
          meta: { by: 'admin' },
        },
      ],
    ]);
  });

  test('lose no microseconds', async () => {
    await handle(account('a', {}, { at: '2024-01-02 03:04:05.123456+00:00' }));
    await handle(account('a', { revision: 1 }, { at: '2024-01-02 03:04:05.654321+00:00' }));
    const [row] = await service.rows(
      "select (at at time zone 'UTC')::text as at, (extract(epoch from cqrs_updated) * 1000000)::bigint::text as updated from account_ref",
    );
    expect(row).toEqual({
      at: '2024-01-02 03:04:05.654321',
      updated: String(message({}, { revision: 1 }).payload.version.updated),
    });
  });

  test('that meet a missing foreign row wait for it', async () => {
    await service.rows(
      'alter table log_entry add constraint never foreign key (id) references plain_ref (id) not valid',
    );
    expect(await handle(account('a'))).toEqual(['failed foreign-key']);
    await service.rows('alter table log_entry drop constraint never');
    expect(await handle(account('a'))).toEqual(['create']);
  });
});

describe('hooks of several rows', () => {
  const row = (id: number, name: string, revision = 0): ReturnType<typeof message> =>
    account(name, { revision }, { id, at: `2024-01-02 03:04:05.12345${id}+00:00` });
  const times = async (): Promise<unknown[]> =>
    (await service.rows("select to_char(at at time zone 'UTC', 'US') as at from account_ref order by id")).map(
      ({ at }) => at,
    );

  test('are called in order, each once, whatever they do to their rows', async () => {
    expect(await handle(row(1, 'a'), row(2, 'b'), row(3, 'nobody'))).toEqual(['create', 'create', 'create']);
    const outcomes = await handle(row(2, 'B', 1), row(1, 'A', 1), row(2, 'b', 0), row(4, 'd'), row(2, 'C', 2));
    expect(outcomes).toEqual(['update', 'update', 'duplicate', 'create', 'update']);
    expect(await stored()).toEqual(['A 1', 'C 2', 'd 0']);
    expect(await times()).toEqual(['123451', '123452', '123454']);
    expect(await logged()).toEqual([
      'create a',
      'create b',
      'create nobody',
      'update a to A',
      'update b to B',
      'create d',
      'update B to C',
    ]);
    expect(await handle(row(3, 'nobody'))).toEqual(['duplicate']);
  });

  test('fail alone among others', async () => {
    await handle(row(1, 'a'), row(2, 'b'), row(3, 'c'));
    const outcomes = await handle(row(1, 'A', 1), row(2, 'throws', 1), row(3, 'C', 1), row(4, 'throws'));
    expect(outcomes).toEqual(['update', 'failed no such luck', 'update', 'failed no such luck']);
    expect(await stored()).toEqual(['A 1', 'b 0', 'C 1']);
    expect((await logged()).slice(3)).toEqual(['update a to A', 'update c to C']);
  });

  test('do not see each other’s reading, and keep what they wrote when one clears the EntityManager', async () => {
    const counter = (name: string, id: number, revision: number) =>
      message({ id, name }, { cqrsId: 'counting', revision });
    await service.rows("insert into log_entry (text) values ('0')");
    expect(await handle(counter('a', 1, 0), counter('b', 2, 0), counter('c', 3, 0))).toEqual(Array(3).fill('create'));
    await handle(counter('d', 1, 1), counter('e', 2, 1), counter('f', 3, 1));
    expect(await logged()).toEqual(['6']);
    await handle(counter('g', 1, 2), counter('clear', 2, 2), counter('h', 3, 2));
    expect(await stored('counting_ref')).toEqual(['g 2', 'clear 2', 'h 2']);
  });
});

test('custom serialization gives hooks the data as it came', async () => {
  const nested = (name: string, revision: number) =>
    message({ id: 1, title: 'T', author: { id: 3, name } }, { cqrsId: 'nested', revision });
  expect(await handle(nested('Ada', 0))).toEqual(['create']);
  expect(await service.rows('select title, author from nested_ref')).toEqual([{ title: 'T', author: 'Ada' }]);
  expect(await handle(nested('Bob', 1), nested('Ada', 0))).toEqual(['update', 'duplicate']);
  expect(await service.rows('select author, cqrs_revision as r from nested_ref')).toEqual([{ author: 'Bob', r: 1 }]);
});

test('a replica without database operations is called for every message and has no table', async () => {
  const bare = (options: MessageOptions, data: WireObject = {}) =>
    message({ id: 1, ...data }, { cqrsId: 'bare', ...options });
  expect(
    await handle(
      bare({}),
      bare({}),
      bare({ signal: 'SYNC' }),
      bare({}, { name: 'throws' }),
      bare({ signal: 'DELETE' }),
    ),
  ).toEqual(['update', 'update', 'update', 'failed no such luck', 'delete']);
  expect(BareRef.calls).toEqual([
    ['save', 1],
    ['save', 1],
    ['sync', 1],
    ['delete', 1],
  ]);
  expect(await service.rows("select to_regclass('bare_ref')::text as name")).toEqual([{ name: null }]);
});

test('the inherited methods of a replica without a table say that there is none', async () => {
  const data = message({ id: 1 }, { cqrsId: 'bare' }).payload.instanceData;
  const em = service.orm.em.fork();
  await expect(ReplicaEntity.cqrsSave.call(BareRef, em, data)).rejects.toThrow('BareRef: has no table');
  await expect(ReplicaEntity.cqrsDelete.call(BareRef, em, { masterData: data })).rejects.toThrow(
    'BareRef: has no table',
  );
});

describe('cqrsSave', () => {
  test('overridden, comes before the rules and may call them', async () => {
    const saving = (name: string, revision = 0) => message({ id: 1, name }, { cqrsId: 'saving', revision });
    expect(await handle(saving('ada'), saving('secret', 2), saving('bob', 1), saving('ada'))).toEqual([
      'create',
      'secret',
      'update',
      'duplicate',
    ]);
    expect(await stored('saving_ref')).toEqual(['BOB 1']);
    expect(await handle(message({ id: 1 }, { cqrsId: 'saving', signal: 'DELETE', revision: 2 }))).toEqual(['delete']);
    expect(await stored('saving_ref')).toEqual([]);
  });

  test('writes a state without a broker, in the transaction it is given', async () => {
    const data = (revision: number): WireObject => ({
      ...message({ id: 5, name: 'Ada' }, { revision }).payload.instanceData,
    });
    const em = service.orm.em.fork();
    expect(await PlainRef.cqrsSave(em, data(3))).toMatchObject({ kind: 'applied', action: 'create' });
    expect(await PlainRef.cqrsSave(em, data(3))).toEqual({ kind: 'skipped', reason: 'duplicate' });
    expect(await PlainRef.cqrsSave(em, data(3), { sync: true })).toMatchObject({ kind: 'applied', action: 'update' });
    await expect(
      em.transactional(async (inner) => {
        await PlainRef.cqrsSave(inner, data(4));
        throw new Error('undone');
      }),
    ).rejects.toThrow('undone');
    expect(await stored('plain_ref')).toEqual(['Ada 3']);
    await expect(
      PlainRef.cqrsSave(em, { id: 5, cqrs_revision: 9, cqrs_updated: '2026-01-01 00:00:00+00:00' }),
    ).rejects.toThrow("'name' is missing");
  });
});

// The states of a session that forgot our own statements are not everybody's: such a message would be tried for ever.
test('a hook that executes what nobody has prepared fails by itself, and counts', async () => {
  const [bad, good] = await service.handle([
    message({ id: '901', name: 'executes' }),
    message({ id: '902', name: 'good' }),
  ]);
  expect(brief([good!])).toEqual(['create']);
  expect(bad!.kind).toBe('failed');
  expect(faultOf((bad as Extract<Outcome, { kind: 'failed' }>).error)).toBe('message');
});
