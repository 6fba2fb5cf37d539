import { afterEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { logEvents } from '../../src/index.js';
import type { CqrsEvents } from '../../src/kernel/events.js';
import { Cqrs, type CqrsOptions } from '../../src/cqrs.js';
import { reconcile } from '../../src/operations/reconcile/reconcile.js';
import { master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { MemoryBroker, MemoryTransport } from '../../src/messaging/transport/memory.js';
import { createDatabase } from '../support/database.js';

/** A field that is added to an entity whose rows are replicated already: the order of docs/guide.md, as a rolling release. */

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

type Changed = CqrsEvents['cqrs.master.fields-changed'];
interface Process {
  readonly cqrs: Cqrs;
  readonly changed: Changed[];
  readonly log: string[];
}

const before = { id: p.integer().primary().autoincrement(false), name: p.text() };
const after = { ...before, status: p.text().default('new') };
type Properties = typeof before | typeof after;

/** The same entity as two releases of its service declare it. */
const thing = (properties: Properties, options: object = {}): never =>
  master(defineEntity({ name: 'Thing', tableName: 'thing', extends: MasterEntity, properties }), {
    id: 'thing',
    ...options,
  }) as never;
const ref = (properties: typeof before, options: object = {}): never =>
  replica(defineEntity({ name: 'Ref', tableName: 'ref', extends: ReplicaEntity, properties }), {
    id: 'thing',
    ...options,
  }) as never;

async function process(url: string, entity: never, settings: Partial<CqrsOptions>): Promise<Process> {
  const cqrs = new Cqrs({ transport: 'MemoryTransport', relay: { pollIntervalMs: 20 }, ...settings });
  const changed: Changed[] = [];
  const log: string[] = [];
  cqrs.events.on('cqrs.master.fields-changed', (fields) => changed.push(fields));
  logEvents(cqrs.events, { level: 'warn', write: (line) => log.push(line) });
  const orm = await MikroORM.init({ clientUrl: url, entities: [entity], extensions: [cqrs] });
  stack.defer(async () => {
    await cqrs.stop();
    await orm.close();
  });
  return { cqrs, changed, log };
}

async function database(): Promise<string> {
  const made = await createDatabase();
  stack.defer(() => made.drop());
  return made.url;
}

const sql = <T = Record<string, unknown>>({ cqrs }: Process, text: string): Promise<T[]> =>
  (cqrs.orm.em as never as { getConnection(): { execute(text: string): Promise<T[]> } }).getConnection().execute(text);

/** Inserts and updates of one process of a master. */
async function write({ cqrs }: Process, from: number, to: number): Promise<void> {
  const Thing = cqrs.masters.get('thing').meta.class;
  for (let id = from; id <= to; id++) {
    await cqrs.orm.em.fork().insert(Thing as never, { id, name: `thing ${id}` } as never);
    if (id % 3 === 0)
      await cqrs.orm.em.fork().nativeUpdate(Thing as never, { id } as never, { name: 'changed' } as never);
  }
}

async function arrived(one: Process, other: Process, columns = 'id, name, cqrs_revision'): Promise<void> {
  const [own, told] = [`select ${columns} from thing order by id`, `select ${columns} from ref order by id`];
  for (;;) {
    if (JSON.stringify(await sql(one, own)) === JSON.stringify(await sql(other, told))) return;
    if ((await other.cqrs.transport.inspect(other.cqrs.deadLetterQueueOf('shop')))?.messages)
      throw new Error('there are dead letters');
  }
}

async function scene(mapping?: object) {
  const broker = new MemoryBroker();
  const settings = (more: object = {}): Partial<CqrsOptions> => ({ transport: new MemoryTransport(broker), ...more });
  const [bank, shop] = [await database(), await database()];
  const oldMaster = await process(bank, thing(before), settings());
  await oldMaster.cqrs.orm.schema.create();
  await oldMaster.cqrs.start();
  const oldReplica = await process(shop, ref(before), settings({ queue: 'shop' }));
  await oldReplica.cqrs.orm.schema.create();
  const worker = oldReplica.cqrs.createConsumer();
  await worker.start();
  await write(oldMaster, 1, 20);
  await arrived(oldMaster, oldReplica);
  const newMaster = () => process(bank, thing(after), settings());
  const newReplica = async () => {
    const properties = { ...before, status: p.text().nullable() };
    const made = await process(shop, ref(properties, mapping && { mapping }), settings({ queue: 'shop' }));
    await worker.stop();
    const consumer = made.cqrs.createConsumer();
    await consumer.start();
    stack.defer(() => consumer.stop());
    return made;
  };
  return { oldMaster, oldReplica, newMaster, newReplica, bank, shop };
}

const DIFFERENT = 'select count(*)::int as rows from ref where status is null';

/** Compares, repairs, and compares again. */
async function repaired(from: Process): Promise<object> {
  const options = { cqrsId: 'thing', queue: 'shop', settleSeconds: 0, sampleSize: 1 };
  const first = await reconcile(from.cqrs, options);
  expect(await reconcile(from.cqrs, options)).toMatchObject({ damaged: 0, stale: 0, missing: 0, extra: 0, ahead: 0 });
  return first;
}

// claims: added-field
test('the column of the replica, replicas, masters, reconcile: no dead letter on the way, and all rows have the field', async () => {
  const { oldMaster, oldReplica, newMaster, newReplica } = await scene();
  await sql(oldReplica, 'alter table ref add column status text'); // 1.
  const replicas = await newReplica(); // 2.
  await write(oldMaster, 21, 40);
  await sql(oldMaster, `alter table thing add column status text not null default 'new'`);
  const masters = await newMaster(); // 3.
  await masters.cqrs.start();
  expect(masters.changed).toEqual([{ cqrsId: 'thing', added: ['status'], removed: [] }]);
  expect(masters.log.join('\n')).toContain('cqrs reconcile --cqrs-id thing --queue');
  await Promise.all([write(oldMaster, 41, 60), write(masters, 61, 80)]);
  await arrived(masters, replicas);
  await oldMaster.cqrs.stop();
  // What the former release wrote differs at equal revisions; nothing but the warning tells of it.
  expect(await sql(replicas, DIFFERENT)).toEqual([{ rows: 60 }]);
  expect(await repaired(masters)).toMatchObject({ damaged: 60, repaired: 60, sample: [{ fields: ['status'] }] }); // 4.
  await arrived(masters, replicas, 'id, name, status, cqrs_revision');
});

test('with a mapping: the column of the replica, masters, replicas, reconcile', async () => {
  const { oldMaster, oldReplica, newMaster, newReplica } = await scene({ id: 'id', name: 'name', status: 'status' });
  await sql(oldReplica, 'alter table ref add column status text');
  await sql(oldMaster, `alter table thing add column status text not null default 'new'`);
  const masters = await newMaster();
  await masters.cqrs.start();
  await Promise.all([write(oldMaster, 21, 40), write(masters, 41, 60)]);
  await oldMaster.cqrs.stop();
  await arrived(masters, oldReplica);
  const replicas = await newReplica();
  await write(masters, 61, 70);
  await arrived(masters, replicas);
  expect(await sql(replicas, DIFFERENT)).toEqual([{ rows: 60 }]);
  expect(await repaired(masters)).toMatchObject({ damaged: 60, repaired: 60 });
  await arrived(masters, replicas, 'id, name, status, cqrs_revision');
});

test('only a change is told, and to nobody who does not remember', async () => {
  const url = await database();
  const made = new Set<Properties>();
  const start = async (properties: Properties, options: object = {}, settings: Partial<CqrsOptions> = {}) => {
    const one = await process(url, thing(properties, options), settings);
    const isNew = !made.has(properties);
    made.add(properties);
    if (isNew) await one.cqrs.orm.schema.update({ safe: true });
    await one.cqrs.start();
    await one.cqrs.stop();
    return one.changed;
  };
  expect(await start(before)).toEqual([]); // the first of all
  expect(await start(before)).toEqual([]);
  expect(await start(before, { fields: ['name', 'id'] })).toEqual([]);
  expect(await start(after, { produce: false })).toEqual([]);
  expect(await start(after, { serializer: () => ({ id: 1 }) })).toEqual([]);
  expect(await start(after, {}, { activity: { enabled: false } })).toEqual([]);
  expect(await start(after)).toEqual([{ cqrsId: 'thing', added: ['status'], removed: [] }]);
  expect(await start(after)).toEqual([]);
  // A process of the former release that starts once more writes rows without it.
  expect(await start(after, { fields: ['id', 'name'] })).toEqual([{ cqrsId: 'thing', added: [], removed: ['status'] }]);
  expect(await start(after)).toEqual([{ cqrsId: 'thing', added: ['status'], removed: [] }]);
});
