import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntitySchema, p } from '@mikro-orm/postgresql';
import type { Kysely } from 'kysely';
import pg from 'pg';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService, type Waiting } from '../../support/master-service.js';

/** Masters that triggers capture, written by all that can write a table of PostgreSQL. */

const Account = master(
  defineEntity({
    name: 'Account',
    extends: MasterEntity,
    properties: { id: p.integer().primary(), name: p.text().nullable(), hidden: p.boolean().default(false) },
  }),
  { id: 'account', trackedFields: ['name'], isSyncInstance: (account) => isShown(account as never) },
);
const Line = master(
  defineEntity({
    name: 'Line',
    extends: MasterEntity,
    properties: {
      account: () => p.manyToOne(Account).primary().deleteRule('cascade').updateRule('cascade'),
      n: p.integer().primary(),
      text: p.string().nullable(),
    },
  }),
  { id: 'line' } as never,
);
const Rate = master(
  defineEntity({
    name: 'Rate',
    extends: MasterEntity,
    properties: { id: p.decimal().columnType('numeric').primary(), v: p.integer() },
  }),
  { id: 'rate' },
);
const Tag = master(
  defineEntity({
    name: 'Tag',
    extends: MasterEntity,
    properties: { id: p.string().columnType('citext').primary(), v: p.integer() },
  }),
  { id: 'tag' },
);
const Animal = defineEntity({
  name: 'Animal',
  extends: MasterEntity,
  abstract: true,
  discriminatorColumn: 'kind',
  properties: { id: p.integer().primary(), kind: p.string(), name: p.string() },
} as never) as never as EntitySchema;
const kind = (name: string, discriminatorValue: string): EntitySchema =>
  master(
    defineEntity({ name, extends: Animal, discriminatorValue, properties: {} } as never) as never as EntitySchema,
    {
      id: discriminatorValue,
    } as never,
  );
const [Cat, Dog] = [kind('Cat', 'cat'), kind('Dog', 'dog')];

/** What the filter says; a test may have it fail. */
const shown = ({ hidden }: { hidden: boolean; name: string | null }): boolean => !hidden;
let isShown = shown;

let service: MasterService;
let other: pg.Client;
beforeAll(async () => {
  service = await masterService([Account, Line, Rate, Tag, Animal, Cat, Dog], {
    before: ['create extension citext'],
    settings: { master: { capture: 'trigger' } },
  });
  await service.cqrs.check();
  other = new pg.Client({ connectionString: service.orm.config.get('clientUrl') });
  await other.connect();
});
afterAll(async () => {
  await other?.end();
  await service?.[Symbol.asyncDispose]();
});

const messages = (): Promise<Waiting[]> => service.take();
/** What the messages say, in their order: `SAVE account 7 r1 x`. */
const told = async (): Promise<string[]> => (await messages()).map(inWords);
const inWords = ({ signal, cqrsId, pk, data }: Waiting): string =>
  `${signal} ${cqrsId} ${JSON.stringify(pk)} r${data['cqrs_revision']}${signal === 'DELETE' ? '' : ` ${String(data['name'] ?? data['text'] ?? data['v'])}`}`;

/** Several statements of another program in one transaction. */
async function transaction(...statements: string[]): Promise<void> {
  await other.query('begin');
  for (const text of statements) await other.query(text);
  await other.query('commit');
}

beforeEach(async () => {
  for (const table of ['account', 'rate', 'tag', 'animal']) await other.query(`delete from ${table}`);
  await messages();
  await other.query(`insert into account (id, name) values (1, 'a'), (2, 'b')`);
  await other.query(`insert into line (account_id, n, text) values (1, 1, 'x'), (1, 2, 'y')`);
  await other.query(`insert into rate (id, v) values (1.0, 1)`);
  await other.query(`insert into tag (id, v) values ('Ada', 1)`);
  await other.query(`insert into animal (id, kind, name) values (1, 'cat', 'Tom')`);
  await messages();
});

