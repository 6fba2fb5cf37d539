import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

/** Writes that the replica's own database keeps back, without an error: no row comes back. */

const schema = (name: string) =>
  defineEntity({
    name,
    tableName: name.toLowerCase(),
    extends: ReplicaEntity,
    properties: { id: p.integer().primary().autoincrement(false), name: p.string() },
  });

const replicas = () => [
  replica(schema('Plain'), { id: 'plain' }),
  replica(schema('Hooked'), {
    id: 'hooked',
    cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never),
  }),
];

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, replicas());
  await service.orm.schema.create();
  await service.rows(`create function keep_back() returns trigger language plpgsql as $$ begin
    if coalesce(new.id, old.id) = 7 then return null; end if; return coalesce(new, old); end $$`);
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

describe.each(['plain', 'hooked'])('%s', (table) => {
  const row = (id: number, revision: number, incarnation: number | null = 1) =>
    message({ id, name: `r${revision}` }, { cqrsId: table, revision, incarnation });
  const sync = (id: number, revision: number) =>
    message({ id, name: `r${revision}` }, { cqrsId: table, revision, signal: 'SYNC' });
  const gone = (id: number, revision: number) => message({ id }, { cqrsId: table, revision, signal: 'DELETE' });
  const rows = () => service.rows(`select id::text, name from ${table} order by id`);
  const keepBack = (event: string) =>
    service.rows(`create trigger keep_back before ${event} on ${table} for each row execute function keep_back()`);
  beforeEach(async () => {
    await service.rows(`drop trigger if exists keep_back on ${table}`);
    await service.rows(`truncate ${table}, cqrs_tombstones`);
  });

  test('a new row, by itself and beside others', async () => {
    await keepBack('insert');
    expect(brief(await service.handle([row(7, 0)]))).toEqual(['suppressed']);
    expect(brief(await service.handle([sync(7, 1)]))).toEqual(['suppressed']);
    expect(brief(await service.handle([row(7, 2, null)]))).toEqual(['suppressed']);
    expect(brief(await service.handle([row(6, 0), row(7, 0), row(8, 0)]))).toEqual(['create', 'suppressed', 'create']);
    expect(await rows()).toEqual([
      { id: '6', name: 'r0' },
      { id: '8', name: 'r0' },
    ]);
    // Nothing was remembered: once the trigger has gone the row comes.
    await service.rows(`drop trigger keep_back on ${table}`);
    expect(brief(await service.handle([row(7, 0)]))).toEqual(['create']);
  });

  test('a change', async () => {
    await service.handle([row(7, 0), row(8, 0)]);
    await keepBack('update');
    expect(brief(await service.handle([row(7, 1), row(8, 1)]))).toEqual(['suppressed', 'update']);
    expect(brief(await service.handle([row(7, 2, null)]))).toEqual(['suppressed']);
    expect(await rows()).toEqual([
      { id: '7', name: 'r0' },
      { id: '8', name: 'r1' },
    ]);
    expect(brief(await service.handle([row(7, 0)]))).toEqual(['duplicate']);
  });

  test('a change to values that the database keeps back, beside others and alone', async () => {
    await service.rows(`create or replace function keep_values() returns trigger language plpgsql as $$ begin
      if new.name = 'skip' then return null; end if; return new; end $$`);
    await service.handle([row(7, 0), row(8, 0)]);
    await service.rows(
      `create trigger keep_values before insert or update on ${table} for each row execute function keep_values()`,
    );
    const skip = (id: number, revision: number) => message({ id, name: 'skip' }, { cqrsId: table, revision });
    // The version alone must not be stored either: the row would look right for ever.
    expect(brief(await service.handle([skip(7, 1)]))).toEqual(['suppressed']);
    expect(brief(await service.handle([skip(7, 1), row(8, 1)]))).toEqual(['suppressed', 'update']);
    expect(brief(await service.handle([skip(6, 0), row(7, 2), skip(8, 2)]))).toEqual([
      'suppressed',
      'update',
      'suppressed',
    ]);
    expect(await service.rows(`select id::text, name, cqrs_revision from ${table} order by id`)).toEqual([
      { id: '7', name: 'r2', cqrs_revision: 2 },
      { id: '8', name: 'r1', cqrs_revision: 1 },
    ]);
    await service.rows(`drop trigger keep_values on ${table}`);
  });

  test('a deletion', async () => {
    await service.handle([row(7, 0), row(8, 0)]);
    await keepBack('delete');
    expect(brief(await service.handle([gone(7, 1), gone(8, 1)]))).toEqual(['suppressed', 'delete']);
    expect(await rows()).toEqual([{ id: '7', name: 'r0' }]);
  });
});

