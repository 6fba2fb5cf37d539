import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../src/cqrs.js';
import { loadRows } from '../../src/maintenance/load.js';
import { replicaClass, ReplicaEntity } from '../../src/replica/replica-entity.js';
import type { CreateContext } from '../../src/replica/replica-hooks.js';
import { MemoryTransport } from '../../src/transport/memory.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { pieces } from '../maintenance/streams.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';
import { inspect } from 'node:util';

const AdoptSchema = defineEntity({
  name: 'AdoptRef',
  tableName: 'adopt_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary(), code: p.string(), name: p.string() },
});
class AdoptRef extends replicaClass(AdoptSchema) {
  static override CQRS_ID = 'adopt';
  override cqrsUpdate(em: EntityManager, { mappedData }: CreateContext): void {
    em.assign(this as object, mappedData as never);
  }
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<object | void> {
    const { code, name } = context.mappedData as { code: string; name: string };
    const known = await em.findOne(AdoptRef, { code } as never);
    if (!known) return super.cqrsCreate(em, context);
    em.assign(known as object, { name } as never);
    return known as object;
  }
}
AdoptSchema.setClass(AdoptRef);

const BagSchema = defineEntity({ name: 'Bag', tableName: 'bag', properties: { id: p.integer().primary() } });
const PartSchema = defineEntity({
  name: 'PartRef',
  tableName: 'part_ref',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary(),
    bag: () => p.manyToOne(BagSchema).nullable().deleteRule('cascade'),
    name: p.string(),
  },
});
class PartRef extends replicaClass(PartSchema) {
  static override CQRS_ID = 'part';
  static override CQRS_MAPPING = { id: 'id', bag: 'bag', name: 'name' };
  override cqrsUpdate(em: EntityManager, { mappedData }: CreateContext): void {
    em.assign(this as object, mappedData as never);
    if ((mappedData as { name: string }).name === 'kill') em.remove(em.getReference(BagSchema, 1 as never) as object);
  }
}
PartSchema.setClass(PartRef);

const MomentSchema = defineEntity({
  name: 'MomentRef',
  tableName: 'moment_ref',
  extends: ReplicaEntity,
  properties: { id: p.datetime().length(6).primary(), name: p.string() },
});
class MomentRef extends MomentSchema.class {
  static CQRS_ID = 'moment';
}
MomentSchema.setClass(MomentRef);
const NoteSchema = defineEntity({
  name: 'NoteRef',
  tableName: 'note_ref',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), text: p.string() },
});
class NoteRef extends NoteSchema.class {
  static CQRS_ID = 'note';
}
NoteSchema.setClass(NoteRef);

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [AdoptRef, PartRef, BagSchema]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const change = (cqrsId: string, data: object, revision: number) =>
  message(data as never, { cqrsId, revision, updated: 1_700_000_000_000_001 + revision });

test('a hook that answers with another row than that of its message changes that one, among others as well as alone', async () => {
  const rows = (name: string, revision: number, ids: number[]) =>
    ids.map((id) => change('adopt', { id, code: id === 7 || id === 3 ? 'x' : 'y', name }, revision));
  await service.handle(rows('old', 0, [3, 4]));
  await service.handle(rows('new', 1, [7, 4]));
  expect(await service.rows('select id::text, name from adopt_ref order by id')).toEqual([
    { id: '3', name: 'new' },
    { id: '4', name: 'new' },
  ]);
});

test('rows that a deletion of the same flush takes along are not taken for stored: old states do not come back', async () => {
  await service.rows('insert into bag values (1)');
  const part = (id: number, bag: number | null, name: string, revision: number) =>
    change('part', { id, bag, name }, revision);
  await service.handle([part(1, null, 'a', 0), part(2, 1, 'a', 0), part(3, 1, 'a', 0)]);
  await service.handle([part(2, 1, 'b', 1), part(3, 1, 'b', 1), part(1, null, 'kill', 1)]);
  expect(await service.rows('select id::text from part_ref')).toEqual([{ id: '1' }]);
  expect(brief(await service.handle([part(2, null, 'old', 0)]))).toEqual(['stale']);
});

describe('in a session that is not in UTC', () => {
  let orm: MikroORM;
  let cqrs: Cqrs;
  let own: TestDatabase;
  beforeAll(async () => {
    own = await createDatabase();
    const open = async () => {
      cqrs = new Cqrs({ transport: new MemoryTransport(), queue: 'load' });
      orm = await MikroORM.init({ clientUrl: own.url, entities: [MomentRef, NoteRef], extensions: [cqrs] });
    };
    await open();
    await orm.schema.create();
    await sql(`alter database ${new URL(own.url).pathname.slice(1)} set timezone = 'Europe/Berlin'`);
    await orm.close();
    await open();
  });
  afterAll(async () => {
    await orm.close();
    await own.drop();
  });
  const sql = (text: string) => orm.em.getConnection().execute<{ count: string }[]>(text);
  const load = (id: string, lines: object[], options = {}) =>
    loadRows(cqrs, pieces([id, ...lines.map((line) => JSON.stringify(line))].join('\n'), 1000), options);
  const version = { cqrs_revision: 0, cqrs_updated: '2026-01-02 03:04:05.123456+00:00', cqrs_incarnation: 1 };
  const moment = (second: number) => ({ id: `2026-01-02 03:04:0${second}.5+00:00`, name: 'a', ...version });

  test('rows whose key is a time stay after a load with --clear, and are deleted when they are to be', async () => {
    await load('moment', [1, 2, 3].map(moment), { clear: true });
    expect(await sql('select count(*) from moment_ref')).toEqual([{ count: '3' }]);
    const { id } = moment(1);
    const deletion = message({ id }, { cqrsId: 'moment', signal: 'DELETE', revision: 5 });
    expect(brief(await cqrs.replicaRuntime.handle([deletion]))).toEqual(['delete']);
    expect(await sql('select count(*) from moment_ref')).toEqual([{ count: '2' }]);
    expect(brief(await cqrs.replicaRuntime.handle([message({ id, name: 'a' }, { cqrsId: 'moment' })]))).toEqual([
      'stale',
    ]);
  });

  test('a full disk in the middle of a load is told without the row', async () => {
    await sql(`create function full_disk() returns trigger language plpgsql as
      $$ begin if new.id = 2 then raise exception 'x' using errcode = '53100'; end if; return new; end $$`);
    await sql('create trigger full_disk before insert on note_ref for each row execute function full_disk()');
    const error = await load(
      'note',
      [1, 2, 3].map((id) => ({ id, text: 'SECRET', ...version })),
    ).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: '53100' });
    expect(inspect(error)).not.toContain('SECRET');
  });
});
