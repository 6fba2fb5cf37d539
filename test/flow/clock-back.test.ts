import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { logEvents } from '../../src/observability/logging.js';
import { raiseIncarnations } from '../../src/operations/raise-incarnations.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { readStatus } from '../../src/operations/status.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { MemoryBroker, MemoryTransport } from '../../src/messaging/transport/memory.js';
import { setClock, SETTABLE_CLOCK } from '../support/clock.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** A master whose database's clock is set back, and its replica: whole services, with a relay and a worker. */

const properties = { code: p.string().primary(), v: p.integer() };
const AccountSchema = defineEntity({ name: 'Account', extends: MasterEntity, properties });
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);
const AccountRef = replica(defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties }), { id: 'account' });

const databases: TestDatabase[] = [];
let master: { orm: MikroORM; cqrs: Cqrs };
let there: { orm: MikroORM; cqrs: Cqrs };
let worker: ReturnType<Cqrs['createConsumer']>;
let log: ReturnType<typeof logEvents>;
let announced = 0;
let ended = 0;
const ends: string[] = [];
const said: string[] = [];

beforeAll(async () => {
  const broker = new MemoryBroker();
  const open = async (entities: unknown[], options: object, before: readonly string[]) => {
    const database = await createDatabase();
    databases.push(database);
    const cqrs = new Cqrs({ transport: new MemoryTransport(broker), ...options });
    const orm = await MikroORM.init({ clientUrl: database.url, entities: entities as never[], extensions: [cqrs] });
    for (const text of before) await orm.em.execute(text);
    await orm.schema.create();
    return { orm, cqrs };
  };
  master = await open([Account], { relay: { pollIntervalMs: 100 } }, SETTABLE_CLOCK);
  there = await open([AccountRef], { queue: 'shop' }, []);
  log = logEvents(master.cqrs.events, { write: (line: string) => void said.push(line) } as never);
  master.cqrs.events.on('cqrs.master.announced', ({ count }) => (announced += count));
  there.cqrs.events.onAny((name, fields) => {
    if (!['cqrs.inbox.applied', 'cqrs.inbox.skipped', 'cqrs.inbox.dead-lettered'].includes(name)) return;
    ended++;
    ends.push(`${name.replace('cqrs.inbox.', '')} ${'reason' in fields ? fields.reason : ''}`);
  });
  worker = there.cqrs.createConsumer();
  await worker.start();
  await there.cqrs.start();
  await master.cqrs.start();
});
afterAll(async () => {
  log.close();
  await worker.stop();
  for (const { cqrs, orm } of [master, there]) {
    await cqrs.stop();
    await orm.close();
  }
  for (const database of databases) await database.drop();
});
beforeEach(async () => {
  await master.orm.em.execute(setClock(0));
});

const onMaster = (): Promise<unknown> => master.orm.em.fork().execute('select code, v from account order by code');
const onReplica = (): Promise<unknown> => there.orm.em.fork().execute('select code, v from account_ref order by code');
const settled = async (): Promise<void> => {
  while (ended < announced)
    await new Promise<void>((resolve) => {
      const off = there.cqrs.events.onAny(() => {
        off();
        resolve();
      });
    });
};

const sql = (text: string): Promise<Record<string, unknown>[]> => master.orm.em.fork().execute(text);
const fork = () => master.orm.em.fork();
/** Until the relay has lifted the sequence above the clock. */
async function lifted(): Promise<void> {
  const isLifted = `select last_value > (extract(epoch from clock_timestamp()) * 1000000)::bigint as lifted from cqrs_outbox_id_seq`;
  while (!(await sql(isLifted))[0]!['lifted']) await new Promise(setImmediate);
}

