import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity, MemoryBroker, MemoryTransport } from '../../src/index.js';
import { type MasterService, masterService } from '../support/master-service.js';

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
  static override CQRS_SERIALIZER = ({ id, name }: Note) => {
    if (name === 'bad' || broken) throw new Error('cannot be told');
    return { id, name };
  };
}
NoteSchema.setClass(Note);

let broken = false;
let service: MasterService;
beforeAll(async () => {
  service = await masterService([Note], { settings: { transport: new MemoryTransport(new MemoryBroker()) } });
  await service.cqrs.withoutReplication(() =>
    service.orm.em.fork().insertMany(
      Note,
      ['a', 'bad', 'c', 'bad', 'e'].map((name) => ({ name })),
    ),
  );
});
afterAll(async () => {
  await service.cqrs.stop();
  await service[Symbol.asyncDispose]();
});

test('cqrs_sync goes on after a row that cannot be serialized, and tells its key', async () => {
  const failures: string[] = [];
  const onFailure = (key: readonly string[], error: Error): void => void failures.push(`${key[0]}: ${error.message}`);
  const result = await service.cqrs.sync({ cqrsId: 'note', pageSize: 3, onFailure });
  expect(result).toMatchObject({ synced: 3, withdrawn: 0 });
  expect(failures).toEqual(['2: cannot be told', '4: cannot be told']);
});

test('a sync whose failures nobody hears of rejects', async () => {
  await expect(service.cqrs.sync({ cqrsId: 'note' })).rejects.toThrow('cannot be told');
});

test('a sync that fails with every row rejects', async () => {
  broken = true;
  await expect(service.cqrs.sync({ cqrsId: 'note', onFailure: () => {} })).rejects.toThrow('cannot be told');
  broken = false;
});
