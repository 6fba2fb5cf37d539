import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/core';
import fc from 'fast-check';
import type { Outcome, Received } from '../../../src/messaging/inbox/handler.js';
import { ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message, START } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const NoteSchema = defineEntity({
  name: 'NoteRef',
  tableName: 'note_ref',
  extends: ReplicaEntity,
  properties: { a: p.integer().primary().autoincrement(false), b: p.string().primary(), text: p.text().nullable() },
});
class NoteRef extends NoteSchema.class {
  static CQRS_ID = 'note';
}
NoteSchema.setClass(NoteRef);

const databases: TestDatabase[] = [];
const services: ReplicaService[] = [];
beforeAll(async () => {
  for (let index = 0; index < 2; index++) {
    databases.push(await createDatabase());
    services.push(await ReplicaService.start(databases[index]!.url, [NoteRef]));
    await services[index]!.orm.schema.create();
  }
});
afterAll(async () => {
  for (const service of services) await service.stop();
  for (const database of databases) await database.drop();
});

interface Step {
  readonly signal: 'SAVE' | 'DELETE' | 'SYNC';
  readonly key: number;
  readonly incarnation: number | null;
  readonly revision: number;
}
const step = fc.record<Step>({
  signal: fc.constantFrom('SAVE', 'SAVE', 'SAVE', 'SAVE', 'DELETE', 'SYNC'),
  key: fc.integer({ min: 1, max: 3 }),
  incarnation: fc.constantFrom(1, 1, 1, 2, null),
  revision: fc.integer({ min: 0, max: 3 }),
});
const save = step.map((one): Step => ({ ...one, signal: 'SAVE' }));
const histories = fc.array(
  fc.oneof(fc.array(save, { minLength: 1, maxLength: 5 }), fc.array(step, { minLength: 1, maxLength: 3 })),
  {
    maxLength: 5,
  },
);

function toMessage({ signal, key, incarnation, revision }: Step): Received {
  const options = {
    cqrsId: 'note',
    signal,
    incarnation,
    revision,
    updated: START + (incarnation ?? 1) * 60_000_000 + revision,
  };
  const text = `${incarnation}.${revision}`;
  return message(signal === 'DELETE' ? { id: [key, 'k'] } : { a: key, b: 'k', text }, options);
}

/** A message that makes its batch look first. */
const looksFirst = (): Received => message({ a: 999, b: 'k', text: 'x' }, { cqrsId: 'note', signal: 'SYNC' });

/** Who does not look cannot tell which of two messages was stale messages already: `superseded` then stands for it. */
function ends(outcomes: readonly Outcome[]): string[] {
  return brief(outcomes).map((end) => (['stale', 'duplicate', 'superseded'].includes(end) ? 'skipped' : end));
}

test('a batch ends the same whether it writes first or looks first', async () => {
  const [straight, long] = services as [ReplicaService, ReplicaService];
  await fc.assert(
    fc.asyncProperty(histories, async (batches) => {
      for (const service of services) await service.rows('truncate note_ref, cqrs_tombstones');
      for (const batch of batches) {
        const messages = batch.map(toMessage);
        const outcomes = ends(await straight.handle(messages));
        expect(outcomes).toEqual(ends(await long.handle([...messages, looksFirst()])).slice(0, -1));
      }
      const rows = (service: ReplicaService) => service.rows('select * from note_ref where a < 999 order by a');
      const tombstones = (service: ReplicaService) =>
        service.rows('select cqrs_id, key, incarnation, revision, updated from cqrs_tombstones order by key');
      expect(await rows(straight)).toEqual(await rows(long));
      expect(await tombstones(straight)).toEqual(await tombstones(long));
    }),
    { numRuns: 150 },
  );
}, 120_000);

test.each([null, '', 'a\x1eb', '\x1f', 'é 漢 🙂', '"{},\\', 'NULL'])(
  'the value %j arrives as it is, alone and beside others',
  async (text) => {
    const [service] = services as [ReplicaService];
    await service.rows('truncate note_ref, cqrs_tombstones');
    await service.handle([message({ a: 1, b: 'k', text }, { cqrsId: 'note' })]);
    await service.handle([2, 3].map((a) => message({ a, b: 'k', text: a === 2 ? text : 'other' }, { cqrsId: 'note' })));
    expect(await service.rows('select text from note_ref order by a')).toEqual([{ text }, { text }, { text: 'other' }]);
  },
);

test('a replay is noticed: the batches after it look first, and new rows are written all the same', async () => {
  const [service] = services as [ReplicaService];
  await service.rows('truncate note_ref, cqrs_tombstones');
  const applier = service.replicaRuntime;
  const batch = (revision: number) =>
    [1, 2, 3].map((a) => message({ a, b: 'k', text: `${revision}` }, { cqrsId: 'note', revision }));
  expect(brief(await applier.handle(batch(0)))).toEqual(['create', 'create', 'create']);
  for (let index = 0; index < 3; index++)
    expect(brief(await applier.handle(batch(0)))).toEqual(Array(3).fill('duplicate'));
  expect(brief(await applier.handle(batch(1)))).toEqual(['update', 'update', 'update']);
  expect(await service.rows('select distinct text from note_ref')).toEqual([{ text: '1' }]);
});
