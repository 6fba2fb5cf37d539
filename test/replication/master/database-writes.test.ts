import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p, type Options } from '@mikro-orm/postgresql';
import { master, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/** Each warning of a check as `Entity: reason | cure`. */
async function warnings({ cqrs }: MasterService): Promise<string[]> {
  const heard: string[] = [];
  const off = cqrs.events.on('cqrs.master.uncaptured', ({ entity, reason, cure }) =>
    heard.push(`${entity}: ${reason} | ${cure}`),
  );
  await cqrs.check();
  off();
  return heard;
}

describe('foreign keys made by the schema generator of MikroORM', () => {
  const Team = master(
    defineEntity({ name: 'Team', extends: MasterEntity, properties: { id: p.integer().primary(), name: p.string() } }),
    { id: 'team' },
  );
  const Pair = master(
    defineEntity({
      name: 'Pair',
      extends: MasterEntity,
      properties: { a: p.integer().primary(), b: p.integer().primary() },
    }),
    { id: 'pair' },
  );
  const child = (relation: () => unknown, primary = false) =>
    master(
      defineEntity({
        name: 'Child',
        extends: MasterEntity,
        properties: { ...(primary ? {} : { id: p.integer().primary() }), target: relation as never },
      }),
      { id: 'child' } as never,
    );
  type Case = [what: string, entities: () => unknown[], options: Partial<Options>, ...expected: RegExp[]];
  const defaults = {
    schemaGenerator: { defaultDeleteRule: 'cascade', defaultUpdateRule: 'cascade' },
  } as Partial<Options>;

  test.each<Case>([
    ['no rule', () => [Team, child(() => p.manyToOne(Team))], {}],
    [
      'a nullable relation',
      () => [Team, child(() => p.manyToOne(Team).nullable())],
      {},
      /^Child: .* to team has ON DELETE SET NULL: /,
    ],
    ['restrict', () => [Team, child(() => p.manyToOne(Team).deleteRule('restrict').updateRule('no action'))], {}],
    [
      'ON DELETE CASCADE',
      () => [Team, child(() => p.manyToOne(Team).deleteRule('cascade'))],
      {},
      /^Child: .* to team has ON DELETE CASCADE: .*orphanRemoval/,
    ],
    [
      'ON DELETE SET NULL',
      () => [Team, child(() => p.manyToOne(Team).nullable().deleteRule('set null'))],
      {},
      /^Child: .* has ON DELETE SET NULL: .* before its target is deleted/,
    ],
    [
      'ON UPDATE CASCADE',
      () => [Team, child(() => p.manyToOne(Team).updateRule('cascade'))],
      {},
      /^Child: .* has ON UPDATE CASCADE: .*updateRule: 'no action'/,
    ],
    [
      'the defaults of the generator',
      () => [Team, child(() => p.manyToOne(Team))],
      defaults,
      /^Child: .* has ON DELETE CASCADE and ON UPDATE CASCADE: /,
    ],
    ['a composite key', () => [Pair, child(() => p.manyToOne(Pair))], {}, /^Child: .* to pair has ON UPDATE CASCADE: /],
    [
      'a key that is a relation',
      () => [Team, child(() => p.oneToOne(Team).primary(), true)],
      {},
      /^Child: .* to team has ON DELETE CASCADE and ON UPDATE CASCADE: /,
    ],
    [
      'such a key with rules of its own',
      () => [Team, child(() => p.oneToOne(Team).primary().deleteRule('restrict').updateRule('no action'), true)],
      {},
    ],
    [
      'a relation without a foreign key',
      () => [Team, child(() => p.manyToOne(Team).deleteRule('cascade').createForeignKeyConstraint(false))],
      {},
    ],
  ])('%s', async (_what, entities, options, ...expected) => {
    await using service = await masterService(entities() as never, { options });
    expect(await warnings(service)).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
  });
});

describe('what only the database has', () => {
  const properties = { id: p.integer().primary(), v: p.string().nullable() };
  const Account = master(defineEntity({ name: 'Account', extends: MasterEntity, properties }), { id: 'account' });
  const Entry = master(
    defineEntity({
      name: 'Entry',
      extends: MasterEntity,
      properties: { ...properties, account: p.integer().nullable() },
    }),
    { id: 'entry' },
  );
  const Note = defineEntity({ name: 'Note', properties });

  let service: MasterService;
  beforeAll(async () => {
    service = await masterService([Account, Entry, Note]);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  const trigger = (body: string, on = 'account', when = 'after'): string => `
    create function f() returns trigger language plpgsql as $$ begin ${body} return new; end $$;
    create trigger t ${when} insert or update on ${on} for each row execute function f()`;
  const key = (rule: string): string =>
    `alter table entry add constraint entry_account_fk foreign key (account) references account (id) ${rule}`;

  test.each<[what: string, ddl: string, ...expected: RegExp[]]>([
    ['nothing', 'select 1'],
    ['a foreign key without actions', key('on delete restrict on update no action')],
    [
      'a foreign key',
      key('on delete cascade on update cascade'),
      /^Entry: its foreign key "entry_account_fk" to account has ON DELETE CASCADE and ON UPDATE CASCADE/,
    ],
    [
      'SET DEFAULT',
      key('on update set default on delete set default'),
      /^Entry: .*ON DELETE SET DEFAULT and ON UPDATE SET DEFAULT/,
    ],
    [
      'a foreign key of another table',
      'alter table note add foreign key (id) references account (id) on delete cascade',
    ],
    ['a trigger that changes the row at hand', trigger(`new.v = upper(new.v);`, 'account', 'before')],
    [
      'a trigger that writes its own table',
      trigger(`update account set v = 'touched' where id = new.id and v <> 'touched';`),
      /^Account: the trigger "t" of account writes its table/,
    ],
    [
      'a trigger that writes another master',
      trigger(`insert into entry (id) values (new.id) on conflict (id) do update set v = 'x';`),
      /^Entry: the trigger "t" of account writes its table/,
    ],
    [
      'a trigger of a table that is none',
      trigger(`delete from public."entry";`, 'note'),
      /^Entry: the trigger "t" of note writes its table/,
    ],
    [
      'a trigger that writes what is none',
      trigger(`insert into note (id) values (new.id); perform 1 from account for update;`),
    ],
    [
      'a trigger with a statement in a string',
      trigger(`execute 'update account set v = $1' using 1;`),
      /^Account: the trigger "t"/,
    ],
    [
      'a trigger that calls what writes',
      `create function g() returns void language sql as 'delete from entry'; ${trigger('perform g();')}`,
      /^Entry: the trigger "t" of account/,
    ],
    [
      'functions that call each other',
      `create function g(int) returns void language plpgsql as $$ begin perform h($1); end $$; create function h(int) returns void language plpgsql as $$ begin perform g($1); update entry set v = 'h'; end $$; ${trigger('perform g(1);')}`,
      /^Entry: the trigger "t" of account/,
    ],
    [
      'a function in SQL of its own',
      `create function g() returns void language sql begin atomic delete from entry; end; ${trigger('perform g();')}`,
      /^Entry: the trigger "t" of account/,
    ],
    ['a trigger that is disabled', `${trigger('delete from entry;')}; alter table account disable trigger t`],
    ['a function that nobody calls', `create function g() returns void language sql as 'delete from entry'`],
    [
      'a rule of a master',
      `create rule r as on delete to account do instead nothing`,
      /^Account: the rule "r" of account rewrites DELETE/,
    ],
    [
      'a rule that writes a master',
      `create rule r as on insert to note do also update entry set v = 'r'`,
      /^Entry: the rule "r" of note writes its table/,
    ],
    ['a rule of what is none', `create rule r as on delete to note do instead nothing`],
    ['a view', `create view w as select * from account`],
    [
      'a table that inherits',
      `create table more () inherits (account)`,
      /^Account: other tables inherit from its table/,
    ],
    [
      'a table that it inherits from',
      `create table base (id int); alter table account alter id set not null; alter table account inherit base`,
      /^Account: its table belongs to "base"/,
    ],
  ])('%s', async (_what, ddl, ...expected) => {
    await service.orm.em.getConnection().executeDump(ddl);
    try {
      expect(await warnings(service)).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
    } finally {
      await service.orm.em
        .getConnection()
        .executeDump(`drop table if exists more; alter table account no inherit base; drop table base`)
        .catch(() => {});
      await service.orm.em.getConnection().executeDump(`
        drop rule if exists r on account; drop rule if exists r on note; drop view if exists w; drop table if exists more;
        alter table entry drop constraint if exists entry_account_fk; alter table note drop constraint if exists note_id_fkey;
        drop trigger if exists t on account; drop trigger if exists t on note;
        drop function if exists f(); drop function if exists g(); drop function if exists g(int); drop function if exists h(int)`);
    }
  });

  test('a partitioned table, and a key of it that is told once', async () => {
    await using partitioned = await masterService([Account, Entry]);
    await partitioned.orm.em.getConnection().executeDump(`
      alter table entry rename to entry_1;
      create table entry (like entry_1 including defaults including constraints) partition by list (id);
      alter table entry add primary key (id);
      create table entry_2 partition of entry default;
      alter table entry add constraint fk foreign key (account) references account (id) on delete set null`);
    expect(await warnings(partitioned)).toEqual([
      expect.stringMatching(/^Entry: its table is partitioned: .*nativeDelete\(\)/),
      expect.stringMatching(/^Entry: its foreign key "fk" to account has ON DELETE SET NULL/),
    ]);
    const heard: string[] = [];
    partitioned.cqrs.events.on('cqrs.master.uncaptured', ({ entity, reason }) => heard.push(`${entity}: ${reason}`));
    await partitioned.orm.em.fork().execute(`insert into entry_2 (id) values (1)`);
    expect(heard).toEqual(['Entry: INSERT of its table was sent as raw SQL']);
  });
});