// claims: clock-back
describe('a clock that is set back by a minute', () => {
  test('a deletion and what is created again arrive; it is told by event, log line and status', async () => {
    await fork().insert(Account, { code: 'k', v: 1 });
    await fork().nativeDelete(Account, 'k');
    await lifted();
    const told = master.cqrs.events.next('cqrs.relay.clock-back');
    await sql(setClock(-60));
    await fork().insert(Account, { code: 'k', v: 2 });
    await fork().nativeUpdate(Account, { code: 'k' }, { v: 3 });
    await settled();
    expect(await onReplica()).toEqual([{ code: 'k', v: 3 }]);
    const { behindMs } = await told;
    expect(behindMs).toBeGreaterThan(55_000);
    expect(behindMs).toBeLessThan(62_000);
    expect(said.join('\n')).toMatch(/the database's clock is \d\d(\.\d)? s behind the incarnations that were given/);
    await master.cqrs.recordActivity();
    const { reasons } = await readStatus(master.cqrs);
    expect(reasons).toMatchObject([{ code: 'clock-back', where: 'database', severity: 'degraded' }]);
  });

  test('rows that are deleted, replaced and moved in the past arrive', async () => {
    for (const code of ['a', 'b', 'c']) await fork().insert(Account, { code, v: 1 });
    await lifted();
    await sql(setClock(-60));
    await fork().nativeDelete(Account, 'a');
    await fork().transactional(async (em) => {
      await em.nativeDelete(Account, 'b');
      await em.insert(Account, { code: 'b', v: 2 });
    });
    await fork().nativeUpdate(Account, { code: 'c' }, { code: 'a' });
    await sql(setClock(-3_600));
    await fork().nativeDelete(Account, 'a');
    await fork().upsert(Account, { code: 'a', v: 9 });
    await settled();
    expect(await onReplica()).toEqual(await onMaster());
    expect(await onReplica()).toEqual(
      expect.arrayContaining([
        { code: 'a', v: 9 },
        { code: 'b', v: 2 },
      ]),
    );
  });
});

describe('a master that has lost its sequence, whose replicas know greater incarnations', () => {
  const ahead = async (): Promise<void> => {
    await sql(
      `select setval('cqrs_outbox_id_seq', (extract(epoch from clock_timestamp()) * 1000000)::bigint + 3600000000)`,
    );
  };
  const restored = async (): Promise<void> => {
    await sql('alter sequence cqrs_outbox_id_seq restart');
    await sql(setClock(5));
  };

  test('is told of what replicas cannot take; reconcile goes above them, a new incarnation brings the row', async () => {
    await ahead();
    for (const code of ['x', 'y']) await fork().insert(Account, { code, v: 1 });
    for (const code of ['x', 'y']) await fork().nativeDelete(Account, code);
    await settled();
    await restored();
    const doubted = there.cqrs.events.next('cqrs.replica.order-doubted');
    await fork().insert(Account, { code: 'x', v: 2 });
    expect(await doubted).toMatchObject({ cqrsId: 'account', instancePk: 'x', reason: 'incarnation-behind' });
    await settled();
    expect(ends.at(-1)).toBe('skipped incarnation-behind');

    await reconcile(master.cqrs, { cqrsId: 'account', queue: 'shop', settleSeconds: 0, timeoutSeconds: 2 });
    await fork().insert(Account, { code: 'y', v: 2 });
    await master.cqrs.sync({ cqrsId: 'account', newIncarnation: true });
    await settled();
    expect(await onReplica()).toEqual(await onMaster());
    expect(await onReplica()).toEqual(
      expect.arrayContaining([
        { code: 'x', v: 2 },
        { code: 'y', v: 2 },
      ]),
    );
  });

  test('goes above what the replicas have that it is given', async () => {
    await ahead();
    await fork().insert(Account, { code: 'z', v: 1 });
    await fork().nativeDelete(Account, 'z');
    await settled();
    await restored();
    const greatest = await raiseIncarnations(master.cqrs, { cqrsId: 'account', queues: ['shop'] });
    expect(greatest).toBeGreaterThan(Date.now() * 1_000 + 3_500_000_000);
    await fork().insert(Account, { code: 'z', v: 2 });
    await settled();
    expect(await onReplica()).toEqual(await onMaster());
    const nobody = raiseIncarnations(master.cqrs, { cqrsId: 'account', queues: ['nobody'], timeoutSeconds: 0.1 });
    await expect(nobody).rejects.toMatchObject({ code: 'replica-answer' });
  });
});
