import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityClass, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { faultOf } from '../../../src/messaging/inbox/faults.js';
import { replicaClass, ReplicaEntity } from '../../../src/index.js';
import { Proxy } from '../../faults/proxy.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const KINDS = Array.from({ length: 20 }, (_, index) => `kind_${index}`);

function replicaOf(kind: string): EntityClass<object> {
  const schema = defineEntity({
    name: `Ref_${kind}`,
    tableName: kind,
    extends: ReplicaEntity,
    properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
  });
  class Ref extends replicaClass(schema) {
    static override CQRS_ID = kind;
  }
  schema.setClass(Ref);
  return Ref as EntityClass<object>;
}

let database: TestDatabase;
let wire: Proxy;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  wire = await Proxy.before(database.url, 5432);
  // Statements are known to the one connection that a test looks at.
  service = await ReplicaService.start(wire.through(database.url), KINDS.map(replicaOf), {}, { connections: 1 });
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await wire[Symbol.asyncDispose]();
  await database.drop();
});
beforeEach(async () => void (await service.rows(`truncate ${KINDS.join()}`)));

const oneOfEach = (revision = 0) => KINDS.map((cqrsId) => message({ id: 1, name: cqrsId }, { cqrsId, revision }));

async function connect(): Promise<ReplicaService> {
  return ReplicaService.start(database.url, KINDS.map(replicaOf), {}, { connections: 1 });
}

test('a batch of new rows waits for the database once, whatever their entities', async () => {
  await service.handle(oneOfEach(0));
  const oneWayMs = 50;
  wire.delay(oneWayMs);
  const began = performance.now();
  const outcomes = await service.handle(oneOfEach(1));
  const took = performance.now() - began;
  wire.heal();
  expect(brief(outcomes)).toEqual(KINDS.map(() => 'update'));
  // With a COMMIT by itself it would be twice.
  expect(took).toBeLessThan(2 * 2 * oneWayMs);
});

test('stale messages waits for the database once, and for no other worker', async () => {
  const [kind] = KINDS;
  const batch = (revision: number, id = 1) => [message({ id, name: 'a' }, { cqrsId: kind, revision })];
  const applier = service.side.createApplier();
  await applier.handle(batch(5));
  // From here on it looks first.
  expect(brief(await applier.handle(batch(4)))).toEqual(['stale']);
  expect(brief(await applier.handle(batch(4)))).toEqual(['stale']);
  const other = await connect();
  const work = other.orm.em.fork();
  await work.begin();
  await work
    .getConnection()
    .execute(
      `select pg_advisory_xact_lock(1668379233, bucket) from generate_series(0, 511) as bucket`,
      [],
      'all',
      work.getTransactionContext(),
    );
  const oneWayMs = 50;
  wire.delay(oneWayMs);
  const began = performance.now();
  expect(brief(await applier.handle(batch(3)))).toEqual(['stale']);
  expect(performance.now() - began).toBeLessThan(2 * 2 * oneWayMs);
  wire.heal();
  await work.rollback();
  await other.stop();
  // What is news to it is looked at again, with its key held.
  expect(brief(await applier.handle([...batch(4), ...batch(6), ...batch(0, 2)]))).toEqual([
    'stale',
    'update',
    'create',
  ]);
  expect(await service.rows(`select id, cqrs_revision::text as r from ${kind} order by id`)).toEqual([
    { id: 1, r: '6' },
    { id: 2, r: '0' },
  ]);
});

describe('what is not written straight', () => {
  const [kind] = KINDS;
  const save = (id: number, incarnation: number) => message({ id, name: 'a' }, { cqrsId: kind, incarnation });

  test('is looked at once the rest is committed', async () => {
    await service.handle([save(2, 2)]);
    expect(brief(await service.handle([save(1, 1), save(2, 1), save(3, 1)]))).toEqual(['create', 'stale', 'create']);
  });

  test('takes nothing back from the rest when it fails, and the rest is told as it was', async () => {
    await service.handle([save(2, 1)]);
    await service.rows(`create function keep() returns trigger language plpgsql as $$ begin raise 'kept'; end $$`);
    await service.rows(`create trigger keep before update on ${kind} for each row execute function keep()`);
    const applier = service.side.createApplier();
    const batch = [save(1, 1), save(2, 2)];
    await expect(applier.handle(batch)).rejects.toThrow(/P0001/);
    expect(await service.rows(`select id from ${kind} order by id`)).toEqual([{ id: 1 }, { id: 2 }]);
    // As a consumer does: in halves.
    expect(brief(await applier.handle([batch[0]!]))).toEqual(['create']);
    await service.rows(`drop trigger keep on ${kind}`);
    expect(brief(await applier.handle([batch[1]!]))).toEqual(['create']);
  });

  test('a COMMIT that is refused takes all of them with it, and tells no value', async () => {
    await service.rows(`alter table ${kind} add constraint once unique (name) deferrable initially deferred`);
    const failed = await service.handle([save(1, 1), save(2, 1)]).catch((error: unknown) => error);
    expect(failed).toMatchObject({ name: 'DatabaseError', code: '23505', constraint: 'once' });
    expect(JSON.stringify(failed)).not.toContain('(a)');
    expect(await service.rows(`select id from ${kind}`)).toEqual([]);
    await service.rows(`alter table ${kind} drop constraint once`);
    expect(brief(await service.handle([save(1, 1), save(2, 1)]))).toEqual(['create', 'create']);
  });
});

