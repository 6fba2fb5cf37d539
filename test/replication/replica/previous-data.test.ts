import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import { replica, ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const seen: unknown[] = [];
const BookSchema = defineEntity({
  name: 'BookRef',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    author: p.integer().nullable(),
    editor: p.integer().nullable(),
  },
});

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [
    replica(BookSchema, { id: 'book', cqrsUpdate: (_row, _em, { previousData }) => void seen.push(previousData) }),
  ]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

test('a foreign key that django-cqrs tracks as author_id reaches a plain property', async () => {
  const book = (revision: number, previous: Record<string, number> | null = null) =>
    message({ id: 1, author: 8, editor: 3 }, { cqrsId: 'book', revision, previous });
  await service.handle([book(0)]);
  await service.handle([book(1, { author_id: 7 })]);
  await service.handle([book(2, { author: 6, author_id: 7, editor_id: 2 })]);
  expect(seen).toEqual([{ author: 7 }, { author: 6, editor: 2 }]);
});
