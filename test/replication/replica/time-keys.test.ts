import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql';
import { Cqrs } from '../../../src/cqrs.js';
import { loadRows } from '../../../src/operations/load.js';
import { ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { MemoryTransport } from '../../../src/messaging/transport/memory.js';
import { pieces } from '../../operations/streams.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';

/** A time is the same key whatever the time zone of the session. */

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

let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;
beforeAll(async () => {
  database = await createDatabase();
  await open();
  await orm.schema.create();
  await sql(`alter database ${new URL(database.url).pathname.slice(1)} set timezone = 'Europe/Berlin'`);
  await orm.close();
  await open();
});
afterAll(async () => {
  await orm.close();
  await database.drop();
});
beforeEach(() => sql('truncate moment_ref, cqrs_tombstones'));

async function open(): Promise<void> {
  cqrs = new Cqrs({ transport: new MemoryTransport(), queue: 'moments' });
  orm = await MikroORM.init({ clientUrl: database.url, entities: [MomentRef], extensions: [cqrs] });
}
const sql = <T>(text: string): Promise<T[]> => orm.em.getConnection().execute(text);
const count = async () => (await sql<{ count: number }>('select count(*)::int from moment_ref'))[0]!.count;
const handle = async (...batch: Parameters<typeof message>[]) =>
  brief(await cqrs.replicaRuntime.handle(batch.map((one) => message(...one))));

const TIMES = [
  '2026-01-02 03:04:05.5+00:00',
  '2026-07-02 03:04:05.123456+00:00',
  '1883-04-01 00:00:00+00:00',
  '0044-03-15 12:00:00+00 BC',
  'infinity',
];

test.each(TIMES)('%s is found by SAVE and DELETE, and remembered', async (id) => {
  const moment = { cqrsId: 'moment' } as const;
  expect(await handle([{ id, name: 'a' }, moment])).toEqual(['create']);
  expect(
    await handle([
      { id, name: 'b' },
      { ...moment, revision: 1 },
    ]),
  ).toEqual(['update']);
  expect(
    await handle([
      { id, name: 'c' },
      { ...moment, revision: 2, signal: 'SYNC' },
    ]),
  ).toEqual(['update']);
  expect(await handle([{ id }, { ...moment, revision: 3, signal: 'DELETE' }])).toEqual(['delete']);
  expect(await count()).toBe(0);
  expect(
    await handle([
      { id, name: 'b' },
      { ...moment, revision: 1 },
    ]),
  ).toEqual(['stale']);
});

test.each([false, true])('a load with clear %s keeps what it has loaded', async (clear) => {
  const version = { cqrs_revision: 0, cqrs_updated: '2026-01-02 03:04:05.123456+00:00', cqrs_incarnation: 1 };
  const lines = TIMES.map((id) => JSON.stringify({ id, name: 'a', ...version }));
  // Once by COPY, once as rows that are known.
  for (let time = 0; time < 2; time++) {
    const result = await loadRows(cqrs, pieces(['moment', ...lines].join('\n'), 1_000), { clear });
    expect(result).toMatchObject({ failed: 0, removed: 0 });
    expect(await count()).toBe(TIMES.length);
  }
});
