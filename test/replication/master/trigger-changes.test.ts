import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntitySchema, MikroORM, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../../src/cqrs.js';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { MemoryBroker, MemoryTransport } from '../../../src/messaging/transport/memory.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';

/** What changes under a master that triggers capture: its fields, the way of capture, the number of rows a statement has. */

/** A message as the outbox has it. */
interface Body {
  readonly signal_type: string;
  readonly instance_pk: unknown;
  readonly instance_data: { readonly cqrs_revision: number; readonly cqrs_updated: string };
}

interface Row {
  readonly id: number;
  readonly a: number;
  readonly c?: number;
}

interface Release extends AsyncDisposable {
  readonly orm: MikroORM;
  readonly cqrs: Cqrs;
  /** Bodies of messages, oldest first; afterwards the outbox is empty. */
  take(): Promise<Body[]>;
}

let database: TestDatabase;
let other: pg.Client;
beforeAll(async () => {
  database = await createDatabase();
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
});
afterAll(async () => {
  await other.end();
  await database.drop();
});

/** One release of the service, on the same database. */
async function release(
  fields: Readonly<Record<string, unknown>>,
  { capture = 'trigger' as 'trigger' | 'driver', serializer = undefined as ((row: Row) => object) | undefined } = {},
): Promise<Release> {
  const schema = defineEntity({
    name: 'Thing',
    extends: MasterEntity,
    properties: { id: p.integer().primary(), ...fields },
  } as never) as never as EntitySchema;
  const Thing = master(schema, { id: 'thing', serializer } as never);
  const cqrs = new Cqrs({ transport: new MemoryTransport(new MemoryBroker()), master: { capture } });
  const orm = await MikroORM.init({ clientUrl: database.url, entities: [Thing], extensions: [cqrs] });
  const make = cqrs.masterRuntime.createMaker();
  return {
    orm,
    cqrs,
    async take() {
      while (await make());
      const { rows } = await other.query<{ id: string; body: string }>('delete from cqrs_outbox returning id, body');
      return rows.toSorted((a, b) => Number(a.id) - Number(b.id)).map(({ body }) => JSON.parse(body) as Body);
    },
    async [Symbol.asyncDispose]() {
      await cqrs.stop();
      await orm.close();
    },
  };
}

function content({ signal_type, instance_data }: Body): object {
  const { cqrs_updated, ...data } = instance_data;
  expect(cqrs_updated).toBeDefined();
  return { signal: signal_type, ...data };
}

describe('a change of fields', () => {
  test('relays of both releases make messages of the changes of both', async () => {
    await using old = await release({ a: p.integer(), b: p.integer() });
    await old.orm.schema.create();
    await other.query('insert into thing (id, a, b) values (1, 1, 1)');
    // c comes, b goes
    await using next = await release({ a: p.integer(), c: p.integer().default(7) });
    await next.orm.schema.update();
    await other.query('update thing set a = 2');
    await expect(old.cqrs.check()).rejects.toThrow('lacks');
    await next.cqrs.check();
    // The new one has what the images have of its fields, so has the old one.
    expect((await next.take()).map(content)).toEqual([
      { signal: 'SAVE', id: 1, a: 1, cqrs_revision: 0 },
      { signal: 'SAVE', id: 1, a: 2, c: 7, cqrs_revision: 1 },
    ]);
    await other.query('update thing set a = 3');
    expect((await old.take()).map(content)).toEqual([{ signal: 'SAVE', id: 1, a: 3, cqrs_revision: 2 }]);
    expect(await next.orm.schema.getUpdateSchemaSQL()).toBe('');
    await next.orm.schema.drop();
  });

  test('triggers that a safe update has left beside new ones change nothing', async () => {
    await using old = await release({ a: p.integer() });
    await old.orm.schema.create();
    await using next = await release({ a: p.integer(), c: p.integer().default(7) });
    await next.orm.schema.update({ safe: true });
    const { rows } = await other.query(`select from pg_trigger where tgname like 'cqrs_after_insert%'`);
    expect(rows).toHaveLength(2);
    await other.query('insert into thing (id, a) values (1, 1), (2, 2)');
    await other.query('update thing set a = 5 where id = 1');
    await other.query('begin; insert into thing (id, a) values (3, 3); delete from thing where id in (2, 3); commit');
    expect((await next.take()).map(content)).toEqual([
      { signal: 'SAVE', id: 1, a: 1, c: 7, cqrs_revision: 0 },
      { signal: 'SAVE', id: 2, a: 2, c: 7, cqrs_revision: 0 },
      { signal: 'SAVE', id: 1, a: 5, c: 7, cqrs_revision: 1 },
      { signal: 'DELETE', id: 2, cqrs_revision: 1 },
    ]);
    await next.orm.schema.drop();
  });

  test('a serializer is shown no value of what an image does not have', async () => {
    await using old = await release({ a: p.integer() });
    await old.orm.schema.create();
    await other.query('insert into thing (id, a) values (1, 1)');
    const serializer = (row: Row): object => ({ id: row.id, sum: row.a + (row.c ?? 100) });
    await using next = await release({ a: p.integer(), c: p.integer().default(7) }, { serializer });
    await next.orm.schema.update();
    await other.query('update thing set a = 2');
    expect((await next.take()).map(content)).toEqual([
      { signal: 'SAVE', id: 1, sum: 101, cqrs_revision: 0 },
      { signal: 'SAVE', id: 1, sum: 9, cqrs_revision: 1 },
    ]);
    await next.orm.schema.drop();
  });
});

