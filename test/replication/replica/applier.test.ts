import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, type MessageOptions, START } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const AccountSchema = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.bigint('string').primary(),
    name: p.string(),
    note: p.string().nullable(),
    level: p.integer().default(7),
    local: p.string().default('mine'),
  },
});
class AccountRef extends AccountSchema.class {
  static CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);

const ParentSchema = defineEntity({
  name: 'ZParentRef',
  tableName: 'parent_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
const ChildSchema = defineEntity({
  name: 'ChildRef',
  tableName: 'child_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), parent: () => p.manyToOne(ParentSchema) },
});
const DirectSchema = defineEntity({
  name: 'DirectRef',
  tableName: 'direct_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary() },
});
const entities = [
  AccountRef,
  replica(ParentSchema, { id: 'parent' }),
  replica(ChildSchema, { id: 'child' }),
  replica(DirectSchema, { id: 'direct', onlyDirectSyncs: true }),
];

let database: TestDatabase;
let service: ReplicaService;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, entities);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await service.rows('truncate account_ref, parent_ref, child_ref, direct_ref, cqrs_tombstones');
  service.seen.length = 0;
});

const rows = () =>
  service.rows(
    'select id::text, name, cqrs_revision::text as r, cqrs_incarnation::text as i from account_ref order by 1',
  );
const account = (name: string, options: MessageOptions = {}, id: number | string = 1) =>
  message({ id, name, note: null }, options);
const deletion = (options: MessageOptions, id: number | string = 1) =>
  message({ id }, { signal: 'DELETE', ...options });
const handle = async (...batch: Parameters<ReplicaService['handle']>[0]) => brief(await service.handle(batch));

describe('a row', () => {
  // claims: no-resurrection
  test('is created, changed and deleted, and stays deleted', async () => {
    expect(await handle(account('Ada'))).toEqual(['create']);
    expect(await rows()).toEqual([{ id: '1', name: 'Ada', r: '0', i: '1' }]);
    expect(await handle(account('Bob', { revision: 1 }))).toEqual(['update']);
    expect(await rows()).toEqual([{ id: '1', name: 'Bob', r: '1', i: '1' }]);
    expect(await handle(deletion({ revision: 2 }))).toEqual(['delete']);
    expect(await rows()).toEqual([]);
    expect(await handle(account('Bob', { revision: 1 }))).toEqual(['stale']);
    expect(await rows()).toEqual([]);
  });

  test('keeps what the master does not send, until a new incarnation begins', async () => {
    await handle(account('Ada'));
    await service.rows("update account_ref set local = 'changed', level = 9");
    expect(await handle(account('Bob', { revision: 1 }))).toEqual(['update']);
    expect(await service.rows('select name, local, level from account_ref')).toEqual([
      { name: 'Bob', local: 'changed', level: 9 },
    ]);
    expect(await handle(account('Eve', { incarnation: 2 }))).toEqual(['create']);
    expect(await service.rows('select name, local, level from account_ref')).toEqual([
      { name: 'Eve', local: 'mine', level: 7 },
    ]);
  });

  test('is found however its key is spelled', async () => {
    expect(await handle(account('Ada', {}, '1'))).toEqual(['create']);
    expect(await handle(account('Bob', { revision: 1 }, '01'), account('Eve', { revision: 2 }, 1))).toEqual([
      'superseded',
      'update',
    ]);
    expect(await handle(deletion({ revision: 3 }, '+1'))).toEqual(['delete']);
    expect(await handle(account('Eve', { revision: 2 }, 1))).toEqual(['stale']);
  });

  test('may have any first revision, and gaps', async () => {
    expect(await handle(account('Ada', { revision: 5 }), account('Bob', { revision: 50 }))).toEqual([
      'superseded',
      'create',
    ]);
  });

  // claims: sync-no-downgrade
  test('is repaired by a SYNC of the version it has', async () => {
    await handle(account('Ada', { revision: 3 }));
    await service.rows("update account_ref set name = 'broken'");
    expect(await handle(account('Ada', { revision: 3 }))).toEqual(['duplicate']);
    expect(await handle(account('Ada', { revision: 3, signal: 'SYNC' }))).toEqual(['update']);
    expect(await rows()).toMatchObject([{ name: 'Ada' }]);
  });
});

