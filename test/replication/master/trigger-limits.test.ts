import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import pg from 'pg';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** The guide's table of what triggers capture and what they do not, row by row, as far as no other test has it. */

const properties = { id: p.integer().primary().autoincrement(false), name: p.text().nullable() };
const Owner = master(defineEntity({ name: 'Owner', extends: MasterEntity, properties }), { id: 'owner' });
const Thing = master(
  defineEntity({
    name: 'Thing',
    extends: MasterEntity,
    properties: { ...properties, owner: () => p.manyToOne(Owner).nullable().deleteRule('set null') },
  }),
  { id: 'thing' } as never,
);
const Card = master(
  defineEntity({
    name: 'Card',
    extends: MasterEntity,
    properties: { ...properties, owner: () => p.manyToOne(Owner) },
  }),
  {
    id: 'card',
    populate: ['owner'],
    serializer: ({ id, owner }: { id: number; owner: { name: string | null } }) => ({ id, name: owner.name }),
  } as never,
);

let service: MasterService;
let other: pg.Client;
beforeAll(async () => {
  service = await masterService([Owner, Thing, Card], { settings: { master: { capture: 'trigger' } } });
  other = new pg.Client({ connectionString: service.orm.config.get('clientUrl') });
  await other.connect();
  await other.query(`
    create view named as select id, name from thing where name is not null;
    create table elsewhere (id int, name text);
    create function follows() returns trigger language plpgsql as
      $$ begin update thing set name = new.name where id = new.id; return null; end $$;
    create trigger follows after insert on elsewhere for each row execute function follows();
    create rule too as on delete to elsewhere do also delete from thing where id = old.id;
    create function f() returns void language sql as $$ update thing set name = 'f' where id = 1 $$;
    create procedure p() language plpgsql as
      $$ begin update thing set name = 'p' where id = 1; commit; update thing set name = 'q' where id = 2; end $$;
    create schema another; create table another.thing (like thing including all)`);
});
afterAll(async () => {
  await other?.end();
  await service?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await other.query('delete from thing; delete from card; delete from owner; truncate elsewhere');
  await other.query(`insert into owner (id, name) values (1, 'o')`);
  await other.query(`insert into thing (id, name, owner_id) values (1, 'a', 1), (2, 'b', null)`);
  await service.take();
});
const told = async (): Promise<string[]> =>
  (await service.take()).map(({ signal, cqrsId, pk, data }) => `${signal} ${cqrsId} ${pk} ${String(data['name'])}`);

