import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, IsolationLevel, p } from '@mikro-orm/core';
import type { Received } from '../../../src/messaging/inbox/handler.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { type MasterService, masterService } from '../../support/master-service.js';
import { brief, message, type MessageOptions, START } from './support/messages.js';
import { Account, takeMessages } from './support/real-masters.js';
import { ReplicaService } from './support/replica-service.js';

/**
 * Histories that end wrong under weaker rules. Their masters are real; their messages come in every order, one by one
 * and in one batch, and always end in the master's state. (Two workers on one key, and who waits for whom:
 * `interleaving.test.ts`. Unroutable SYNC and NOTIFY: the relay's.)
 */

const AccountRef = defineEntity({
  name: 'AccountRef',
  tableName: 'account_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});

let database: TestDatabase;
let service: ReplicaService;
let master: MasterService;

beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [replica(AccountRef, { id: 'account' })]);
  await service.orm.schema.create();
  master = await masterService([Account]);
});
afterAll(async () => {
  await master[Symbol.asyncDispose]();
  await service.stop();
  await database.drop();
});
beforeEach(async () => {
  await master.sql('delete from account /* cqrs */');
  await master.take();
  await clear();
});

const clear = () => service.rows('truncate account_ref, cqrs_tombstones');
const rows = async () =>
  (await service.rows('select id, name from account_ref order by id')).map((row) => `${row['id']} ${row['name']}`);
const truth = async () =>
  (await master.sql<{ id: number; name: string }>('select id, name from account where matches order by id')).map(
    (row) => `${row.id} ${row.name}`,
  );
const em = () => master.orm.em.fork();
const create = (id: number, name: string) => em().insert(Account, { id, name, matches: true } as never);
const update = (id: number, data: Partial<Account>) => em().nativeUpdate(Account, { id }, data as never);
const remove = (id: number) => em().nativeDelete(Account, { id });

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}

/** Every order, each message alone and then all of them again; and every order as one batch. */
async function endsRight(messages: readonly Received[], expected: readonly string[]): Promise<void> {
  for (const order of permutations(messages)) {
    await clear();
    for (const one of order) await service.handle([one]);
    expect(await rows()).toEqual(expected);
    await service.handle(order.toReversed());
    expect(await rows()).toEqual(expected);
    await clear();
    await service.handle(order);
    expect(await rows()).toEqual(expected);
  }
}

const history = (number: number, name: string, work: () => Promise<void>): void =>
  test(`history ${number}: ${name}`, work, 60_000);