describe('a batch', () => {
  test('writes the newest state of each key once', async () => {
    const outcomes = await handle(
      account('a', { revision: 1 }),
      account('x', {}, 2),
      account('c', { revision: 3 }),
      account('b', { revision: 2 }),
      deletion({ revision: 4 }, 3),
      account('y', { revision: 3 }, 3),
    );
    expect(outcomes).toEqual(['superseded', 'create', 'create', 'stale', 'delete', 'stale']);
    expect(await rows()).toEqual([
      { id: '1', name: 'c', r: '3', i: '1' },
      { id: '2', name: 'x', r: '0', i: '1' },
    ]);
  });

  test('puts parents before children, whatever the order they came in', async () => {
    const child = message({ id: 1, parent: 1 }, { cqrsId: 'child' });
    const parent = message({ id: 1, name: 'P' }, { cqrsId: 'parent' });
    expect(await handle(child, parent)).toEqual(['create', 'create']);
    const gone = [
      message({ id: 1 }, { cqrsId: 'parent', signal: 'DELETE', revision: 1 }),
      message({ id: 1 }, { cqrsId: 'child', signal: 'DELETE', revision: 1 }),
    ];
    expect(await handle(...gone)).toEqual(['delete', 'delete']);
  });

  test('takes either spelling of a relation', async () => {
    await handle(message({ id: 1, name: 'P' }, { cqrsId: 'parent' }));
    expect(
      await handle(
        message({ id: 1, parent: 1 }, { cqrsId: 'child' }),
        message({ id: 2, parent_id: 1 }, { cqrsId: 'child' }),
      ),
    ).toEqual(['create', 'create']);
    expect(await service.rows('select parent_id from child_ref')).toEqual([{ parent_id: 1 }, { parent_id: 1 }]);
  });

  test('gives a parent a new incarnation under its children', async () => {
    await handle(
      message({ id: 1, name: 'P' }, { cqrsId: 'parent' }),
      message({ id: 1, parent: 1 }, { cqrsId: 'child' }),
    );
    expect(await handle(message({ id: 1, name: 'Q' }, { cqrsId: 'parent', incarnation: 2 }))).toEqual(['create']);
    expect(await service.rows('select p.name, c.id from child_ref c join parent_ref p on p.id = c.parent_id')).toEqual([
      { name: 'Q', id: 1 },
    ]);
  });

  test('mixes messages that have all fields with some that lack optional ones', async () => {
    const full = message({ id: 1, name: 'full', note: 'n', level: 1, local: 'l' });
    const lean = message({ id: 2, name: 'lean' });
    const sync = message({ id: 3, name: 'sync', note: 's' }, { signal: 'SYNC' });
    expect(await handle(lean, full, sync)).toEqual(['create', 'create', 'create']);
    expect(await service.rows('select name, note, level, local from account_ref order by id')).toEqual([
      { name: 'full', note: 'n', level: 1, local: 'l' },
      { name: 'lean', note: null, level: 7, local: 'mine' },
      { name: 'sync', note: 's', level: 7, local: 'mine' },
    ]);
  });

  test('that the database refuses takes place not at all; the bad message alone becomes a dead letter', async () => {
    const bad = account('bad', {}, '99999999999999999999');
    const good = account('good');
    await expect(service.handle([good, bad])).rejects.toThrow();
    expect(await rows()).toEqual([]);
    expect(await handle(bad)).toEqual(['dead-letter mapping']);
    expect(await handle(good)).toEqual(['create']);
  });

  test('lets the older state through when the newest cannot be mapped', async () => {
    const poison = message({ id: 1, name: ['no text'] }, { revision: 2 });
    expect(await handle(account('older', { revision: 1 }), poison)).toEqual(['create', 'dead-letter mapping']);
    expect(await rows()).toMatchObject([{ name: 'older', r: '1' }]);
  });

  test('is empty without complaint', async () => {
    expect(await handle()).toEqual([]);
  });
});

