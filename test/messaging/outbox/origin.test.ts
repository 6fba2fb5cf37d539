import { expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type Executor } from '../../../src/messaging/outbox/outbox.js';
import { readOrigin } from '../../../src/messaging/outbox/origin.js';
import { createDatabase } from '../../support/database.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const Account = master(
  defineEntity({ name: 'Account', extends: MasterEntity, properties: { id: p.integer().primary() } }),
  { id: 'account' },
);
const clientOf = ({ orm }: Pick<MasterService, 'orm'>): Executor =>
  orm.em.getConnection().getClient() as unknown as Executor;
const origin = (service: Pick<MasterService, 'orm'>): Promise<string | null> =>
  readOrigin(clientOf(service), '"cqrs_outbox"');

test('a database has one origin, and no other database has it', async () => {
  await using one = await masterService([Account]);
  await using two = await masterService([Account]);
  const first = await origin(one);
  expect(first).toMatch(/^[0-9a-f]{16}$/);
  await one.orm.close();
  await one.orm.reconnect();
  expect(await origin(one)).toBe(first);
  expect(await origin(two)).not.toBe(first);
});

test('a copy of a database has another origin', async () => {
  await using service = await masterService([Account]);
  const { dbName } = service.orm.config.getAll();
  const first = await origin(service);
  await service.orm.close();
  const copy = await createDatabase();
  const admin = await MikroORM.init({
    clientUrl: copy.url.replace(/\/[^/?]+(\?|$)/, '/postgres$1'),
    discovery: { warnWhenNoEntities: false },
    entities: [],
  });
  try {
    const name = `${dbName}_copy`;
    await admin.em.getConnection().execute(`create database "${name}" template "${dbName}"`);
    const orm = await MikroORM.init({
      clientUrl: copy.url.replace(/\/[^/?]+(\?|$)/, `/${name}$1`),
      discovery: { warnWhenNoEntities: false },
      entities: [],
    });
    expect(await origin({ orm })).toMatch(/^[0-9a-f]{16}$/);
    expect(await origin({ orm })).not.toBe(first);
    await orm.close();
    await admin.em.getConnection().execute(`drop database "${name}"`);
  } finally {
    await admin.close();
    await copy.drop();
    await service.orm.reconnect();
  }
});

test('where the role may not ask, there is none', async () => {
  await using service = await masterService([Account]);
  await service.sql('revoke execute on function pg_control_system() from public');
  const role = `asks_${service.orm.config.getAll().dbName}`;
  await service.sql(`create role "${role}"`);
  try {
    const answer = await service.orm.em.transactional(async (em) => {
      await em.execute(`set local role "${role}"`);
      return readOrigin(em.getTransactionContext() as unknown as Executor, '"cqrs_outbox"').catch((error) => error);
    });
    expect(answer).toBeNull();
  } finally {
    await service.sql(`drop role "${role}"`);
  }
});
