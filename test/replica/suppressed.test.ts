import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { replica, ReplicaEntity } from '../../src/replica/replica-entity.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
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

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [
    replica(schema('Plain'), { id: 'plain' }),
    replica(schema('Hooked'), {
      id: 'hooked',
      cqrsUpdate: (row, em, { mappedData }) => void em.assign(row, mappedData as never),
    }),
  ]);
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

  test('a deletion', async () => {
    await service.handle([row(7, 0), row(8, 0)]);
    await keepBack('delete');
    expect(brief(await service.handle([gone(7, 1), gone(8, 1)]))).toEqual(['suppressed', 'delete']);
    expect(await rows()).toEqual([{ id: '7', name: 'r0' }]);
  });
});
