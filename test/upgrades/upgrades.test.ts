import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { ConfigurationError, Cqrs, MemoryBroker, MemoryTransport } from '../../src/index.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { Account, AccountRef, WatchedRef } from './models.js';

/**
 * Two databases as release 0.1 has left them, with messages in the outbox, rows, tombstones and the columns of replicas.
 * The dumps are never made anew: they are what a service finds that is upgraded.
 */
async function restore(name: string): Promise<TestDatabase> {
  const database = await createDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(readFileSync(new URL(name, import.meta.url), 'utf8'));
  await client.end();
  return database;
}

let databases: TestDatabase[];
let master: { orm: MikroORM; cqrs: Cqrs };
let replica: { orm: MikroORM; cqrs: Cqrs };
/** Both services, anew for each test. */
function eachWithServices(capture: 'driver' | 'trigger'): void {
  beforeEach(async () => {
    const broker = new MemoryBroker();
    databases = [await restore('0.1-master.sql'), await restore('0.1-replica.sql')];
    const open = async (
      url: string,
      entities: (typeof Account | typeof AccountRef | typeof WatchedRef)[],
      cqrs: Cqrs,
    ) => ({
      cqrs,
      orm: await MikroORM.init({ clientUrl: url, entities, extensions: [cqrs] }),
    });
    // The rows are as old as the release: deletions are remembered for longer.
    const replicaSettings = { queue: 'shop', replica: { tombstoneRetentionSeconds: 1e10 } };
    const join = () => new MemoryTransport(broker);
    master = await open(databases[0]!.url, [Account], new Cqrs({ transport: join(), master: { capture } }));
    replica = await open(
      databases[1]!.url,
      [AccountRef, WatchedRef],
      new Cqrs({ transport: join(), ...replicaSettings }),
    );
  });
  afterEach(async () => {
    for (const { cqrs, orm } of [master, replica]) {
      await cqrs.stop();
      await orm.close();
    }
    for (const database of databases) await database.drop();
  });
}

describe.each(['driver', 'trigger'] as const)('what release 0.1 has left, captured by %s', (capture) => {
  eachWithServices(capture);

  // claims: upgrades
  test('is brought up to date by the schema generator, and then relayed and applied', async () => {
    for (const { orm } of [master, replica]) await orm.schema.update({ safe: true });
    const ended: string[] = [];
    replica.cqrs.events.on('cqrs.inbox.applied', ({ instancePk, action }) => ended.push(`${instancePk} ${action}`));
    replica.cqrs.events.on('cqrs.inbox.skipped', ({ instancePk, reason }) => ended.push(`${instancePk} ${reason}`));
    replica.cqrs.events.on('cqrs.inbox.dead-lettered', ({ reason }) => ended.push(reason));
    const { promise: all, resolve } = Promise.withResolvers<void>();
    replica.cqrs.events.onAny(() => ended.length >= 6 && resolve());
    await using consumer = replica.cqrs.createConsumer();
    await consumer.start();
    await replica.cqrs.start();
    await master.cqrs.start();
    await all;
    // Of a SAVE and a SYNC of one version the SYNC has the last word, and the SAVE its place.
    expect(ended.toSorted()).toEqual(['2 superseded', '2 update', '3 delete', '5 create', '6 create', '7 create']);
    const rows = 'id, name, amount::text, at::text, data::text, cqrs_revision, cqrs_incarnation::text';
    const there = await master.orm.em.execute<{ id: number; name: string }[]>(
      `select ${rows} from account where id <> 1 order by id`,
    );
    const here = await replica.orm.em.execute(`select ${rows} from account_ref where id <> 1 order by id`);
    expect(here).toEqual(
      there.map((row) => (row.id === 2 ? { ...row, name: row.name.replace('changed', 'repeated') } : row)),
    );
    const [{ keys }] = (await replica.orm.em.execute(
      `select string_agg(key, ' ' order by key) as keys from cqrs_tombstones`,
    )) as [{ keys: string }];
    expect(keys).toContain('["4"]');
    expect((await master.cqrs.outboxState())!.depth).toBe(0);
    const applied = replica.cqrs.events.next('cqrs.inbox.applied');
    await master.orm.em.fork().nativeUpdate(Account, { id: 5 }, { name: 'by this release' });
    expect(await applied).toMatchObject({ instancePk: '5', action: 'update' });
  });

  // claims: upgrades
  test('is not brought back by a message from before a deletion', async () => {
    for (const { orm } of [master, replica]) await orm.schema.update({ safe: true });
    const em = replica.orm.em.fork();
    const data = { id: 4, name: 'late', amount: null, at: null, data: null };
    const late = { ...data, cqrs_revision: 0, cqrs_updated: '2026-11-25 23:32:48.000000+00:00' };
    const [tombstone] = await em.execute<{ incarnation: string }[]>(
      `select incarnation::text from cqrs_tombstones where key = '["4"]'`,
    );
    const outcome = await AccountRef.cqrs(em).saveInstance(late, {
      incarnation: Number(tombstone!.incarnation),
    } as never);
    expect(await em.count(AccountRef, { id: 4 })).toBe(0);
    expect(outcome).toMatchObject({ kind: 'skipped' });
  });
});

describe('a table of another release', () => {
  eachWithServices('driver');

  const mark = async (service: 'master' | 'replica', table: string, comment: string | null): Promise<string> => {
    const { orm, cqrs } = service === 'master' ? master : replica;
    await orm.schema.update({ safe: true });
    await cqrs.check();
    await orm.em.execute(`comment on table ${table} is ${comment === null ? 'null' : `'${comment}'`}`);
    const error: unknown = await cqrs.start().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as ConfigurationError).message;
  };

  test.each([
    ['master', 'cqrs_outbox'],
    ['replica', 'cqrs_tombstones'],
  ] as const)('a newer one, on a %s: upgrade this service', async (service, table) => {
    expect(await mark(service, table, 'mikro-orm-cqrs: schema 2')).toMatch(
      /^mikro-orm-cqrs cannot start: 1 problem\.\n {2}- .*has schema version 2, and this release works with version 1\. A newer mikro-orm-cqrs has changed it: upgrade this service, too\.$/,
    );
  });

  test.each([
    ['master', 'cqrs_outbox'],
    ['replica', 'cqrs_tombstones'],
  ] as const)('an older one, on a %s: update the schema, which then helps', async (service, table) => {
    expect(await mark(service, table, 'mikro-orm-cqrs: schema 0')).toMatch(
      /has schema version 0, and this release works with version 1\. Create a migration, look at it, and run it/,
    );
    const { orm, cqrs } = service === 'master' ? master : replica;
    expect(await orm.schema.getUpdateSchemaSQL()).toContain(`comment on table "${table}"`);
    await orm.schema.update();
    await cqrs.check();
  });

  test('one that says nothing: the statement that marks it', async () => {
    const message = await mark('master', 'cqrs_outbox', null);
    const statement = /comment on table .* is 'mikro-orm-cqrs: schema 1'/.exec(message)![0];
    await master.orm.em.execute(statement);
    await master.cqrs.check();
  });
});