// claims: trigger-capture
describe('what becomes of the rows of a transaction', () => {
  test.each<[what: string, statements: string[], ...messages: string[]]>([
    [
      'an insert',
      [`insert into account (id, name) values (3, 'c'), (4, 'd')`],
      'SAVE account 3 r0 c',
      'SAVE account 4 r0 d',
    ],
    ['an update', [`update account set name = 'z'`], 'SAVE account 1 r1 z', 'SAVE account 2 r1 z'],
    ['an update that changes nothing', [`update account set name = name where id = 1`], 'SAVE account 1 r1 a'],
    ['a delete', [`delete from account where id = 2`], 'DELETE account 2 r1'],
    [
      'many writes of one row',
      [`update account set name = 'x' where id = 1`, `update account set name = 'y' where id = 1`],
      'SAVE account 1 r1 y',
    ],
    ['created and deleted again', [`insert into account (id) values (3)`, `delete from account where id = 3`]],
    [
      'created, deleted and created again',
      [
        `insert into account (id, name) values (3, 'c')`,
        `delete from account where id = 3`,
        `insert into account (id, name) values (3, 'd')`,
      ],
      'SAVE account 3 r1 d',
    ],
    [
      'deleted and created again',
      [
        `update account set name = 'x' where id = 1`,
        `delete from account where id = 1`,
        `insert into account (id, name) values (1, 'n')`,
      ],
      'SAVE account 1 r2 n',
      'DELETE line [1,1] r1',
      'DELETE line [1,2] r1',
    ],
    ['a new key', [`update account set id = 7 where id = 2`], 'DELETE account 2 r1', 'SAVE account 7 r1 b'],
    [
      'a new key, and back',
      [`update account set id = 7 where id = 2`, `update account set id = 2 where id = 7`],
      'SAVE account 2 r1 b',
    ],
    [
      'a key that another row had',
      [`delete from account where id = 1`, `update account set id = 1 where id = 2`],
      'SAVE account 1 r1 b',
      'DELETE line [1,1] r1',
      'DELETE line [1,2] r1',
      'DELETE account 2 r1',
    ],
    [
      'an upsert',
      [`insert into account (id, name) values (1, 'u'), (9, 'n') on conflict (id) do update set name = excluded.name`],
      'SAVE account 9 r0 n',
      'SAVE account 1 r1 u',
    ],
    [
      'MERGE',
      [
        `merge into account a using (values (1, 'm'), (5, 'n')) as v(id, name) on a.id = v.id
           when matched then update set name = v.name when not matched then insert (id, name) values (v.id, v.name)`,
      ],
      'SAVE account 5 r0 n',
      'SAVE account 1 r1 m',
    ],
    ['a row that leaves the filter', [`update account set hidden = true where id = 1`], 'DELETE account 1 r1'],
    ['a row that the filter never let through', [`insert into account (id, hidden) values (3, true)`]],
    [
      'ON DELETE CASCADE',
      [`delete from account where id = 1`],
      'DELETE line [1,1] r1',
      'DELETE line [1,2] r1',
      'DELETE account 1 r1',
    ],
    [
      'ON UPDATE CASCADE',
      [`update account set id = 8 where id = 1`],
      'DELETE line [1,1] r1',
      'DELETE line [1,2] r1',
      'SAVE line [8,1] r1 x',
      'SAVE line [8,2] r1 y',
      'DELETE account 1 r1',
      'SAVE account 8 r1 a',
    ],
    [
      'savepoints',
      [
        `update account set name = 'kept' where id = 1`,
        'savepoint s',
        `update account set name = 'undone' where id = 1`,
        `delete from account where id = 2`,
        'rollback to s',
        `insert into account (id, name) values (3, 'c')`,
        'savepoint t',
        `update account set name = 'last' where id = 1`,
        'release t',
      ],
      'SAVE account 1 r1 last',
      'SAVE account 3 r0 c',
    ],
    ['a transaction that is rolled back', [`update account set name = 'x'`, 'rollback', 'begin']],
    [
      'TRUNCATE',
      [`truncate account cascade`],
      'DELETE account 1 r1',
      'DELETE account 2 r1',
      'DELETE line [1,1] r1',
      'DELETE line [1,2] r1',
    ],
    [
      'a key that is spelt otherwise, by the equality of an extension',
      [`update tag set id = 'ADA'`],
      'SAVE tag "ADA" r1 1',
    ],
    ['a key that is spelt otherwise', [`update rate set id = 1.00`], 'SAVE rate "1.00" r1 1'],
    [
      'a key that is spelt otherwise twice in one transaction',
      [
        `insert into rate (id, v) values (2.0, 2)`,
        `update rate set id = 2.00 where id = 2`,
        `update rate set v = 3 where id = 2`,
      ],
      'SAVE rate "2.00" r0 3',
    ],
    [
      'another kind, under another id',
      [`update animal set kind = 'dog' where id = 1`],
      'DELETE cat 1 r1',
      'SAVE dog 1 r1 Tom',
    ],
    [
      'another kind, and gone: the end of what was there',
      [`update animal set kind = 'dog' where id = 1`, `delete from animal where id = 1`],
      'DELETE cat 1 r2',
    ],
    [
      'gone, again as another kind, and gone',
      [
        `delete from animal where id = 1`,
        `insert into animal (id, kind, name) values (1, 'dog', 'Rex')`,
        `delete from animal`,
      ],
      'DELETE cat 1 r2',
    ],
    [
      'another kind and back',
      [`update animal set kind = 'dog' where id = 1`, `update animal set kind = 'cat', name = 'Kit' where id = 1`],
      'SAVE cat 1 r1 Kit',
    ],
    [
      'columns of ours that somebody writes',
      [
        `insert into account (id, name, cqrs_revision, cqrs_incarnation, cqrs_updated) values (3, 'c', 9, 1, '2020-01-01')`,
        `update account set cqrs_revision = 77, cqrs_incarnation = 5 where id = 1`,
      ],
      'SAVE account 3 r0 c',
      'SAVE account 1 r1 a',
    ],
    ['muted by the session', [`select set_config('cqrs.muted', '1', true)`, `update account set name = 'q'`]],
  ])('%s', async (_what, statements, ...expected) => {
    await transaction(...statements);
    const order = (lines: string[]): string[] => lines.toSorted();
    const found = await told();
    expect(order(found)).toEqual(order(expected));
    const rows = await service.sql<{ count: string }>('select count(*) from cqrs_captured');
    expect(rows[0]!.count).toBe('0');
  });

  test('COPY', async () => {
    await other.query(`copy account (id, name) from program 'printf "5\\tp\\n6\\tq\\n"'`);
    expect(await told()).toEqual(['SAVE account 5 r0 p', 'SAVE account 6 r0 q']);
  });

  test('a key begins a new incarnation, later in every respect', async () => {
    const [before] = await service.sql<{ i: string; u: Date }>(
      'select cqrs_incarnation i, cqrs_updated u from account where id = 1',
    );
    await transaction('delete from account where id = 1', `insert into account (id, name) values (1, 'new')`);
    const [after] = await service.sql<{ i: string; u: Date }>(
      'select cqrs_incarnation i, cqrs_updated u from account where id = 1',
    );
    expect(BigInt(after!.i)).toBeGreaterThan(BigInt(before!.i));
    expect(new Date(after!.u) > new Date(before!.u)).toBe(true);
    const message = (await messages()).find(({ cqrsId }) => cqrsId === 'account');
    expect(String(message!.incarnation)).toBe(after!.i);
  });

  test('TRUNCATE under REPEATABLE READ is refused: it does not see all rows', async () => {
    await other.query('begin isolation level repeatable read');
    await expect(other.query('truncate account cascade')).rejects.toThrow('does not see all of its rows');
    await other.query('rollback');
    expect(await told()).toEqual([]);
  });
});

