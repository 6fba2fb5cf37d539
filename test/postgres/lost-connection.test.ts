import { expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { masterService } from '../support/master-service.js';

const NoteSchema = defineEntity({
  name: 'Note',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), text: p.text() },
});
class Note extends masterClass(NoteSchema) {
  static override CQRS_ID = 'note';
}
NoteSchema.setClass(Note);

test('a connection that no longer answers is given up: whoever is next does not wait for it', async () => {
  const driverOptions = { query_timeout: 300 };
  const service = await masterService([Note], { options: { pool: { min: 0, max: 1 }, driverOptions } });
  await service.orm.em.fork().insert(Note, { text: 'first' });
  const slow = service.orm.em.fork().transactional(async (em) => em.execute('select pg_sleep(20)'));
  await expect(slow).rejects.toThrow('Query read timeout');
  await expect(service.orm.em.fork().execute('select pg_sleep(20)')).rejects.toThrow('Query read timeout');
  await service.orm.em.fork().insert(Note, { text: 'kept' });
  expect((await service.take()).map((one) => one.data['text'])).toEqual(['first', 'kept']);
  await service[Symbol.asyncDispose]();
});

test('a connection that is lost inside a transaction gives its place in the pool back', async () => {
  const service = await masterService([Note], { options: { pool: { min: 0, max: 1 } } });
  for (let round = 0; round < 3; round++) {
    const lost = service.orm.em.fork().transactional(async (em) => {
      await em.insert(Note, { text: `lost ${round}` });
      await em.execute('select pg_terminate_backend(pg_backend_pid())');
    });
    await expect(lost).rejects.toThrow(/terminat|connection/i);
  }
  await service.orm.em.fork().insert(Note, { text: 'kept' });
  expect((await service.take()).map((one) => one.data['text'])).toEqual(['kept']);
  await service[Symbol.asyncDispose]();
});