describe('from the driver to triggers, and back', () => {
  test('loses nothing: the schema first, then the releases; and the other way round', async () => {
    const fields = { a: p.integer() };
    await using driver = await release(fields, { capture: 'driver' });
    await driver.orm.schema.create();
    const write = async ({ orm }: Release, id: number): Promise<void> => {
      await orm.em.fork().insert('Thing' as never, { id, a: id } as never);
    };
    const told = async (by: Release): Promise<string[]> => [
      ...new Set(
        (await by.take()).map(
          ({ signal_type, instance_pk, instance_data }) =>
            `${signal_type} ${instance_pk} r${instance_data.cqrs_revision}`,
        ),
      ),
    ];
    await write(driver, 1);
    expect((await other.query(`select to_regclass('cqrs_captured') as found`)).rows[0].found).toBeNull();
    await using trigger = await release(fields);
    await expect(trigger.cqrs.check()).rejects.toThrow('cqrs_captured');
    await trigger.orm.schema.update();
    // Both at once: told twice, with the same version.
    await write(driver, 2);
    await driver.orm.em.fork().nativeUpdate('Thing' as never, { id: 2 } as never, { a: 9 } as never);
    await trigger.cqrs.check();
    await write(trigger, 3);
    const all = await told(trigger);
    expect(all.toSorted()).toEqual(['SAVE 1 r0', 'SAVE 2 r0', 'SAVE 2 r1', 'SAVE 3 r0']);
    // Back: the releases first, and what is captured still gets its message.
    await write(trigger, 4);
    await using back = await release(fields, { capture: 'driver' });
    await back.cqrs.check();
    await write(back, 5);
    await back.orm.schema.update();
    expect(await back.orm.schema.getUpdateSchemaSQL()).toBe('');
    await write(back, 6);
    expect((await told(back)).toSorted()).toEqual(['SAVE 4 r0', 'SAVE 5 r0', 'SAVE 6 r0']);
    expect((await other.query('select from cqrs_captured')).rows).toEqual([]);
    await other.query('truncate thing');
    expect((await other.query('select from cqrs_captured')).rows).toEqual([]);
    await back.orm.schema.drop();
    await other.query('drop table cqrs_captured');
  });
});

test.each([
  ['integer', {}],
  ['numeric', { id: p.decimal().columnType('numeric').primary() }],
])(
  'the cost of a row grows neither with its statement nor with what waits, whatever was planned before: %s',
  async (_, id) => {
    await using service = await release({ a: p.integer(), b: p.integer().nullable(), ...id });
    await service.orm.schema.create();
    const took = async (...texts: string[]): Promise<number> => {
      const began = performance.now();
      for (const text of texts) await other.query(text);
      return performance.now() - began;
    };
    const single = Array.from({ length: 20 }, (_one, index) => `update thing set a = a + 1 where id = ${index + 1}`);
    await other.query('insert into thing (id, a) select i, i from generate_series(1, 100) as i');
    const best = async (): Promise<number> =>
      Math.min(await took(...single), await took(...single), await took(...single));
    const alone = await best();
    await other.query(`insert into cqrs_captured (source, key, xid, existed, op, image, shape)
      select 'another', i, '1', true, 'S', repeat('x', 100), '[]' from generate_series(1, 150000) as i`);
    // Reading what waits would be more than ten.
    expect((await best()) / alone).toBeLessThan(5);
    await other.query('insert into thing (id, a) select i, i from generate_series(101, 20000) as i');
    const few = await took('update thing set a = a + 1 where id <= 2000');
    const many = await took('update thing set a = a + 1');
    // Ten times as many rows; with the square of them it would be a hundred.
    expect(many / few).toBeLessThan(40);
    expect(await took('delete from thing')).toBeLessThan(20 * many);
    await service.orm.schema.drop();
  },
);

test('the relay carries what another program has written', async () => {
  await using service = await release({ a: p.integer() });
  await service.orm.schema.create();
  const published = new Promise((resolve) => service.cqrs.events.on('cqrs.relay.unroutable', resolve));
  await service.cqrs.start();
  await other.query('insert into thing (id, a) values (1, 1)');
  expect(await published).toMatchObject({ cqrsId: 'thing', signalType: 'SAVE' });
  await service.orm.schema.drop();
});

test('a row that is sent as a new incarnation is it in the database, too, and told once', async () => {
  await using service = await release({ a: p.integer() });
  await service.orm.schema.create();
  await other.query('insert into thing (id, a) values (1, 1)');
  await service.take();
  const incarnation = async (): Promise<bigint> =>
    BigInt((await other.query<{ i: string }>('select cqrs_incarnation as i from thing')).rows[0]!.i);
  const before = await incarnation();
  expect(await service.cqrs.sync({ cqrsId: 'thing', newIncarnation: true })).toMatchObject({ synced: 1 });
  expect(await incarnation()).toBeGreaterThan(before);
  expect(await service.take()).toEqual([]);
  await service.orm.schema.drop();
});
