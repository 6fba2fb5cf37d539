import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { sqlState } from '../../../src/kernel/describe-error.js';
import { faultOf } from '../../../src/messaging/inbox/faults.js';
import { type CreateContext, replica, replicaClass, ReplicaEntity } from '../../../src/index.js';
import { KeyLocks } from '../../../src/replication/replica/key-locks.js';
import { rowKey } from '../../../src/replication/replica/definition/row-keys.js';
import { SqlSession } from '../../../src/replication/replica/rows/sql-session.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const RefSchema = defineEntity({
  name: 'Ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Ref extends replicaClass(RefSchema) {
  static override CQRS_ID = 'account';
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    const [row] = (await em.execute('show idle_in_transaction_session_timeout')) as Record<string, string>[];
    limits.push(row!['idle_in_transaction_session_timeout']!);
    if (context.mappedData['name'] === 'gone') {
      entered.resolve();
      await released.promise;
    }
    return super.cqrsCreate(em, context);
  }
}
RefSchema.setClass(Ref);

const PlainSchema = defineEntity({
  name: 'Plain',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
});

const limits: string[] = [];
const entered = Promise.withResolvers<void>();
const released = Promise.withResolvers<void>();
let database: TestDatabase;
beforeAll(async () => void (database = await createDatabase()));
afterAll(() => database.drop());

// claims: recovers
test('the keys of a worker that is never heard of again are free after health.stuckSeconds', async () => {
  const gone = await ReplicaService.start(database.url, [Ref], { health: { stuckSeconds: 1 } });
  await gone.orm.schema.create();
  // It holds its key and says nothing more, as if its host had vanished.
  const lost = gone.handle([message({ id: 1, name: 'gone' })]);
  await entered.promise;
  const next = await ReplicaService.start(database.url, [Ref]);
  expect(brief(await next.handle([message({ id: 1, name: 'next' }, { revision: 1 })]))).toEqual(['create']);
  released.resolve();
  // Its own fault, and not that of a database that is away: a hook that hangs each time must come to an end.
  const error: unknown = await lost.catch((reason: unknown) => reason);
  expect([sqlState(error), faultOf(error)]).toEqual(['25P03', 'message']);
  expect(await next.rows('select name from ref')).toEqual([{ name: 'next' }]);
  await gone.stop();
  await next.stop();
});

test('the limit is for our own transactions, and one of the connection stays', async () => {
  limits.length = 0;
  const driverOptions = { idle_in_transaction_session_timeout: 7_000 };
  const own = await ReplicaService.start(database.url, [Ref], {}, { driverOptions });
  const other = await ReplicaService.start(database.url, [Ref]);
  await other.handle([message({ id: 2, name: 'a' })]);
  await own.handle([message({ id: 3, name: 'a' })]);
  const data = { id: 4, name: 'a', cqrs_revision: 0, cqrs_updated: '2026-11-21 10:00:00+00:00' };
  await other.orm.em.fork().transactional((em) => Ref.cqrs(em).saveInstance(data));
  expect(limits).toEqual(['5min', '7s', '0']);
  expect(await other.rows('show idle_in_transaction_session_timeout')).toEqual([
    { idle_in_transaction_session_timeout: '0' },
  ]);
  await own.stop();
  await other.stop();
});

// claims: recovers
test('a worker that holds keys and is silent stops no other: its messages are put aside and named, the others go on', async () => {
  const settings = { replica: { keyWaitSeconds: 0.3, silentWorkerSeconds: 1 } };
  const other = await ReplicaService.start(database.url, [Ref, replica(PlainSchema, { id: 'plain' })], settings);
  await other.orm.schema.update();
  // Frozen with its keys held, as by SIGSTOP.
  const frozen = other.orm.em.fork();
  await frozen.begin();
  const locks = new KeyLocks();
  locks.add('plain', rowKey(['1']).text, 'alone');
  const { text, parameters } = locks.statement();
  await new SqlSession(frozen).run({ text, parameters });
  const batch = [1, 2, 3].map((id) => message({ id, name: 'a' }, { cqrsId: 'plain' }));
  await other.rows('create table seen (idle text, wait text)');
  await other.rows(`create function see() returns trigger language plpgsql as $$ begin
    insert into seen values (current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout'));
    return null; end $$`);
  await other.rows('create trigger see after insert on plain for each statement execute function see()');
  const began = performance.now();
  const outcomes = await other.handle(batch);
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(outcomes.map(({ kind }) => kind)).toEqual(['failed', 'applied', 'applied']);
  expect(outcomes[0]).toMatchObject({ reason: 'keys-held' });
  expect(other.seen.filter(({ name }) => name === 'cqrs.replica.keys-held')).toMatchObject([
    { fields: { queue: 'test', count: 1, waitMs: 300, holders: [{ state: 'idle in transaction' }] } },
  ]);
  expect(await other.rows('select id from plain order by id')).toEqual([{ id: 2 }, { id: 3 }]);
  // The limits of such a worker itself: short for its silence, none for rows that an application has locked.
  expect(await other.rows('select distinct * from seen')).toEqual([{ idle: '1s', wait: '0' }]);
  await frozen.rollback();
  expect(brief(await other.handle(batch.slice(0, 1)))).toEqual(['create']);
  await other.stop();
});