// claims: trigger-capture
describe('MikroORM', () => {
  const em = () => service.orm.em.fork();

  test('entities have our columns after each flush', async () => {
    const fork = em();
    const [one, two] = [await fork.findOneOrFail(Account, 1), await fork.findOneOrFail(Account, 2)];
    one.name = 'x';
    await fork.flush();
    one.name = 'y';
    two.name = 'y';
    const three = fork.create(Account, { id: 3, name: 'c' } as never);
    await fork.flush();
    expect([one, two, three].map(({ cqrsRevision }) => cqrsRevision)).toEqual([2, 1, 0]);
    expect(three.cqrsIncarnation).toBeGreaterThan(1e15);
    const expected = ['SAVE account 1 r1 x', 'SAVE account 1 r2 y', 'SAVE account 2 r1 y', 'SAVE account 3 r0 c'];
    expect((await told()).toSorted()).toEqual(expected);
  });

  test('raw SQL and Kysely, and nobody warns of them', async () => {
    const warned: unknown[] = [];
    const off = service.cqrs.events.on('cqrs.master.uncaptured', (warning) => warned.push(warning));
    await em().execute(`update account set name = 'raw' where id = 1`);
    const kysely = service.orm.em.fork().getKysely() as never as Kysely<{ account: { id: number; name: string } }>;
    await kysely.updateTable('account').set({ name: 'kysely' }).where('id', '=', 2).execute();
    off();
    expect(await told()).toEqual(['SAVE account 1 r1 raw', 'SAVE account 2 r1 kysely']);
    expect(warned).toEqual([]);
  });

  test('withoutReplication mutes what MikroORM sends inside, and nothing else', async () => {
    await service.cqrs.withoutReplication(() => em().nativeUpdate(Account, { id: 1 }, { name: 'quiet' }));
    await em().transactional(async (inner) => {
      const loud = () => inner.execute(`update account set name = 'loud' where id = 2`, [], 'run');
      await Promise.all([
        service.cqrs.withoutReplication(() =>
          inner.execute(`update account set name = 'quiet' where id = 1`, [], 'run'),
        ),
        loud(),
      ]);
      await inner.execute(`update line set text = 'loud' where n = 1`, [], 'run');
    });
    expect((await told()).toSorted()).toEqual(['SAVE account 2 r1 loud', 'SAVE line [1,1] r1 loud']);
    expect(await service.sql('select id, cqrs_revision r from account order by id')).toEqual([
      { id: 1, r: 2 },
      { id: 2, r: 1 },
    ]);
  });

  test('a muted statement that fails in a savepoint mutes nothing behind it', async () => {
    await em().transactional(async (inner) => {
      await inner
        .transactional((nested) =>
          service.cqrs.withoutReplication(() => nested.execute(`insert into account (id) values (1)`, [], 'run')),
        )
        .catch(() => {});
      await inner.execute(`update account set name = 'loud' where id = 1`, [], 'run');
    });
    expect(await told()).toEqual(['SAVE account 1 r1 loud']);
  });

  test('orm.schema.clear() is not announced', async () => {
    await service.orm.schema.clear();
    expect(await told()).toEqual([]);
  });

  test('previous values are those before the transaction', async () => {
    await transaction(
      `update account set name = 'b1' where id = 1`,
      `update account set name = 'c1' where id = 1`,
      `insert into account (id, name) values (3, 'n')`,
    );
    expect((await messages()).map(({ previous }) => previous)).toEqual([{ name: 'a' }, { name: null }]);
  });
});

