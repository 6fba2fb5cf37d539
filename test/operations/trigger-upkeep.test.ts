import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntitySchema, MikroORM, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { Cqrs } from '../../src/cqrs.js';
import { examineService } from '../../src/operations/doctor/doctor.js';
import { setUpCheck } from '../../src/operations/doctor/set-up-check.js';
import { triggersCheck } from '../../src/operations/doctor/triggers-check.js';
import { type AdditivePlan, planAdditions } from '../../src/operations/schema/additive-plan.js';
import { runAdditions } from '../../src/operations/schema/run-additions.js';
import { master, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** Triggers that capture a master: made on tables that exist by `cqrs schema --additive`, looked after by `cqrs doctor`. */

let database: TestDatabase;
let other: pg.Client;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  database = await createDatabase();
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  await other.end();
  await database.drop();
});

/** One release of the service; `fields` of its only master, `thing`. */
async function release(
  fields: object = {},
  capture: 'driver' | 'trigger' = 'trigger',
  isSyncInstance?: () => boolean,
): Promise<Cqrs> {
  const schema = defineEntity({
    name: 'Thing',
    extends: MasterEntity,
    properties: { id: p.integer().primary().autoincrement(false), a: p.integer(), ...fields },
  } as never) as never as EntitySchema;
  const cqrs = new Cqrs({ transport: 'MemoryTransport', master: { capture } });
  const entities = [master(schema, { id: 'thing', isSyncInstance } as never)];
  const orm = await MikroORM.init({ clientUrl: database.url, entities, extensions: [cqrs] });
  stack.defer(() => orm.close());
  return cqrs;
}

async function add(cqrs: Cqrs): Promise<AdditivePlan> {
  const plan = await planAdditions(cqrs);
  await runAdditions(cqrs, plan.tables, () => {});
  expect(await planAdditions(cqrs)).toMatchObject({ tables: [], refused: plan.refused });
  return plan;
}

/** What messages say that a relay would send. */
async function told(cqrs: Cqrs): Promise<string[]> {
  const make = cqrs.masterRuntime.createMaker();
  while (await make());
  const { rows } = await other.query<{ body: string }>('select body from cqrs_outbox order by id');
  await other.query('delete from cqrs_outbox');
  return rows.map(({ body }) => {
    const { signal_type, instance_data } = JSON.parse(body);
    const { cqrs_updated: _, ...data } = instance_data;
    return `${signal_type} ${JSON.stringify(data)}`;
  });
}

/** What the doctor says, a line a finding. */
async function findings(cqrs: Cqrs): Promise<string[]> {
  const { checks } = await examineService(cqrs, [setUpCheck, triggersCheck]);
  return checks.flatMap((check) => check.findings.map(({ severity, what }) => `${severity}: ${what}`));
}

const c = { c: p.integer().default(7) };
const OLD_TABLE = 'create table thing (id int primary key, a int not null)';

describe('cqrs schema --additive', () => {
  test('a table with rows, which nobody writes anew, is captured from then on', async () => {
    await other.query(`${OLD_TABLE}; insert into thing select i, i from generate_series(1, 1000) i`);
    const file = async (): Promise<unknown> => (await other.query(`select pg_relation_filenode('thing') f`)).rows;
    const before = await file();
    const cqrs = await release();
    await expect(cqrs.check()).rejects.toThrow('cqrs schema --additive --run');
    expect(await add(cqrs)).toMatchObject({ refused: [], left: [] });
    expect(await file()).toEqual(before);
    await cqrs.check();
    expect(await findings(cqrs)).toEqual([]);
    await other.query('update thing set a = 0 where id = 7; delete from thing where id = 8');
    expect(await told(cqrs)).toEqual(['SAVE {"id":7,"a":0,"cqrs_revision":1}', 'DELETE {"id":8,"cqrs_revision":1}']);
  });

  test('without any table it makes them with their triggers', async () => {
    const cqrs = await release();
    await add(cqrs);
    await cqrs.check();
    await other.query('insert into thing (id, a) values (1, 1)');
    expect(await told(cqrs)).toEqual(['SAVE {"id":1,"a":1,"cqrs_revision":0}']);
    expect(await cqrs.orm.schema.getUpdateSchemaSQL()).toBe('');
  });

  test('a change of fields: services of both releases start, and what is left of the former is told', async () => {
    const old = await release();
    await old.orm.schema.create();
    const next = await release(c);
    expect((await add(next)).kept.map(({ what }) => what.replace(/_[\da-f]{8}$/, ''))).toContain(
      'trigger cqrs_after_insert',
    );
    await old.check();
    await next.check();
    await other.query('insert into thing (id, a) values (1, 1); update thing set c = 8');
    expect(await told(next)).toEqual(['SAVE {"id":1,"a":1,"c":8,"cqrs_revision":0}']);
    await other.query('update thing set a = 2');
    expect(await told(old)).toEqual(['SAVE {"id":1,"a":2,"cqrs_revision":1}']);
    const { checks } = await examineService(next, [triggersCheck]);
    expect(checks[0]!.findings).toMatchObject([{ severity: 'advice', what: expect.stringContaining('noted twice') }]);
    const [drop] = /drop trigger .*$/.exec(checks[0]!.findings[0]!.cure)!;
    await other.query(drop);
    expect(await findings(next)).toEqual([]);
    await expect(old.check()).rejects.toThrow('lacks the triggers');
    await other.query('update thing set a = 3');
    expect(await told(next)).toEqual(['SAVE {"id":1,"a":3,"c":8,"cqrs_revision":2}']);
    expect(await next.orm.schema.getUpdateSchemaSQL()).toBe('');
  });

  test('the former release, put back, finds its functions again', async () => {
    const old = await release();
    await old.orm.schema.create();
    await add(await release({ c: p.integer().nullable() }));
    expect(await findings(old)).toEqual([
      expect.stringMatching(/^advice: functions of its triggers are not those that this release makes: .*_insert/),
      expect.stringMatching(/^advice: its table has triggers of another release/),
    ]);
    await add(old);
    expect(await findings(old)).toEqual([expect.stringMatching(/triggers of another release/)]);
  });
});