describe('a message that must wait or end', () => {
  test('waits for the row its foreign key points to', async () => {
    const child = message({ id: 1, parent: 7 }, { cqrsId: 'child' });
    const [outcome] = await service.handle([child]);
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'foreign-key' });
    await handle(message({ id: 7, name: 'P' }, { cqrsId: 'parent' }));
    expect(await handle(child)).toEqual(['create']);
  });

  test('waits with a deletion while other rows point to its own', async () => {
    await handle(
      message({ id: 1, name: 'P' }, { cqrsId: 'parent' }),
      message({ id: 1, parent: 1 }, { cqrsId: 'child' }),
    );
    expect(await handle(message({ id: 1 }, { cqrsId: 'parent', signal: 'DELETE', revision: 1 }))).toEqual([
      'failed foreign-key',
    ]);
  });

  test.each([
    ['a field that no row can do without', { id: 1, note: 'x' }],
    ['its key', { name: 'Ada' }],
    ['a key that is not null', { id: null, name: 'Ada' }],
    ['a key that can be read', { id: 'abc', name: 'Ada' }],
  ])('is a dead letter without %s', async (_, data) => {
    expect(await handle(message(data))).toEqual(['dead-letter mapping']);
  });

  test('is a dead letter when it would create a row and is older than deletions are remembered', async () => {
    const monthAgo = new Date(Date.now() - 31 * 86_400_000);
    expect(await handle(account('Ada', { committedAt: monthAgo }))).toEqual(['dead-letter too-old-to-create']);
    expect(await handle(account('Ada', { committedAt: null, updated: monthAgo.getTime() * 1000 }))).toEqual([
      'dead-letter too-old-to-create',
    ]);
    expect(
      await handle(account('Ada', { committedAt: null, updated: monthAgo.getTime() * 1000, signal: 'SYNC' })),
    ).toEqual(['create']);
    expect(await handle(account('Bob', { committedAt: monthAgo, revision: 1 }))).toEqual(['update']);
  });

  test('creates rows of any age in a bulk load', async () => {
    const old = account('Ada', { committedAt: null, updated: START - 400 * 86_400_000_000 });
    expect(brief(await service.side.createApplier().handle([old], { anyAge: true }))).toEqual(['create']);
  });

  // claims: long-outage
  test('is dropped when it is expired and not needed, applied when it is expired and new', async () => {
    expect(await handle(account('Ada', { revision: 1, expired: true }))).toEqual(['create']);
    expect(await handle(account('Ada', { revision: 0, expired: true }))).toEqual(['expired']);
    expect(await handle(deletion({ revision: 2, expired: true }))).toEqual(['delete']);
  });

  test('is ignored as a SYNC for everybody where only direct ones count', async () => {
    expect(await handle(message({ id: 1 }, { cqrsId: 'direct', signal: 'SYNC' }))).toEqual(['indirect-sync']);
    expect(await handle(message({ id: 1 }, { cqrsId: 'direct', signal: 'SYNC', direct: true }))).toEqual(['create']);
    expect(await handle(message({ id: 2 }, { cqrsId: 'direct' }))).toEqual(['create']);
  });
});

describe('a master without incarnations', () => {
  const python = (options: MessageOptions): MessageOptions => ({ incarnation: null, ...options });

  test('deletes whatever revision it remembers', async () => {
    await handle(account('Ada', python({ revision: 9 })));
    expect(await handle(deletion(python({ revision: 1, updated: START + 20_000 })))).toEqual(['delete']);
    expect(await handle(account('Ada', python({ revision: 9 })))).toEqual(['stale']);
    expect(await service.rows('select revision, incarnation from cqrs_tombstones')).toEqual([
      { revision: 9, incarnation: null },
    ]);
  });

  test('uses a key again at once: the row goes and comes in one batch, though the clock alone could not tell', async () => {
    await handle(account('first life', python({ revision: 5 })));
    const soon = START + 50_000;
    const again = [
      deletion(python({ revision: 6, updated: soon })),
      account('second life', python({ updated: soon + 1 })),
    ];
    expect(await handle(...again)).toEqual(['superseded', 'create']);
    expect(await rows()).toEqual([{ id: '1', name: 'second life', r: '0', i: `-${soon + 1}` }]);
  });

  test('whose clock is ahead does not block its rows, and is named', async () => {
    const year = 365 * 86_400_000_000;
    await handle(account('Ada', python({ revision: 1, updated: START + year })));
    expect(await handle(account('Bob', python({ revision: 2 })))).toEqual(['update']);
    expect(service.seen).toEqual([
      {
        name: 'cqrs.replica.clock-distrusted',
        fields: {
          queue: 'test',
          cqrsId: 'account',
          signalType: 'SAVE',
          instancePk: '1',
          retries: 0,
          aheadMs: expect.any(Number),
        },
      },
    ]);
    expect((service.seen[0]!.fields as { aheadMs: number }).aheadMs).toBeGreaterThan(360 * 86_400_000);
  });
});
