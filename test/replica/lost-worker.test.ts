import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { sqlState } from '../../src/core/describe-error.js';
import { faultOf } from '../../src/inbox/faults.js';
import { type CreateContext, replicaClass, ReplicaEntity } from '../../src/index.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
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