describe('row security', () => {
  let limited: ReplicaService;
  const role = `limited_${process.pid}`;
  beforeAll(async () => {
    await service.rows('drop trigger if exists keep_back on plain; drop trigger if exists keep_back on hooked');
    await service.rows(`create role ${role} login password 'x'`);
    await service.rows(`grant all on schema public to ${role}; grant all on all tables in schema public to ${role}`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'x'];
    limited = await ReplicaService.start(url.href, replicas());
  });
  afterAll(async () => {
    await limited.stop();
    await service.rows(`drop owned by ${role}; drop role ${role}`);
  });

  describe.each(['plain', 'hooked'])('%s', (table) => {
    const row = (id: number, revision: number) => message({ id, name: `r${revision}` }, { cqrsId: table, revision });
    const gone = (id: number, revision: number) => message({ id }, { cqrsId: table, revision, signal: 'DELETE' });
    const policy = async (...policies: string[]): Promise<void> => {
      await service.rows(`drop policy if exists a on ${table}; drop policy if exists b on ${table}`);
      await service.rows(`alter table ${table} enable row level security`);
      for (const [index, one] of policies.entries()) {
        await service.rows(`create policy ${'ab'[index]} on ${table} ${one}`);
      }
    };
    const end = async (one: ReturnType<typeof row>): Promise<string> => brief(await limited.handle([one])).join();
    beforeEach(async () => {
      await service.rows(`alter table ${table} disable row level security`);
      await service.rows(`truncate ${table}, cqrs_tombstones`);
      await service.handle([row(7, 0), row(8, 0)]);
    });

    test('that lets rows be read and some not be changed', async () => {
      await policy('for select using (true)', 'for all using (id <> 7)');
      expect(await end(row(8, 1))).toBe('update');
      expect(await end(row(7, 1))).toBe('suppressed');
      expect(await end(gone(7, 2))).toBe('suppressed');
      expect(await end(row(9, 0))).toBe('create');
    });

    test('that forbids rows', async () => {
      await policy('using (true) with check (id < 9)');
      expect(await end(row(8, 1))).toBe('update');
      expect(await end(row(9, 0))).toBe('suppressed');
      expect(await end(gone(8, 2))).toBe('delete');
    });

    test('that hides rows', async () => {
      await policy('using (id <> 7)');
      expect(await end(row(8, 1))).toBe('update');
      expect(await end(row(7, 1))).toBe('suppressed');
    });
  });
});

describe('a rule, with hooks', () => {
  test('on INSERT', async () => {
    await service.rows('truncate hooked, cqrs_tombstones');
    await service.rows('drop trigger if exists keep_back on hooked; alter table hooked disable row level security');
    await service.rows('create rule keep as on insert to hooked where new.id = 7 do instead nothing');
    const end = async (id: number, revision: number): Promise<string> =>
      brief(await service.handle([message({ id, name: 'a' }, { cqrsId: 'hooked', revision })])).join();
    expect(await end(7, 0)).toBe('suppressed');
    expect(await end(8, 0)).toBe('create');
    await service.rows('drop rule keep on hooked');
  });
});