// claims: trigger-capture
describe('what no message can be made of', () => {
  test('is set aside with its reason, its key waits, all others go on', async () => {
    const heard: { instancePk: string; reason: string }[] = [];
    const off = service.cqrs.events.on('cqrs.master.set-aside', (event) => heard.push(event));
    isShown = (account) => {
      if (account.name === 'bad') throw new Error('not this one');
      return shown(account);
    };
    try {
      await other.query(`update account set name = 'bad' where id = 1`);
      await other.query(`update account set name = 'good' where id in (1, 2)`);
      expect(await told()).toEqual(['SAVE account 2 r1 good']);
    } finally {
      isShown = shown;
      off();
    }
    expect(heard.map(({ instancePk, reason }) => `${instancePk}: ${reason}`)).toEqual(['1: Error: not this one']);
    expect((await service.cqrs.outboxState())!.depth).toBe(2);
    await service.sql('update cqrs_captured set retry_at = now() where failure is not null');
    expect(await told()).toEqual(['SAVE account 1 r1 bad', 'SAVE account 1 r2 good']);
  });

  test('a row that is too long fails in its transaction', async () => {
    await expect(other.query(`update account set name = repeat('x', 16000001) where id = 1`)).rejects.toThrow(
      'settings.maxPayloadBytes allows',
    );
    expect(await told()).toEqual([]);
  });
});

describe('schema', () => {
  test('the schema generator finds nothing to change', async () => {
    expect(await service.orm.schema.getUpdateSchemaSQL()).toBe('');
  });

  test('a trigger that is disabled, and one that is not there, are problems at start', async () => {
    await service.sql('alter table rate disable trigger user');
    await expect(service.cqrs.check()).rejects.toThrow('are disabled');
    await service.sql('alter table rate enable trigger user');
    await service.cqrs.check();
    const [trigger] = await service.sql<{ name: string }>(
      `select tgname as name from pg_trigger where tgname like 'cqrs_after_insert%' and tgrelid = 'rate'::regclass`,
    );
    await service.sql(`drop trigger ${trigger!.name} on rate`);
    await expect(service.cqrs.check()).rejects.toThrow(
      `lacks the triggers that capture its writes, as this release makes them: ${trigger!.name}`,
    );
    await service.orm.schema.update();
    await service.cqrs.check();
  });

  test('a role that may only write the table is captured', async () => {
    const role = `cqrs_writer_${Date.now()}`;
    await other.query(`create role ${role}`);
    try {
      await transaction(
        `grant select, insert, update, delete on account to ${role}`,
        `grant usage on sequence cqrs_outbox_id_seq to ${role}`,
        `set local role ${role}`,
        `delete from account where id = 2`,
        `insert into account (id, name) values (2, 'again')`,
        `update account set id = 9 where id = 2`,
      );
      expect(await told()).toEqual(['DELETE account 2 r2', 'SAVE account 9 r1 again']);
    } finally {
      await other.query(`drop owned by ${role}; drop role ${role}`);
    }
  });
});
