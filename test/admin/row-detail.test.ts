import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { createAdmin } from '../../src/admin/admin.js';
import type { MasterRow } from '../../src/admin/contract.js';
import { masterClass, MasterEntity } from '../../src/replication/master/definition/master-entity.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { AdminClient, byHeader } from './client.js';
import { Person, Seat } from './entities.js';

/** A master's row on a page of its own: what would be sent, and why it may be missing elsewhere. */

const AgentSchema = defineEntity({
  name: 'Agent',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    alias: p.string(),
    realName: p.string().hidden(),
  },
});
class Agent extends masterClass(AgentSchema) {
  static override CQRS_ID = 'agent';
  static override CQRS_SERIALIZER = (agent: Agent): object => {
    if (agent.alias === 'broken') throw new Error('no such alias');
    return { id: agent.id, alias: agent.alias, greeting: `Hello ${agent.realName}`, realName: agent.realName };
  };
}
AgentSchema.setClass(Agent);

let service: MasterService;
let client: AdminClient;
beforeAll(async () => {
  service = await masterService([Person, Seat, Agent], { settings: { admin: { queues: ['shop'] } } });
  client = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader }));
});
afterAll(async () => service[Symbol.asyncDispose]());
beforeEach(async () => {
  for (const table of ['person', 'seat', 'agent']) await service.sql(`delete from ${table} /* cqrs */`);
  await service.sql('delete from cqrs_outbox');
});

const look = (cqrsId: string, key: string): Promise<MasterRow> =>
  client.ask('row', { params: { cqrsId }, body: { key } });
const texts = ({ facts }: MasterRow): string => facts.map(({ state, text }) => `${state}: ${text}`).join('\n');

test('its values whole, its state, and the very message that a sync would send', async () => {
  const notes = { long: 'x'.repeat(500) };
  await service.sql(`insert into person (id, name, notes, balance, secret, address_city, address_door)
    values (1, 'Ada', '${JSON.stringify(notes)}', 12345678901234.5678, 'top', 'Paris', 'red') /* cqrs */`);
  const row = await look('person', '1');
  expect(row).toMatchObject({
    exists: true,
    included: true,
    revision: 0,
    waiting: [],
    values: { name: 'Ada', balance: '12345678901234.5678' },
  });
  expect(row.values['notes']).toContain('x'.repeat(500));

  expect(row.payload).toMatchObject({ signalType: 'SYNC', error: null, hidden: ['address_door', 'secret'] });
  const preview = JSON.parse(row.payload!.body!);
  // the same, as the outbox gets it
  await service.orm.em.fork().transactional(async (em) => {
    const person = await em.findOneOrFail(Person, { id: 1 });
    await person.cqrsSync({ em });
  });
  const [sent] = await service.take();
  expect(sent!.data).toMatchObject({ secret: 'top', address_door: 'red' });
  const shown = { ...sent!.data, secret: '(hidden)', address_door: '(hidden)' };
  expect(Object.values(preview)).toContainEqual(shown);
  expect(row.payload!.body).toContain('\n  ');
});

test('what is hidden is not shown under another name either', async () => {
  await service.sql(`insert into agent (id, alias, real_name) values (7, '007', 'James Bond') /* cqrs */`);
  const row = await look('agent', '7');
  expect(JSON.stringify(row)).not.toContain('Bond');
  expect(row.payload!.body).toContain('"alias": "007"');
  expect(row.payload!.hidden).toEqual(['greeting', 'realName']);
});

test('a message that cannot be made says why', async () => {
  await service.sql(`insert into agent (id, alias, real_name) values (8, 'broken', 'x') /* cqrs */`);
  const row = await look('agent', '8');
  expect(row.payload).toMatchObject({ body: null, error: 'Error: no such alias' });
  expect(texts(row)).toContain('bad: Its message cannot be made: Error: no such alias');
});

test('why is this row not there? Its filter, the outbox, the queue', async () => {
  await service.sql(`insert into person (id, name) values (2, 'nobody') /* cqrs */`);
  const filtered = await look('person', '2');
  expect(filtered).toMatchObject({ included: false, payload: { signalType: 'DELETE' } });
  expect(texts(filtered)).toContain('bad: isSyncInstance keeps the row from replicas');

  await service.orm.em.fork().insert(Person, { id: 3, name: 'Eve' } as never);
  const waiting = await look('person', '3');
  expect(waiting.waiting).toMatchObject([{ signalType: 'SAVE', queue: null, failure: null }]);
  expect(texts(waiting)).toContain('bad: 1 of its messages wait in the outbox');
  expect(texts(waiting)).toContain('bad: There is no queue shop');

  expect(texts(await look('person', '99'))).toContain('bad: There is no such row here');
});

test('rows with composite keys are named by JSON', async () => {
  await service.sql(`insert into seat ("row", label, taken) values (4, 'C"', true) /* cqrs */`);
  expect(await look('seat', '["4","C\\""]')).toMatchObject({
    exists: true,
    values: { row: '4', label: 'C"', taken: 'true' },
  });
  expect(await look('seat', '[4,"C\\""]')).toMatchObject({ exists: true });
  expect(await client.refused('row', { params: { cqrsId: 'seat' }, body: { key: '4' } })).toMatchObject({
    status: 400,
  });
});