// claims: re-creation, isolation-levels
describe('history 1: an INSERT that waited for an uncommitted DELETE of its key', () => {
  for (const isolationLevel of [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ]) {
    history(1, `under ${isolationLevel}`, async () => {
      await create(1, 'old');
      const deleting = em();
      await deleting.begin({ isolationLevel });
      await deleting.nativeDelete(Account, { id: 1 });
      const inserting = em().transactional(
        async (inner) => {
          // Its snapshot is older than the deletion.
          await inner.count(Account);
          await inner.insert(Account, { id: 1, name: 'new', matches: true } as never);
        },
        { isolationLevel },
      );
      for (;;) {
        const [waiting] = await master.sql<{ count: number }>(
          "select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        if (waiting!.count === 1) break;
      }
      await deleting.commit();
      await inserting;
      expect(await truth()).toEqual(['1 new']);
      await endsRight(await takeMessages(master), ['1 new']);
    });
  }
});

history(2, 'a delete nobody saw, then the natural key created again', async () => {
  await create(1, 'first');
  await update(1, { name: 'first, changed' });
  await master.sql('delete from account /* cqrs */');
  await create(1, 'second');
  await endsRight(await takeMessages(master), ['1 second']);
});

// claims: any-order
history(3, 'a creation that is dated before the deletion it waited for', async () => {
  const id = { id: 1 };
  await endsRight(
    [
      message({ ...id, name: 'old' }, { incarnation: 1 }),
      message(id, { signal: 'DELETE', incarnation: 1, revision: 1, updated: START + 450_000 }),
      message({ ...id, name: 'new' }, { incarnation: 2, updated: START + 1 }),
    ],
    ['1 new'],
  );
});

describe('history 4: deleted and inserted in one transaction', () => {
  history(4, 'delete + insert', async () => {
    await create(1, 'old');
    await update(1, { name: 'old, changed' });
    await em().transactional(async (inner) => {
      await inner.nativeDelete(Account, { id: 1 });
      await inner.insert(Account, { id: 1, name: 'new', matches: true } as never);
    });
    await update(1, { name: 'new, changed' });
    await endsRight(await takeMessages(master), ['1 new, changed']);
  });

  history(4, 'delete + insert + delete', async () => {
    await create(1, 'old');
    await em().transactional(async (inner) => {
      await inner.nativeDelete(Account, { id: 1 });
      await inner.insert(Account, { id: 1, name: 'new', matches: true } as never);
      await inner.nativeDelete(Account, { id: 1 });
    });
    await endsRight(await takeMessages(master), []);
  });
});

history(5, 'a row that leaves the filter and comes back', async () => {
  await create(1, 'in');
  await update(1, { matches: false, name: 'out' });
  await update(1, { matches: true, name: 'in again' });
  const messages = await takeMessages(master);
  expect(messages.map(({ payload }) => payload.signalType)).toEqual(['SAVE', 'DELETE', 'SAVE']);
  await endsRight(messages, ['1 in again']);
});

history(6, 'a primary key that changes', async () => {
  await create(1, 'one');
  await update(1, { id: 2 });
  await create(1, 'another');
  const messages = await takeMessages(master);
  expect(messages).toHaveLength(4);
  await endsRight(messages, ['1 another', '2 one']);
});

// claims: fail-over
history(7, 'a restore from backup issues revisions twice, each in an incarnation of its own', async () => {
  await create(1, 'one');
  const [backup] = await master.sql<{ cqrs_revision: number; cqrs_updated: string }>(
    'select cqrs_revision, cqrs_updated::text from account',
  );
  await update(1, { name: 'lost' });
  await update(1, { name: 'lost too' });
  // what restoring a backup and numbering its lives anew comes to
  await master.sql(`update account set name = 'one', cqrs_revision = ${backup!.cqrs_revision}, cqrs_updated = '${backup!.cqrs_updated}',
    cqrs_incarnation = (extract(epoch from clock_timestamp()) * 1000000)::bigint /* cqrs */`);
  await update(1, { name: 'after the restore' });
  const messages = await takeMessages(master);
  expect(messages.map(({ payload }) => payload.version.revision)).toEqual([0, 1, 2, 1]);
  await endsRight(messages, ['1 after the restore']);
});

history(10, 'the newest of a batch is poison: the older states take effect without it', async () => {
  const state = (revision: number, name: string) => message({ id: 1, name }, { revision });
  const poison = state(3, 'x'.repeat(300));
  const batch = [state(1, 'one'), state(2, 'two'), poison];
  await expect(service.handle(batch)).rejects.toThrow();
  expect(await rows()).toEqual([]);
  expect(brief(await service.handle(batch.slice(0, 2)))).toEqual(['superseded', 'create']);
  expect(brief(await service.handle(batch.slice(2)))).toEqual(['dead-letter mapping']);
  expect(await rows()).toEqual(['1 two']);
});

history(11, 'two relays turn the messages of a key around', async () => {
  await create(1, 'old');
  await remove(1);
  await create(1, 'new');
  const [, removed, created] = await takeMessages(master);
  expect(brief(await service.handle([created!]))).toEqual(['create']);
  expect(brief(await service.handle([removed!]))).toEqual(['stale']);
  expect(await rows()).toEqual(['1 new']);
});

history(12, 'the newest message has expired: it counts, since nothing newer is there', async () => {
  const state = (revision: number, options: MessageOptions) =>
    message({ id: 1, name: `r${revision}` }, { revision, ...options });
  await service.handle([state(0, {})]);
  expect(brief(await service.handle([state(1, { expired: true })]))).toEqual(['update']);
  expect(brief(await service.handle([state(0, { expired: true })]))).toEqual(['expired']);
  expect(await rows()).toEqual(['1 r1']);
});

history(13, 'a dead letter that outlived the tombstone of its row', async () => {
  const old = message({ id: 1, name: 'back' }, { committedAt: new Date(Date.now() - 31 * 86_400_000) });
  expect(brief(await service.handle([old]))).toEqual(['dead-letter too-old-to-create']);
  expect(await rows()).toEqual([]);
});