describe('cqrs doctor', () => {
  const only = async (cqrs: Cqrs, expected: RegExp): Promise<void> => {
    expect(await findings(cqrs)).toEqual([expect.stringMatching(expected)]);
  };

  test.each(['disable', 'enable replica'])('%s trigger', async (how) => {
    const cqrs = await release();
    await cqrs.orm.schema.create();
    await other.query(`alter table thing ${how} trigger cqrs_before_truncate`);
    await only(cqrs, /^problem: triggers of "?thing"? are disabled: cqrs_before_truncate\.$/);
    await other.query('alter table thing enable always trigger cqrs_before_truncate');
    expect(await findings(cqrs)).toEqual([]);
  });

  test('a function that is gone, and one that somebody has changed', async () => {
    const cqrs = await release();
    await cqrs.orm.schema.create();
    await other.query('drop function cqrs_thing_update cascade');
    expect(await findings(cqrs)).toEqual([
      expect.stringMatching(/^problem: .* lacks the triggers .*: cqrs_after_update_\w+\.$/),
      expect.stringMatching(/^problem: functions of its triggers are not there: "public"."cqrs_thing_update"\.$/),
    ]);
    await add(cqrs);
    expect(await findings(cqrs)).toEqual([]);
    await other.query(`create or replace function cqrs_thing_insert() returns trigger language plpgsql as
      $$ begin return null; end $$`);
    await only(cqrs, /^advice: functions .* are not those that this release makes: "public"."cqrs_thing_insert"\.$/);
    await add(cqrs);
    expect(await findings(cqrs)).toEqual([]);
  });

  test('an owner of the functions who may not write what they note', async () => {
    const cqrs = await release();
    await cqrs.orm.schema.create();
    const role = `cqrs_owner_${Date.now()}`;
    await other.query(`create role ${role}; grant all on schema public to ${role}`);
    try {
      await other.query(`alter function cqrs_thing_insert owner to ${role}`);
      await only(cqrs, new RegExp(`^problem: the functions of its triggers belong to "${role}"`));
      await expect(other.query('insert into thing (id, a) values (1, 1)')).rejects.toThrow('cqrs_captured');
      await other.query(`grant select, insert, update on cqrs_captured to ${role}`);
      await other.query(`grant usage on sequence cqrs_captured_id_seq to ${role}`);
      expect(await findings(cqrs)).toEqual([]);
      await other.query('insert into thing (id, a) values (1, 1)');
      expect(await told(cqrs)).toHaveLength(1);
    } finally {
      await other.query(`reassign owned by ${role} to current_user; drop owned by ${role}; drop role ${role}`);
    }
  });

  test('partitions: one that a statement names is not captured, one whose triggers are disabled', async () => {
    await other.query(
      `${OLD_TABLE} partition by range (id); create table low partition of thing for values from (0) to (9)`,
    );
    const cqrs = await release();
    await add(cqrs);
    await other.query(
      'create table high (like thing including defaults); insert into high (id, a) values (11, 1), (12, 1)',
    );
    await only(cqrs, /^advice: its table is kept in parts, and a statement that names the part "low" is not captured$/);
    await other.query('alter table thing attach partition high for values from (9) to (99)');
    expect(await findings(cqrs)).toEqual([expect.stringContaining('"low"'), expect.stringContaining('"high"')]);
    // By the table itself rows of all parts are captured, also those of one that came later.
    await other.query('insert into thing (id, a) values (1, 1); update thing set a = 2 where id = 11');
    await other.query('update high set a = 3 where id = 12');
    expect(await told(cqrs)).toEqual([
      'SAVE {"id":1,"a":1,"cqrs_revision":0}',
      'SAVE {"id":11,"a":2,"cqrs_revision":1}',
    ]);
    await other.query('alter table high disable trigger all');
    expect((await findings(cqrs)).at(-1)).toMatch(/^problem: triggers are disabled in high, a part of its table/);
  });

  test('what no message can be made of', async () => {
    const cqrs = await release({}, 'trigger', () => {
      throw new Error('the filter is wrong');
    });
    await cqrs.orm.schema.create();
    await other.query('insert into thing (id, a) values (1, 1), (2, 2)');
    expect(await told(cqrs)).toEqual([]);
    await only(cqrs, /^problem: no message can be made of changes of 2 rows, .*: Error: the filter is wrong\.$/);
  });

  test('triggers that are left when a master is captured at the driver again', async () => {
    const before = await release();
    await before.orm.schema.create();
    const cqrs = await release({}, 'driver');
    await only(cqrs, /^advice: .* are announced twice, since this release captures 'driver'\.$/);
  });
});