// claims: trigger-capture
describe('captured', () => {
  test.each<[string, string, ...string[]]>([
    ['an updatable view', `update named set name = 'v' where id = 1`, 'SAVE thing 1 v'],
    ['a trigger of another table', `insert into elsewhere values (2, 't')`, 'SAVE thing 2 t'],
    [
      'a rule of another table',
      `insert into elsewhere values (1, 'x'); delete from elsewhere`,
      'DELETE thing 1 undefined',
    ],
    ['a function', 'select f()', 'SAVE thing 1 f'],
    ['a procedure that commits', 'call p()', 'SAVE thing 1 p', 'SAVE thing 2 q'],
    ['DO', `do $$ begin execute 'delete from thing where id = 2'; end $$`, 'DELETE thing 2 undefined'],
    ['WITH', `with d as (delete from thing where id = 2 returning *) select * from d`, 'DELETE thing 2 undefined'],
    ['ON DELETE SET NULL', 'delete from owner', 'DELETE owner 1 undefined', 'SAVE thing 1 a'],
    ['a prepared statement', `prepare s as update thing set name = $1 where id = 1; execute s('s')`, 'SAVE thing 1 s'],
  ])('%s', async (_, statement, ...expected) => {
    await other.query(statement);
    expect((await told()).toSorted()).toEqual(expected.toSorted());
  });

  test('a transaction that is prepared, when it is committed', async () => {
    const [{ allowed }] = (await service.sql<{ allowed: boolean }>(
      `select current_setting('max_prepared_transactions')::int > 0 as allowed`,
    )) as [{ allowed: boolean }];
    const id = `cqrs_${Date.now()}`;
    await other.query(`begin; update thing set name = 'two phases' where id = 1`);
    const prepared = other.query(`prepare transaction '${id}'`);
    if (!allowed) return expect(prepared).rejects.toThrow('disabled');
    await prepared;
    expect(await told()).toEqual([]);
    await other.query(`commit prepared '${id}'`);
    expect(await told()).toEqual(['SAVE thing 1 two phases']);
  });

  test('by a role that row security shows some rows only; TRUNCATE tells all of them', async () => {
    const role = `cqrs_tenant_${Date.now()}`;
    await other.query(`create role ${role}; grant select, insert, update, delete, truncate on thing to ${role};
      grant usage on sequence cqrs_outbox_id_seq to ${role};
      alter table thing enable row level security; alter table thing force row level security;
      create policy mine on thing to ${role} using (id > 1) with check (id > 1)`);
    try {
      await other.query(
        `begin; set local role ${role}; update thing set name = 'seen'; delete from thing where id = 1`,
      );
      await other.query(`insert into thing (id, name) values (3, 'c'); commit`);
      expect((await told()).toSorted()).toEqual(['SAVE thing 2 seen', 'SAVE thing 3 c']);
      await other.query(`begin; set local role ${role}`);
      await expect(other.query(`insert into thing (id, name) values (0, 'not mine')`)).rejects.toThrow('row-level');
      await other.query('rollback');
      expect(await told()).toEqual([]);
      await other.query(`begin; set local role ${role}; truncate thing; commit`);
      expect((await told()).toSorted()).toEqual([1, 2, 3].map((id) => `DELETE thing ${id} undefined`));
    } finally {
      await other.query(`rollback; alter table thing disable row level security; drop policy mine on thing`);
      await other.query(`drop owned by ${role}; drop role ${role}`);
    }
  });

  test('by a role that may write some columns only; without a right to the sequence it inserts nothing', async () => {
    const role = `cqrs_clerk_${Date.now()}`;
    await other.query(`create role ${role}; grant select (id), insert (id, name), update (name) on thing to ${role}`);
    try {
      await other.query(`begin; set local role ${role}; update thing set name = 'by a clerk' where id = 1; commit`);
      expect(await told()).toEqual(['SAVE thing 1 by a clerk']);
      await other.query(`begin; set local role ${role}`);
      await expect(other.query(`insert into thing (id, name) values (4, 'd')`)).rejects.toThrow('cqrs_outbox_id_seq');
      await other.query('rollback');
      await other.query(`begin; set local role ${role}`);
      await expect(other.query('select * from cqrs_captured')).rejects.toThrow('permission denied');
      await other.query('rollback');
    } finally {
      await other.query(`drop owned by ${role}; drop role ${role}`);
    }
  });
});

describe('not captured', () => {
  test.each([
    [
      'a session for replication',
      `set session_replication_role = replica; update thing set name = 'r'; reset session_replication_role`,
    ],
    [
      'disabled triggers',
      `alter table thing disable trigger user; delete from thing; alter table thing enable trigger user`,
    ],
    [
      'ALTER TABLE that changes rows',
      `alter table thing add column more int default 1;
       alter table thing alter column more type text using id || 'x'; alter table thing drop column more`,
    ],
    ['another schema', `insert into another.thing (id, name) values (1, 'x')`],
  ])('%s', async (_, statements) => {
    await other.query(statements);
    expect(await told()).toEqual([]);
  });

  test('another schema by MikroORM', async () => {
    await service.orm.em.fork({ schema: 'another' }).insert(Thing, { id: 7, name: 'y' } as never);
    expect(await service.sql('select name from another.thing where id = 7')).toEqual([{ name: 'y' }]);
    expect(await told()).toEqual([]);
  });

  test.each(['repeatable read', 'serializable'])('TRUNCATE under %s, which is refused', async (level) => {
    await other.query(`begin isolation level ${level}`);
    await expect(other.query('truncate thing')).rejects.toThrow('does not see all of its rows');
    await other.query('rollback');
    expect(await told()).toEqual([]);
  });
});

test('relations that a serializer reads are those of the time when the message is made', async () => {
  await other.query(`insert into card (id, owner_id) values (1, 1)`);
  await other.query(`update owner set name = 'renamed since'`);
  expect(await told()).toEqual(['SAVE card 1 renamed since', 'SAVE owner 1 renamed since']);
});
