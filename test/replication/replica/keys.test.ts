import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import type { WireValue } from '../../../src/wire/values.js';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, type MessageOptions } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const name = p.string();
const TagSchema = defineEntity({
  name: 'TagRef',
  extends: ReplicaEntity,
  properties: { shop: p.integer().primary(), code: p.string().length(20).primary(), name },
});
const entities = [
  replica(defineEntity({ name: 'UuidRef', extends: ReplicaEntity, properties: { id: p.uuid().primary(), name } }), {
    id: 'uuid',
  }),
  replica(defineEntity({ name: 'TextRef', extends: ReplicaEntity, properties: { code: p.text().primary(), name } }), {
    id: 'text',
  }),
  replica(
    defineEntity({
      name: 'FixedRef',
      extends: ReplicaEntity,
      properties: { id: p.character().length(5).primary(), name },
    }),
    { id: 'fixed' },
  ),
  replica(defineEntity({ name: 'DayRef', extends: ReplicaEntity, properties: { id: p.date().primary(), name } }), {
    id: 'day',
  }),
  replica(
    defineEntity({
      name: 'MomentRef',
      extends: ReplicaEntity,
      properties: { id: p.datetime().length(6).primary(), name },
    }),
    { id: 'moment' },
  ),
  replica(
    defineEntity({
      name: 'AmountRef',
      extends: ReplicaEntity,
      properties: { id: p.decimal('string').precision(10).scale(2).primary(), name },
    }),
    { id: 'amount' },
  ),
  replica(TagSchema, { id: 'tag' }),
  replica(
    defineEntity({
      name: 'NoteRef',
      extends: ReplicaEntity,
      properties: { id: p.integer().primary(), tag: () => p.manyToOne(TagSchema).nullable() },
    }),
    { id: 'note' },
  ),
];

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, entities);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const handle = async (...batch: Parameters<ReplicaService['handle']>[0]) => brief(await service.handle(batch));

describe('a row is one row, however its key is spelled', () => {
  test.each<[string, string, WireValue, WireValue, WireValue]>([
    [
      'uuid',
      'id',
      'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
      'a0eebc999c0b4ef8bb6d6bb9bd380a11',
      '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
    ],
    ['text', 'code', 'a/b é "q" #1', 'a/b é "q" #1', 'a/b é "q" #1'],
    ['text', 'code', 7, '7', 7],
    ['fixed', 'id', 'ab', 'ab   ', 'ab'],
    ['day', 'id', '2024-02-29', '2024-2-29', '20240229'],
    ['moment', 'id', '2024-01-02 03:04:05.5+00:00', '2024-01-02T05:04:05.500000+02:00', '2024-01-02 03:04:05.5'],
    ['amount', 'id', 1.5, '1.50', '01.5'],
  ])('%s %s: %j, %j, %j', async (cqrsId, field, first, second, third) => {
    const save = (key: WireValue, options: MessageOptions) =>
      message({ [field]: key, name: `r${options.revision}` }, { cqrsId, ...options });
    expect(await handle(save(first, { revision: 0 }))).toEqual(['create']);
    expect(await handle(save(second, { revision: 1 }), save(third, { revision: 2 }))).toEqual(['superseded', 'update']);
    expect(await service.rows(`select name from ${cqrsId}_ref`)).toEqual([{ name: 'r2' }]);
    expect(await handle(message({ id: second }, { cqrsId, signal: 'DELETE', revision: 3 }))).toEqual(['delete']);
    expect(await handle(save(first, { revision: 2 }))).toEqual(['stale']);
    expect(await service.rows(`select name from ${cqrsId}_ref`)).toEqual([]);
  });

  test.each([
    ['uuid', 'id', 'not-a-uuid'],
    ['day', 'id', 'not-a-day'],
    ['amount', 'id', 'not-a-number'],
    ['uuid', 'id', { nested: 1 }],
  ])('%s: what is no key is a dead letter', async (cqrsId, field, key) => {
    expect(await handle(message({ [field]: key, name: 'x' }, { cqrsId }))).toEqual(['dead-letter mapping']);
    expect(await handle(message({ id: key }, { cqrsId, signal: 'DELETE' }))).toEqual(['dead-letter mapping']);
  });
});

describe('a key of several columns', () => {
  const tag = (shop: number, code: string, revision = 0) =>
    message({ shop, code, name: `${shop}${code}${revision}` }, { cqrsId: 'tag', revision });
  const gone = (id: WireValue, revision: number) => message({ id }, { cqrsId: 'tag', signal: 'DELETE', revision });

  test('is taken from its fields, and from the array of a DELETE', async () => {
    expect(await handle(tag(1, 'a'), tag(1, 'b'), tag(2, 'a'), tag(1, 'a', 1))).toEqual([
      'superseded',
      'create',
      'create',
      'create',
    ]);
    expect(await handle(gone([1, 'a'], 2))).toEqual(['delete']);
    expect(await handle(tag(1, 'a', 1))).toEqual(['stale']);
    expect(await service.rows('select name from tag_ref order by name')).toEqual([{ name: '1b0' }, { name: '2a0' }]);
  });

  test.each([[[1]], [1], [[1, 'b', 'c']], [[1, null]]])('in a DELETE must be complete: %j', async (id) => {
    expect(await handle(gone(id, 9))).toEqual(['dead-letter mapping']);
  });

  test('is what a relation to it travels as', async () => {
    await handle(tag(5, 'x'));
    expect(await handle(message({ id: 1, tag_0: 5, tag_1: 'x' }, { cqrsId: 'note' }))).toEqual(['create']);
    expect(await service.rows('select tag_shop, tag_code from note_ref')).toEqual([{ tag_shop: 5, tag_code: 'x' }]);
  });
});
