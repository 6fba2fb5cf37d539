import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { MikroORM } from '@mikro-orm/pglite';
import { TransportPayload } from '../../../src/wire/payload.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { KindsRef } from './support/kinds.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

/** The same applier in the database that lives inside the process, with its one connection. */

const HookedRef = defineEntity({
  name: 'HookedRef',
  extends: ReplicaEntity,
  properties: { id: p.bigint('string').primary(), name: p.string() },
});
const calls: string[] = [];
const entities = [
  KindsRef,
  replica(HookedRef, {
    id: 'hooked',
    cqrsUpdate: (row, em, { mappedData }) => {
      calls.push(`${(row as { name: string }).name} to ${String(mappedData['name'])}`);
      em.assign(row, mappedData as never);
    },
  }),
];

const service = new ReplicaService();
beforeAll(async () => {
  service.orm = await MikroORM.init({ dbName: 'memory://', ...service.mikroOrmOptions(entities) });
  await service.orm.schema.create();
}, 120_000);
afterAll(async () => {
  await service.stop();
});

const handle = async (...batch: Parameters<ReplicaService['handle']>[0]) => brief(await service.handle(batch));

test('values arrive to the last digit', async () => {
  const body = `{"signal_type":"SAVE","cqrs_id":"kinds","instance_data":{"id":1,"big":9223372036854775807,"flt":NaN,
    "dec_big":12345678901234567890.123456789012345678,"flag":true,"text":"é \\"q\\" 🎉","at":"2024-01-02 03:04:05.123456+00:00",
    "js":{"a":[1,null]},"words":["a b",null,"\\"q\\""],"bytes":"AAH/","cqrs_revision":0,
    "cqrs_updated":"2026-01-02 03:04:05.123456+00:00"},"cqrs_incarnation":1767225845123456}`;
  const received = {
    payload: TransportPayload.fromMessage(body),
    committedAt: new Date(),
    direct: false,
    expired: false,
  };
  expect(await handle(received)).toEqual(['create']);
  expect(await handle(received)).toEqual(['duplicate']);
  expect(
    await service.rows(`select big::text, flt::text, dec_big::text, flag::text, text, (at at time zone 'UTC')::text as at, js::text,
      words::text, bytes::text, (cqrs_updated at time zone 'UTC')::text as updated, cqrs_incarnation::text as incarnation from kinds_ref`),
  ).toEqual([
    {
      big: '9223372036854775807',
      flt: 'NaN',
      dec_big: '12345678901234567890.123456789012345678',
      flag: 'true',
      text: 'é "q" 🎉',
      at: '2024-01-02 03:04:05.123456',
      js: '{"a": [1, null]}',
      words: '{"a b",NULL,"\\"q\\""}',
      bytes: '\\x0001ff',
      updated: '2026-01-02 03:04:05.123456',
      incarnation: '1767225845123456',
    },
  ]);
});

test('rows are created, changed, replaced and deleted, with and without hooks', async () => {
  const kind = (revision: number, incarnation = 1) =>
    message({ id: 5, text: `k${incarnation}.${revision}` }, { cqrsId: 'kinds', revision, incarnation });
  const hooked = (revision: number) => message({ id: 5, name: `h${revision}` }, { cqrsId: 'hooked', revision });
  expect(await handle(kind(0), hooked(0), hooked(1))).toEqual(['create', 'create', 'update']);
  expect(calls).toEqual(['h0 to h1']);
  expect(await handle(kind(0, 2), message({ id: 5 }, { cqrsId: 'hooked', signal: 'DELETE', revision: 2 }))).toEqual([
    'create',
    'delete',
  ]);
  expect(await handle(kind(9, 1), hooked(1))).toEqual(['stale', 'stale']);
  expect(
    await service.rows('select text, (select count(*)::int from hooked_ref) as hooked from kinds_ref where id = 5'),
  ).toEqual([{ text: 'k2.0', hooked: 0 }]);
});

test('the database is checked and tombstones are purged', async () => {
  expect(await service.side.checkTables()).toEqual([]);
  await service.rows("update cqrs_tombstones set deleted_at = now() - interval '1 year'");
  await using purge = service.side.createPurge();
  expect(await purge.purge()).toBe(1);
});

test('a load does without COPY', async () => {
  const { copying } = service.replicaRuntime;
  const definition = service.side.replicas.get('kinds');
  const rows = [71, 72].map((id) => {
    const { payload } = message({ id, text: 'a\tb\\' }, { cqrsId: 'kinds' });
    return copying.read(definition, payload.instanceData, payload)!;
  });
  expect(await copying.write(definition, rows)).toEqual(rows);
  expect(await service.rows('select text from kinds_ref where id > 70')).toEqual([]);
});
