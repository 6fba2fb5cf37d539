import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { Migrator } from '@mikro-orm/migrations';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { replica, replicaClass, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { createDatabase } from '../support/database.js';

const AccountSchema = defineEntity({
  name: 'Account',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Account extends masterClass(AccountSchema) {
  static override CQRS_ID = 'account';
}
AccountSchema.setClass(Account);
const Note = defineEntity({ name: 'Note', properties: { id: p.integer().primary() } });

const newCqrs = (capture: 'driver' | 'trigger' = 'driver') =>
  new Cqrs({ transport: 'MemoryTransport', relay: { enabled: false }, master: { capture } });
const MODES = ['driver', 'trigger'] as const;

test('the schema generator makes the outbox, and finds nothing to change afterwards', async () => {
  const database = await createDatabase();
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Account], extensions: [newCqrs()] });
  try {
    expect(await orm.schema.getCreateSchemaSQL()).toContain('create table "cqrs_outbox"');
    await orm.schema.create();
    expect(await orm.schema.getUpdateSchemaSQL()).toBe('');
  } finally {
    await orm.close();
    await database.drop();
  }
});

test('an existing table becomes a master by schema:update, its rows with revision 0 and an incarnation', async () => {
  const database = await createDatabase();
  const PlainAccount = defineEntity({ name: 'Account', properties: { id: p.integer().primary(), name: p.string() } });
  const before = await MikroORM.init({ clientUrl: database.url, entities: [PlainAccount] });
  await before.schema.create();
  await before.em.fork().insertMany(PlainAccount, [{ name: 'ada' }, { name: 'eve' }]);
  await before.close();
  const cqrs = newCqrs();
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Account], extensions: [cqrs] });
  try {
    await orm.schema.update();
    await cqrs.start();
    const rows = await orm.em.fork().find(Account, {}, { orderBy: { id: 1 } });
    expect(rows.map((row) => [row.name, row.cqrsRevision, row.cqrsIncarnation > 0])).toEqual([
      ['ada', 0, true],
      ['eve', 0, true],
    ]);
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
});

test.each(MODES)(
  'a generated migration makes all that capture needs, and the next one is empty: %s',
  async (capture) => {
    const database = await createDatabase();
    const cqrs = newCqrs(capture);
    const folder = await mkdtemp(join(tmpdir(), 'cqrs-migrations-'));
    const orm = await MikroORM.init({
      clientUrl: database.url,
      entities: [Account],
      extensions: [cqrs, Migrator],
      migrations: { path: folder, emit: 'js', snapshot: false },
    });
    try {
      const { fileName, diff } = await orm.migrator.create();
      const text = await readFile(join(folder, fileName), 'utf8');
      for (const part of ['"cqrs_outbox"', '"cqrs_revision"', '"cqrs_updated"', '"cqrs_incarnation"'])
        expect(text).toContain(part);
      for (const statement of diff.up) if (statement) await orm.em.execute(statement);
      expect((await orm.migrator.create()).diff.up).toEqual([]);
      await cqrs.check();
      await orm.em.fork().insert(Account, { name: 'ada' });
      expect(await cqrs.outboxState()).toMatchObject({ depth: 1 });
    } finally {
      await orm.close();
      await rm(folder, { recursive: true });
      await database.drop();
    }
  },
);

test('a service without masters keeps a schema without an outbox', async () => {
  const orm = await MikroORM.init({
    dbName: 'unused',
    connect: false,
    entities: [Note],
    extensions: [newCqrs()],
  } as never);
  expect(await orm.schema.getCreateSchemaSQL()).not.toContain('cqrs');
  await orm.close();
});

test.each(MODES)('tables live in the schema that the service is configured for: %s', async (capture) => {
  const database = await createDatabase();
  const cqrs = newCqrs(capture);
  const orm = await MikroORM.init({ clientUrl: database.url, schema: 'shop', entities: [Account], extensions: [cqrs] });
  try {
    await orm.schema.create();
    expect(await orm.schema.getUpdateSchemaSQL()).toBe('');
    await cqrs.start();
    await orm.em.fork().insert(Account, { name: 'ada' });
    const make = cqrs.masterRuntime.createMaker();
    while (await make());
    expect(await orm.em.execute('select cqrs_id from shop.cqrs_outbox')).toEqual([{ cqrs_id: 'account' }]);
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
});

test('tables are found where the search path of the connection says', async () => {
  const database = await createDatabase();
  const AccountRef = replica(
    defineEntity({ name: 'AccountRef', extends: ReplicaEntity, properties: { id: p.integer().primary() } }),
    { id: 'account' },
  );
  const cqrs = new Cqrs({ transport: 'MemoryTransport', queue: 'replica', relay: { enabled: false } });
  const admin = await MikroORM.init({
    clientUrl: database.url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
  });
  await admin.em.execute('create schema shop');
  await admin.em.execute(`alter database ${new URL(database.url).pathname.slice(1)} set search_path = shop`);
  await admin.close();
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Account, AccountRef], extensions: [cqrs] });
  try {
    await orm.schema.create();
    await cqrs.start();
    await orm.em.fork().insert(Account, { name: 'ada' });
    expect(await orm.em.execute('select cqrs_id from shop.cqrs_outbox')).toEqual([{ cqrs_id: 'account' }]);
    const data = { id: 1, cqrs_revision: 0, cqrs_updated: '2026-11-21 10:00:00+00:00' };
    await replicaClass(AccountRef).cqrsSave(orm.em.fork(), data);
    expect(await orm.em.execute('select id from shop.account_ref')).toEqual([{ id: 1 }]);
  } finally {
    await cqrs.stop();
    await orm.close();
    await database.drop();
  }
});

test('triggers are not made where the search path alone says: the configuration has to', async () => {
  const database = await createDatabase();
  const admin = await MikroORM.init({
    clientUrl: database.url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
  });
  await admin.em.execute('create schema shop');
  await admin.em.execute(`alter database ${new URL(database.url).pathname.slice(1)} set search_path = shop`);
  await admin.close();
  const entities = [Account];
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [newCqrs('trigger')] });
  try {
    await expect(orm.schema.create()).rejects.toThrow('"public.account" does not exist');
  } finally {
    await orm.close();
    await database.drop();
  }
});

test('new MikroORM(), which waits for nothing, captures as MikroORM.init does', async () => {
  const database = await createDatabase();
  const cqrs = newCqrs();
  const orm = new MikroORM({ clientUrl: database.url, entities: [Account], extensions: [cqrs] });
  try {
    expect(cqrs.masters.ids).toEqual(['account']);
    await orm.connect();
    await orm.schema.create();
    await orm.em.fork().insert(Account, { name: 'ada' });
    expect((await cqrs.outboxState())?.depth).toBe(1);
  } finally {
    await orm.close();
    await database.drop();
  }
});

test('new MikroORM() throws what is wrong with the declarations', () => {
  class Nameless extends MasterEntity {
    declare id: number;
  }
  const schema = defineEntity({ class: Nameless, extends: MasterEntity, properties: { id: p.integer().primary() } });
  expect(() => new MikroORM({ dbName: 'unused', entities: [schema], extensions: [newCqrs()] })).toThrow(
    /Nameless: has no CQRS_ID\. Add: static CQRS_ID = 'nameless'/,
  );
});
