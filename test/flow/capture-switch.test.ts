import { afterEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../src/cqrs.js';
import { examineService } from '../../src/operations/doctor/doctor.js';
import { triggersCheck } from '../../src/operations/doctor/triggers-check.js';
import { planAdditions } from '../../src/operations/schema/additive-plan.js';
import { runAdditions } from '../../src/operations/schema/run-additions.js';
import { master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { MemoryBroker, MemoryTransport } from '../../src/messaging/transport/memory.js';
import type { OutgoingMessage } from '../../src/messaging/transport/transport.js';
import { createDatabase } from '../support/database.js';
import { foreignWrites, SteadyWriters, versionOf, writesOf } from '../support/steady-writers.js';

/** A master that goes from the driver to triggers, gets a field, and goes back, by the order of the guide, while it is written. */

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

const fields = { id: p.integer().primary().autoincrement(false), name: p.text() };
const more = { ...fields, status: p.text().default('new') };
const broker = new MemoryBroker();
/** All versions that were sent. */
const told = new Set<string>();
let sent = 0;

class TappedTransport extends MemoryTransport {
  override publish(messages: readonly OutgoingMessage[]) {
    sent += messages.length;
    for (const { body } of messages) told.add(versionOf(body));
    return super.publish(messages);
  }
}

interface Release {
  readonly cqrs: Cqrs;
  readonly orm: MikroORM;
  stop(): Promise<void>;
}

async function release(url: string, capture: 'driver' | 'trigger', properties: object): Promise<Release> {
  const schema = defineEntity({ name: 'Thing', extends: MasterEntity, properties } as never);
  const cqrs = new Cqrs({
    transport: new TappedTransport(broker),
    master: { capture },
    relay: { pollIntervalMs: 20 },
  });
  const entities = [master(schema as never, { id: 'thing' } as never) as never];
  const orm = await MikroORM.init({ clientUrl: url, entities, extensions: [cqrs] });
  const stop = async (): Promise<void> => {
    await cqrs.stop();
    await orm.close();
  };
  stack.defer(stop);
  return { cqrs, orm, stop };
}

async function addWhatIsMissing({ cqrs }: Release): Promise<void> {
  await runAdditions(cqrs, (await planAdditions(cqrs)).tables, () => {});
}

/** What the doctor says to drop. */
async function dropWhatIsLeft({ cqrs, orm }: Release): Promise<void> {
  const { checks } = await examineService(cqrs, [triggersCheck]);
  expect(checks[0]!.findings).toHaveLength(1);
  await orm.em.getConnection().execute(/drop trigger .*$/.exec(checks[0]!.findings[0]!.cure)![0]);
  expect(await examineService(cqrs, [triggersCheck])).toMatchObject({ ok: true, checks: [{ state: 'ok' }] });
}

// claims: capture-switch
test('from the driver to triggers, a field more, and back: nothing is lost', async () => {
  const [bank, shop] = [await createDatabase(), await createDatabase()];
  stack.defer(async () => {
    await bank.drop();
    await shop.drop();
  });
  const other = new pg.Client({ connectionString: bank.url });
  await other.connect();
  stack.defer(() => other.end());
  const Ref = replica(defineEntity({ name: 'Ref', tableName: 'ref', extends: ReplicaEntity, properties: fields }), {
    id: 'thing',
  });
  const replicas = new Cqrs({ transport: new MemoryTransport(broker), queue: 'shop' });
  const shopOrm = await MikroORM.init({ clientUrl: shop.url, entities: [Ref as never], extensions: [replicas] });
  await shopOrm.schema.create();
  const consumer = replicas.createConsumer();
  await consumer.start();
  stack.defer(async () => {
    await consumer.stop();
    await replicas.stop();
    await shopOrm.close();
  });

  const drained = async ({ cqrs }: Release): Promise<void> => {
    const captured = async () => (await other.query('select from cqrs_captured limit 1')).rowCount!;
    while ((await captured()) > 0 || (await cqrs.outboxState())!.depth > 0);
  };
  const writers = new SteadyWriters();
  stack.defer(() => writers.stop());
  const start = async (name: string, one: Release): Promise<void> => {
    await one.cqrs.start();
    writers.start(name, writesOf(one.orm));
  };
  const end = async (name: string, one: Release): Promise<void> => {
    await writers.stop(name);
    await one.stop();
  };

  // The schema, then the releases; other programs when the last of the driver's is gone.
  const atDriver = await release(bank.url, 'driver', fields);
  await atDriver.orm.schema.create();
  await start('driver', atDriver);
  await writers.more(50);
  const byTriggers = await release(bank.url, 'trigger', fields);
  await addWhatIsMissing(byTriggers);
  await writers.more(50);
  await start('triggers', byTriggers);
  await writers.more(50);
  await end('driver', atDriver);
  await writers.stop();
  await drained(byTriggers);
  const before = { sent, written: writers.written };
  writers.start('triggers', writesOf(byTriggers.orm));
  writers.start('psql', foreignWrites(other));
  await writers.more(50);

  // A change of fields.
  const withField = await release(bank.url, 'trigger', more);
  await addWhatIsMissing(withField);
  await writers.more(50);
  await start('more fields', withField);
  await writers.more(50);
  await end('triggers', byTriggers);
  await dropWhatIsLeft(withField);
  await writers.more(50);
  await writers.stop();
  await drained(withField);
  // One message a write, whoever writes and whichever release makes it; but for those that two ways have captured.
  expect(sent - before.sent).toBe(writers.written - before.written);
  writers.start('more fields', writesOf(withField.orm));

  // The releases, then the schema.
  const back = await release(bank.url, 'driver', more);
  await start('driver again', back);
  await writers.more(50);
  await end('more fields', withField);
  await writers.more(50);
  await dropWhatIsLeft(back);
  await writers.more(50);
  await writers.stop();

  const rows = (orm: MikroORM, table: string): Promise<unknown[]> =>
    orm.em.getConnection().execute(`select id, name, cqrs_revision, cqrs_incarnation from ${table} order by id`);
  const here = await rows(back.orm, 'thing');
  await drained(back);
  const waiting = async () => (await replicas.transport.inspect('shop'))!;
  for (let state = await waiting(); state.messages > 0; state = await waiting());
  await consumer.stop();
  expect(await rows(shopOrm, 'ref')).toEqual(here);
  expect((await replicas.transport.inspect('dead_letter_shop'))?.messages ?? 0).toBe(0);
  // Each write has its version, and each version was sent.
  expect(told.size).toBe(writers.written);
});