test('one entity among them that the database refuses is told by its own error, and nothing is written', async () => {
  await service.rows(`alter table ${KINDS[7]} add constraint refused check (name <> '${KINDS[7]}')`);
  const failed = await service.handle(oneOfEach()).catch((error: unknown) => error);
  expect(String(failed)).toMatch(/23514/);
  for (const kind of [KINDS[0], KINDS[19]]) {
    expect(await service.rows(`select id from ${kind} where id = 1`)).toEqual([]);
  }
  await service.rows(`alter table ${KINDS[7]} drop constraint refused`);
  expect(brief(await service.handle(oneOfEach()))).toEqual(KINDS.map(() => 'create'));
});

test('who waits in vain for its keys hears of that, not of the statement behind', async () => {
  const stock = await ReplicaService.start(database.url, [], {}, { connections: 1 });
  await stock.rows('set statement_timeout = 0');
  const holder = stock.orm.em.fork();
  await holder.begin();
  await holder
    .getConnection()
    .execute(
      `select pg_advisory_xact_lock(1668379233, bucket) from generate_series(0, 511) as bucket`,
      [],
      'all',
      holder.getTransactionContext(),
    );
  await service.rows(`set lock_timeout = '50ms'`);
  const failed = await service.handle(oneOfEach()).catch((error: unknown) => error);
  expect(String(failed)).toMatch(/55P03/);
  expect(faultOf(failed)).toBe('conflict');
  await holder.rollback();
  await service.rows('reset lock_timeout');
  await stock.stop();
  expect(brief(await service.handle(oneOfEach()))).toEqual(KINDS.map(() => 'create'));
});

test('a statement is parsed once a connection', async () => {
  const own = await connect();
  const named = async () => Number((await own.rows('select count(*) from pg_prepared_statements'))[0]!['count']);
  await own.handle(oneOfEach(0));
  // One more for the locks.
  expect(await named()).toBe(KINDS.length + 1);
  expect(brief(await own.handle(oneOfEach(1)))).toEqual(KINDS.map(() => 'update'));
  expect(await named()).toBe(KINDS.length + 1);
  await own.stop();
});

// As Datadog's tracer does.
test('an instrumentation that gives queries a text of their own does no harm', async () => {
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = function (this: pg.Client, config: unknown, ...rest: unknown[]) {
    const asked = (config !== null && typeof config === 'object' ? config : { text: config }) as { text: string };
    const { text } = asked;
    if (Object.getOwnPropertyDescriptor(asked, 'text')?.configurable !== false)
      Object.defineProperty(asked, 'text', { get: () => text });
    return Reflect.apply(query, this, [asked, ...rest]);
  } as never;
  const own = await connect();
  try {
    for (const revision of [0, 1, 2])
      expect(brief(await own.handle(oneOfEach(revision)))).toEqual(KINDS.map(() => (revision ? 'update' : 'create')));
  } finally {
    pg.Client.prototype.query = query;
    await own.stop();
  }
});

// As behind a pooler that gives each transaction another session.
test('where the session forgets, the batch is tried again without a count, and nothing is named any more', async () => {
  const own = await connect();
  await own.handle(oneOfEach(0));
  await own.rows('deallocate all');
  const failed = await own.handle(oneOfEach(1)).catch((error: unknown) => error);
  expect(faultOf(failed)).toBe('conflict');
  expect(brief(await own.handle(oneOfEach(1)))).toEqual(KINDS.map(() => 'update'));
  await own.rows('deallocate all');
  expect(brief(await own.handle(oneOfEach(2)))).toEqual(KINDS.map(() => 'update'));
  await own.stop();
});

// What was fit for an empty table would read a full one from end to end.
test('plans that are kept read by index from the first, empty tables on', async () => {
  const own = await connect();
  await own.rows('analyze');
  const scans = async () => {
    await own.rows('select pg_stat_force_next_flush()');
    const tables = `'cqrs_tombstones', '${KINDS[0]}'`;
    return own.rows(
      `select sum(seq_scan)::int as whole, sum(idx_scan)::int as by_index from pg_stat_user_tables where relname in (${tables})`,
    );
  };
  const one = (revision: number) => [message({ id: 1, name: 'a' }, { cqrsId: KINDS[0], revision })];
  await own.handle(one(0));
  const [before] = await scans();
  for (const revision of [1, 2, 3, 3, 3, 4]) await own.handle(one(revision));
  const [after] = await scans();
  expect(after!['whole']).toBe(before!['whole']);
  expect(Number(after!['by_index'])).toBeGreaterThanOrEqual(Number(before!['by_index']) + 6);
  expect(await own.rows('show enable_seqscan')).toEqual([{ enable_seqscan: 'on' }]);
  await own.stop();
});
