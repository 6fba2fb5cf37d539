import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { ConfigurationError } from '../../src/kernel/errors.js';
import { settingsOrThrow } from '../../src/kernel/settings.js';
import { type CreateContext, replicaClass, ReplicaEntity } from '../../src/index.js';
import { WORDS } from '../../src/observability/log-lines.js';
import { brief, message } from '../replication/replica/support/messages.js';
import { ReplicaService } from '../replication/replica/support/replica-service.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

const columns = { id: p.integer().primary(), name: p.string() };
const AccountSchema = defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: columns });
class AccountRef extends replicaClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(AccountRef);
const HookedSchema = defineEntity({ name: 'HookedRef', extends: ReplicaEntity, properties: columns });
class HookedRef extends replicaClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    const [row] = (await em.execute('show statement_timeout')) as { statement_timeout: string }[];
    limits.push(row!.statement_timeout);
    if (context.mappedData['name'] === 'slow') await em.execute('select pg_sleep(20)');
    return super.cqrsCreate(em, context);
  }
}
HookedSchema.setClass(HookedRef);

const limits: string[] = [];
let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [AccountRef, HookedRef], { replica: { queryTimeoutMs: 150 } });
  await service.orm.schema.create();
  await service.rows(`create function dawdle() returns trigger language plpgsql as $$
    begin if new.name = 'secret-slow' then perform pg_sleep(20); end if; return new; end $$`);
  await service.rows('create trigger dawdle before insert on account_ref for each row execute function dawdle()');
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});
beforeEach(() => {
  service.seen.length = 0;
  limits.length = 0;
});
const timedOut = () =>
  service.seen.filter(({ name }) => name === 'cqrs.replica.query-timed-out').map(({ fields }) => fields);

describe('CQRS_QUERY_TIMEOUT → replica.queryTimeoutMs', () => {
  test('a statement that takes too long fails its batch, which leaves nothing behind', async () => {
    const batch = [message({ id: 1, name: 'quick' }), message({ id: 2, name: 'secret-slow' })];
    await expect(service.handle(batch)).rejects.toMatchObject({ code: '57014' });
    expect(await service.rows('select * from account_ref')).toEqual([]);
    expect(brief(await service.handle([batch[0]!]))).toEqual(['create']);
  });

  test('a hook that takes too long fails alone', async () => {
    const options = { cqrsId: 'hooked' };
    const outcomes = await service.handle([
      message({ id: 1, name: 'slow' }, options),
      message({ id: 2, name: 'quick' }, options),
    ]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['failed', 'applied']);
    expect(timedOut()).toEqual([{ queue: 'test', cqrsId: 'hooked', doing: 'calling hooks of', timeoutMs: 150 }]);
  });

  test('it ends with the transaction, and is not put upon a transaction of yours', async () => {
    await service.handle([message({ id: 3, name: 'x' }, { cqrsId: 'hooked' })]);
    const data = { id: 4, name: 'x', cqrs_revision: 0, cqrs_updated: '2026-11-21 10:00:00+00:00' };
    await service.orm.em.fork().transactional((em) => HookedRef.cqrs(em).saveInstance(data));
    await HookedRef.cqrs(service.orm.em.fork()).saveInstance({ ...data, id: 5 });
    expect(limits).toEqual(['150ms', '0', '150ms']);
    expect(await service.rows('show statement_timeout')).toEqual([{ statement_timeout: '0' }]);
  });

  test('the default is no limit, and it is a time', () => {
    expect(settingsOrThrow({}).replica.queryTimeoutMs).toBeNull();
    expect(() => settingsOrThrow({ replica: { queryTimeoutMs: 0 } })).toThrow(ConfigurationError);
  });
});

test('a connection that does not answer ends the batch: no other hook waits for it as long again', async () => {
  const impatient = await ReplicaService.start(
    database.url,
    [AccountRef, HookedRef],
    {},
    { driverOptions: { query_timeout: 300 } },
  );
  try {
    const batch = ['slow', 'quick', 'quick'].map((name, index) =>
      message({ id: 10 + index, name }, { cqrsId: 'hooked' }),
    );
    await expect(impatient.handle(batch)).rejects.toThrow('Query read timeout');
    expect(limits).toHaveLength(1);
  } finally {
    await impatient.stop();
  }
});

test('CQRS_LOG_TIMED_OUT_QUERIES, CQRS_QUERY_LOGGER → the event cqrs.replica.query-timed-out and its line: the entity, no values', async () => {
  await expect(service.handle([message({ id: 2, name: 'secret-slow' })])).rejects.toThrow();
  const [event] = timedOut();
  expect(event).toEqual({ queue: 'test', cqrsId: 'account', doing: 'writing', timeoutMs: 150 });
  const line = WORDS['cqrs.replica.query-timed-out'](event as never);
  expect(line).toMatchObject({
    level: 'warn',
    text: 'writing account: a statement was cancelled after 150 ms (replica.queryTimeoutMs)',
  });
  expect(JSON.stringify(service.seen)).not.toContain('secret');
});
