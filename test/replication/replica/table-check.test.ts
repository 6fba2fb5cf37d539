import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import type { Outcome } from '../../../src/messaging/inbox/handler.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

/** What the catalogue says of a replica's table at start; and, so that the check is checked, what messages make of it. */

const schema = (name: string) =>
  defineEntity({
    name,
    tableName: name.toLowerCase(),
    extends: ReplicaEntity,
    properties: {
      id: p.integer().primary().autoincrement(false),
      name: p.string().columnType('text').nullable(),
      price: p.decimal().columnType('numeric(12,2)').nullable(),
      at: p.datetime().columnType('timestamptz(6)').nullable(),
      code: p.string().columnType('varchar(20) collate "C"').nullable(),
    },
  });
const Item = schema('Item');
const Hooked = schema('Hooked');
const Own = schema('Own');

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [
    replica(Item, { id: 'item' }),
    replica(Hooked, {
      id: 'hooked',
      cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never),
    }),
    replica(Own, {
      id: 'own',
      cqrsCreate: (em, { mappedData }) => em.create(Own.class as never, { ...(mappedData as object) } as never),
    }),
  ]);
});
beforeEach(async () => {
  await service.orm.schema.create();
});
afterEach(async () => {
  await service.rows('drop schema public cascade');
  await service.rows('create schema public');
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const said = async (): Promise<{ problems: string[]; warnings: string[] }> => {
  const lines = (list: readonly { where: string; what: string }[]): string[] =>
    list.map(({ where, what }) => `${where}: ${what}`);
  const problems = await service.side.checkTables();
  return { problems: lines(problems), warnings: lines(service.side.warnings) };
};

/** What becomes of a row that is created, changed and deleted: all outcomes, and what the database refuses. */
async function life(cqrsId: string): Promise<string[]> {
  const data = { id: 1, name: 'a', price: '12.50', at: '2026-01-02 03:04:05.123456+00:00', code: 'x' };
  const ends: string[] = [];
  for (const received of [
    message(data, { cqrsId, revision: 0 }),
    message({ ...data, name: 'b' }, { cqrsId, revision: 1 }),
    message({ id: 1 }, { cqrsId, revision: 2, signal: 'DELETE' }),
  ]) {
    try {
      ends.push(...brief((await service.handle([received])) as Outcome[]));
    } catch {
      ends.push('refused');
    }
  }
  return ends;
}

const WELL = ['create', 'update', 'delete'];

// claims: set-up-checked
test('a worker that is started alone is told all that is wrong with the tables, each with its cure', async () => {
  await service.rows('alter table item add tenant text not null; drop table hooked');
  await expect(service.side.checkOnce()).rejects.toMatchObject({
    problems: [
      { where: 'Item', what: expect.stringContaining('tenant'), cure: 'Give it a default in the database, or map it.' },
      {
        where: 'Hooked',
        what: expect.stringContaining('does not exist'),
        cure: expect.stringContaining('cqrs schema --additive'),
      },
    ],
  });
  await service.rows('alter table item alter tenant set default 1');
  await service.orm.schema.update({ safe: true });
  await service.rows('create unique index by_name on item (name)');
  await service.side.checkOnce();
  const warned = (): unknown[] => service.seen.filter(({ name }) => name === 'cqrs.replica.warned');
  expect(warned()).toHaveLength(1);
  await service.side.checkOnce();
  expect(warned()).toHaveLength(1);
});

test('the tables of the schema generator are in order', async () => {
  expect(await said()).toEqual({ problems: [], warnings: [] });
  for (const cqrsId of ['item', 'hooked', 'own']) expect(await life(cqrsId)).toEqual(WELL);
});

describe('refused, since no row, or none of some kind, can be stored', () => {
  test.each<[string, string, string | RegExp, string]>([
    ['a table that is missing', 'drop table item', 'Item: its table "item" does not exist.', 'item'],
    [
      'columns that are missing',
      'alter table item drop name, drop price',
      'Item: its table "item" lacks name, price.',
      'item',
    ],
    [
      'a NOT NULL column that no message fills',
      'alter table item add tenant text not null',
      'Item: its table "item" has NOT NULL columns without a default that no message fills: tenant.',
      'item',
    ],
    [
      'the same of a domain',
      'create domain tenant as text not null; alter table item add tenant tenant',
      'Item: its table "item" has NOT NULL columns without a default that no message fills: tenant.',
      'item',
    ],
    [
      'the same with hooks that make no row themselves',
      'alter table hooked add tenant text not null',
      'Hooked: its table "hooked" has NOT NULL columns without a default that no message fills: tenant.',
      'hooked',
    ],
    [
      'a key that the database numbers',
      'alter table item alter id add generated always as identity',
      'Item: its table "item" numbers id itself (GENERATED ALWAYS AS IDENTITY): what a message brings is refused.',
      'item',
    ],
    [
      'a column that the database computes',
      `alter table item drop name, add name text generated always as ('x') stored`,
      'Item: its table "item" computes name itself (GENERATED ALWAYS): what a message brings is refused.',
      'item',
    ],
    [
      'no unique index over the key',
      'alter table item drop constraint item_pkey',
      'Item: its table "item" has no unique index over its key (id).',
      'item',
    ],
    [
      'a key that is checked with the COMMIT',
      'alter table item drop constraint item_pkey, add primary key (id) deferrable',
      'Item: its table "item" checks its key with the COMMIT (DEFERRABLE).',
      'item',
    ],
    [
      'a column of another type',
      'alter table item alter name type int using 0',
      'Item: its table "item" has name as integer, which takes no text as the entity declares it.',
      'item',
    ],
    [
      'a view',
      'alter table item rename to base; create view item as select * from base',
      'Item: its table "item" is a view: rows cannot be stored there under a condition.',
      'item',
    ],
    [
      'a rule on INSERT',
      `create rule keep as on insert to item where new.name = 'skip' do instead nothing`,
      'Item: its table "item" has the rule keep on INSERT, beside which PostgreSQL refuses the statements of a replica.',
      'item',
    ],
    [
      'a rule on UPDATE',
      `create rule keep as on update to item where new.name = 'skip' do instead nothing`,
      'Item: its table "item" has the rule keep on UPDATE, beside which PostgreSQL refuses the statements of a replica.',
      'item',
    ],
    [
      'a rule on DELETE',
      'create rule keep as on delete to item do instead nothing',
      'Item: its table "item" has the rule keep on DELETE, beside which PostgreSQL refuses the statements of a replica.',
      'item',
    ],
    [
      'a rule on UPDATE, with hooks',
      `create rule keep as on update to hooked where new.name = 'skip' do instead nothing`,
      'Hooked: its table "hooked" has the rule keep on UPDATE, beside which PostgreSQL refuses the statements of a replica.',
      'hooked',
    ],
    [
      'a rule on DELETE, with hooks',
      'create rule keep as on delete to hooked do instead nothing',
      'Hooked: its table "hooked" has the rule keep on DELETE, beside which PostgreSQL refuses the statements of a replica.',
      'hooked',
    ],
    [
      'a partition key that the unique index cannot do without',
      `drop table item; create table item (id int, name text, price numeric(12,2), at timestamptz(6), code varchar(20),
         cqrs_revision int, cqrs_updated timestamptz, cqrs_incarnation bigint, primary key (id, cqrs_revision)) partition by hash (cqrs_revision)`,
      'Item: its table "item" has no unique index over its key (id).',
      'item',
    ],
  ])('%s', async (_, ddl, problem, cqrsId) => {
    await service.rows(ddl);
    expect((await said()).problems).toEqual([problem]);
    // The check says no more than what happens.
    expect(await life(cqrsId)).not.toEqual(WELL);
  });

  test.each(['interval year', 'interval day to minute'])('%s', async (type) => {
    await service.rows(`alter table item alter code type ${type} using null`);
    const { problems } = await said();
    expect(problems.join()).toContain(`has code as ${type}: what that cuts off cannot be told.`);
  });

  test('a key that is narrower than declared: two keys would become one', async () => {
    await service.rows('alter table item alter id type smallint');
    expect((await said()).problems).toEqual([
      'Item: its table "item" has id as smallint, which is narrower than int as the entity declares it: two keys may become one.',
    ]);
  });
});

describe('told, since messages are applied all the same, most of them', () => {
  test.each<[string, string, string | RegExp]>([
    [
      'a unique index that only the catalogue has',
      'create unique index by_name on item (name)',
      'Item: its table "item" keeps the replicated name unique at once (by_name): two rows that swap the value can never be applied.',
    ],
    [
      'one over an expression',
      'create unique index by_name on item (lower(name))',
      /keeps the replicated \(an expression\) unique at once \(by_name\)/,
    ],
    [
      'an exclusion constraint',
      `alter table item add constraint apart exclude using gist (tstzrange(at, at, '[]') with &&)`,
      /keeps the replicated \(an expression\) unique at once \(apart\)/,
    ],
    [
      'a trigger before rows are written',
      `create function keep() returns trigger language plpgsql as 'begin return coalesce(new, old); end';
       create trigger keep before insert or delete on item for each row execute function keep()`,
      'Item: its table "item" has the trigger keep before INSERT and DELETE of a row: a row that it keeps back is skipped as `suppressed`, and one that it changes differs from the master\'s.',
    ],
    [
      'a rule that works beside hooks',
      `create rule keep as on insert to hooked where new.name = 'skip' do instead nothing`,
      'Hooked: its table "hooked" has the rule keep on INSERT: a row that it keeps back is skipped as `suppressed`.',
    ],
    [
      'a trigger that fills a column which no message does',
      `alter table item add tenant text not null;
       create function fill() returns trigger language plpgsql as 'begin new.tenant = ''t''; return new; end';
       create trigger fill before insert on item for each row execute function fill()`,
      'Item: its table "item" has NOT NULL columns without a default that no message fills: tenant; a trigger has to.',
    ],
    [
      'NOT NULL where a message may bring null',
      'alter table item alter name set not null',
      'Item: its table "item" has NOT NULL columns without a default that a message may leave empty: name.',
    ],
    [
      'fewer digits',
      'alter table item alter price type numeric(12,0)',
      /price as numeric\(12,0\), which is narrower than numeric\(12,2\)/,
    ],
    [
      'fewer digits before the point',
      'alter table item alter price type numeric(6,2)',
      /price as numeric\(6,2\), which is narrower/,
    ],
    [
      'whole numbers',
      'alter table item alter price type integer',
      /price as integer, which is narrower than numeric\(12,2\)/,
    ],
    [
      'floating point',
      'alter table item alter price type real',
      /price as real, which is narrower than numeric\(12,2\)/,
    ],
    [
      'shorter texts',
      'alter table item alter name type varchar(2)',
      /name as character varying\(2\), which is narrower than text/,
    ],
    [
      'padded texts',
      'alter table item alter code type char(20)',
      /code as character\(20\), which is narrower than varchar\(20\)/,
    ],
    [
      'milliseconds',
      'alter table item alter at type timestamptz(3)',
      /at as timestamp\(3\) with time zone, which is narrower/,
    ],
    ['days', 'alter table item alter at type date', /at as date, which is narrower than timestamptz\(6\)/],
    [
      'a domain over a shorter type',
      'create domain cents as numeric(4,1); create domain small as cents; alter table item alter price type small',
      /price as numeric\(4,1\), which is narrower/,
    ],
  ])('%s', async (_, ddl, warning) => {
    await service.rows(ddl);
    const { problems, warnings } = await said();
    expect(problems).toEqual([]);
    expect(
      warnings.filter((line) => (typeof warning === 'string' ? line === warning : warning.test(line))),
    ).toHaveLength(1);
  });
});

describe('nothing is said of what does no harm', () => {
  test.each<[string, string]>([
    ['a default that nobody declared', `alter table item add tenant text not null default 't'`],
    ['an identity column beside the key', 'alter table item add place bigint generated always as identity'],
    [
      'a unique constraint that is deferred',
      'alter table item add constraint by_name unique (name) deferrable initially deferred',
    ],
    ['a unique index that the key is part of', 'create unique index pair on item (id, name)'],
    [
      'a unique index over a column that no message fills',
      'alter table item add place int; create unique index places on item (place)',
    ],
    ['wider columns', 'alter table item alter price type numeric, alter code type text, alter id type bigint'],
    ['a domain without a length', 'create domain words as text; alter table item alter name type words'],
    [
      'triggers after the write, and those that are disabled',
      `create function nothing() returns trigger language plpgsql as 'begin return null; end';
       create trigger later after insert on item for each row execute function nothing();
       create trigger never before insert on item for each row execute function nothing();
       alter table item disable trigger never`,
    ],
    [
      'a rule that is disabled',
      'create rule keep as on insert to item do instead nothing; alter table item disable rule keep',
    ],
    [
      'partitions',
      `create table whole (like item including all) partition by hash (id); drop table item; alter table whole rename to item;
       create table part0 partition of item for values with (modulus 2, remainder 0);
       create table part1 partition of item for values with (modulus 2, remainder 1)`,
    ],
  ])('%s', async (_, ddl) => {
    await service.rows(ddl);
    expect(await said()).toEqual({ problems: [], warnings: [] });
    expect(await life('item')).toEqual(WELL);
  });

  test('what a class with a cqrsCreate of its own fills by itself', async () => {
    await service.rows('alter table own add tenant text not null');
    expect(await said()).toEqual({ problems: [], warnings: [] });
  });
});

describe('another role', () => {
  let other: ReplicaService;
  const role = `replica_role_${process.pid}`;
  beforeEach(async () => {
    await service.rows(`create role ${role} login password 'x'`);
    await service.rows(`grant all on schema public to ${role}; grant all on all tables in schema public to ${role}`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'x'];
    other = await ReplicaService.start(url.href, [replica(Item, { id: 'item' })]);
  });
  afterEach(async () => {
    await other.stop();
    await service.rows(`drop owned by ${role}; drop role ${role}`);
  });
  const sayings = async (): Promise<string[]> =>
    [...(await other.side.checkTables()), ...other.side.warnings].map(({ what, cure }) => `${what} ${cure}`);

  test.each<[string, string]>([
    ['insert', 'INSERT'],
    ['update', 'UPDATE'],
    ['delete', 'DELETE'],
    ['select', 'SELECT'],
    ['insert, delete', 'INSERT, DELETE'],
  ])('that may not %s', async (privileges, named) => {
    await service.rows(`revoke ${privileges} on item from ${role}`);
    expect(await sayings()).toEqual([
      `its table "item" does not let the role of this service ${named}. GRANT ${named} ON "item" to it.`,
    ]);
  });

  test('that has its privileges column by column, or of the tombstones not all', async () => {
    await service.rows(
      `revoke insert on item from ${role}; grant insert (id, name, price, at, code, cqrs_revision, cqrs_updated, cqrs_incarnation) on item to ${role}`,
    );
    expect(await sayings()).toEqual([]);
    await service.rows(`revoke insert (price) on item from ${role}; revoke insert on cqrs_tombstones from ${role}`);
    expect(await sayings()).toEqual([
      expect.stringContaining('"item" does not let the role of this service INSERT.'),
      expect.stringContaining('"cqrs_tombstones" does not let the role of this service INSERT.'),
    ]);
  });

  test('to which row security applies, unless a policy lets it see and write all rows', async () => {
    await service.rows('alter table item enable row level security');
    const warning = expect.stringContaining('has row security that applies to the role of this service');
    expect(await sayings()).toEqual([warning]);
    await service.rows(`create policy mine on item to ${role} using (id < 100)`);
    expect(await sayings()).toEqual([warning]);
    await service.rows(`create policy every on item to ${role} using (true)`);
    expect(await sayings()).toEqual([]);
    await service.rows(`create policy but on item as restrictive using (id < 100)`);
    expect(await sayings()).toEqual([warning]);
  });
});

test('a schema that may not be used', async () => {
  const Far = defineEntity({
    name: 'Far',
    tableName: 'far',
    schema: 'Far away',
    extends: ReplicaEntity,
    properties: { id: p.integer().primary().autoincrement(false) },
  });
  const role = `replica_far_${process.pid}`;
  await service.rows(
    `create role ${role} login password 'x'; create schema "Far away"; create table "Far away".far (id int)`,
  );
  await service.rows(`grant all on schema public to ${role}; grant all on cqrs_tombstones to ${role}`);
  const url = new URL(database.url);
  [url.username, url.password] = [role, 'x'];
  const far = await ReplicaService.start(url.href, [replica(Far, { id: 'far' })]);
  try {
    expect(await far.side.checkTables()).toEqual([
      {
        where: 'Far',
        what: 'its table "Far away"."far" is in a schema that the role of this service may not use.',
        cure: 'GRANT USAGE ON SCHEMA.',
      },
    ]);
  } finally {
    await far.stop();
    await service.rows(`drop schema "Far away" cascade; drop owned by ${role}; drop role ${role}`);
  }
});
