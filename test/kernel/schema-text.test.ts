import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { describeError } from '../../src/kernel/describe-error.js';
import { withoutValues } from '../../src/replication/replica/rows/database-errors.js';
import { replica, ReplicaEntity } from '../../src/replication/replica/definition/replica-entity.js';
import { message } from '../replication/replica/support/messages.js';
import { ReplicaService } from '../replication/replica/support/replica-service.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

/** Which texts of PostgreSQL reach logs: those that speak of the schema, and none that may quote a row. */

const Item = defineEntity({
  name: 'Item',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.string().columnType('text').nullable() },
});

let database: TestDatabase;
let service: ReplicaService;
let limited: ReplicaService;
const role = `schema_text_${process.pid}`;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [replica(Item, { id: 'item' })]);
  await service.orm.schema.create();
  await service.rows(`create role ${role} login password 'x'; grant all on schema public to ${role};
    grant all on all tables in schema public to ${role}; revoke insert on item from ${role}`);
  const url = new URL(database.url);
  [url.username, url.password] = [role, 'x'];
  limited = await ReplicaService.start(url.href, [replica(Item, { id: 'item' })]);
});
afterAll(async () => {
  await limited.stop();
  await service.rows(`drop owned by ${role}; drop role ${role}`);
  await service.stop();
  await database.drop();
});

/** What is said of what a statement fails with: by the driver, by MikroORM, by a replica's session. */
async function sayings(sql: string, parameters: unknown[] = [], of = service): Promise<string[]> {
  try {
    await of.orm.em.getConnection().execute(sql, parameters);
  } catch (error) {
    const wrapped = of.orm.driver.convertException(error as Error);
    const reduced = withoutValues(error) as Error;
    return [describeError(error), describeError(wrapped), describeError(reduced), reduced.message];
  }
  throw new Error(`${sql} has not failed`);
}

describe('names table and column', () => {
  test.each([
    ['select * from nowhere', 'relation "nowhere" does not exist'],
    ['update item set colour = 1', 'column "colour" of relation "item" does not exist'],
    ['select t.colour from item t', 'column t.colour does not exist'],
    [`update item set id = now()`, 'column "id" is of type integer but expression is of type timestamp with time zone'],
    [
      `insert into item (id) values (1) on conflict (name) do nothing`,
      'there is no unique or exclusion constraint matching the ON CONFLICT specification',
    ],
    ['select 1 from item where id = now()', 'operator does not exist: integer = timestamp with time zone'],
  ])('%s', async (sql, text) => {
    for (const saying of await sayings(sql)) expect(saying).toContain(text);
  });

  test('a privilege that is missing, as a worker meets it', async () => {
    const failed = limited.handle([message({ id: 1, name: 'a' }, { cqrsId: 'item' })]);
    await expect(failed.catch((error: unknown) => Promise.reject(new Error(describeError(error))))).rejects.toThrow(
      /^DatabaseError \[SQLSTATE 42501\]: permission denied for table item$/,
    );
  });

  test('a key that the database numbers, as a worker meets it', async () => {
    await service.rows('alter table item alter id add generated always as identity');
    const failed = service.handle([message({ id: 1, name: 'a' }, { cqrsId: 'item' })]);
    await expect(failed.catch((error: unknown) => Promise.reject(new Error(describeError(error))))).rejects.toThrow(
      'SQLSTATE 428C9]: cannot insert a non-DEFAULT value into column "id"',
    );
    await service.rows('alter table item alter id drop identity');
  });
});

/** Values that look like names, like sentences of PostgreSQL, and like neither. */
const SECRETS = [
  'alice',
  'Alice Smith',
  'alice.smith',
  'x"; drop',
  "o'hara",
  'table hunter2',
  'permission denied for table hunter2',
  'relation "hunter2" does not exist',
  'interval hunter2',
];

describe.each(SECRETS)('no text quotes the value %s', (secret) => {
  const literal = `'${secret.replaceAll("'", "''")}'`;
  const name = `"${secret.replaceAll('"', '""')}"`;
  const raise = (state: string, text = '%'): string =>
    `do $do$ begin raise exception ${text === '%' ? "'%', " : "'permission denied for table %', "}${literal} using errcode = '${state}'; end $do$`;

  test.each<[string, string, unknown[]]>([
    ...[
      'regclass',
      'regtype',
      'regproc',
      'regprocedure',
      'regoper',
      'regrole',
      'regnamespace',
      'regconfig',
      'regcollation',
    ].flatMap((type): [string, string, unknown[]][] => [
      [`a cast to ${type} of a literal`, `select ${literal}::${type}`, []],
      [`a cast to ${type} of a parameter`, `select ?::text::${type}`, [secret]],
    ]),
    ['a text in double quotes', `select * from item where name = ${name}`, []],
    ['a text in no quotes', `select * from item where name = ${secret}`, []],
    ['a syntax error', `select ${literal} ${literal}) from item`, []],
    ['a sequence of that name', `select nextval(?)`, [secret]],
    ['a setting of that name', `select current_setting(?)`, [secret]],
    ['a role of that name', `select has_table_privilege(?, 'item', 'select')`, [secret]],
    ['a unit of that name', `select date_trunc(?, now())`, [secret]],
    ['a part of that name', `select extract(${name} from now())`, []],
    ['what is raised', raise('42501'), []],
    ['what is raised in the words of PostgreSQL', raise('42501', 'x'), []],
    ['what is raised as unsupported', raise('0A000'), []],
    ['what is raised as an undefined column', raise('42703'), []],
    ['a dynamic statement', `do $do$ begin execute 'select * from ' || quote_ident(${literal}); end $do$`, []],
    [
      'a column in a dynamic statement',
      `do $do$ begin execute 'select ' || quote_ident(${literal}) || ' from item'; end $do$`,
      [],
    ],
  ])('%s', async (_, sql, parameters) => {
    let said: string[];
    try {
      said = await sayings(sql, parameters);
    } catch (error) {
      // Some of them are names of something.
      if ((error as Error).message.endsWith('has not failed')) return;
      throw error;
    }
    for (const saying of said) expect(saying).not.toContain(secret);
  });
});
