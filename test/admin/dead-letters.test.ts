import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import { createAdmin } from '../../src/admin/admin.js';
import type { JobDetail, LettersAction } from '../../src/admin/contract.js';
import { Cqrs } from '../../src/cqrs.js';
import { purgeLetters } from '../../src/operations/dead-letters.js';
import { RabbitMQTransport } from '../../src/brokers/rabbitmq/index.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { AdminClient, byHeader } from './client.js';
import { PersonRef } from './entities.js';

/** Dead letters of a real queue, as the page handles them. */

const exchange = uniqueName('admin_letters');
const queue = `${exchange}_replica`;
const deadLetterQueue = `dead_letter_${queue}`;
let database: TestDatabase;
let orm: MikroORM;
let cqrs: Cqrs;
let client: AdminClient;

beforeAll(async () => {
  database = await createDatabase();
  cqrs = new Cqrs({
    transport: new RabbitMQTransport({ url: amqpUrl }),
    exchange,
    queue,
    admin: { actionsPerMinute: 1_000 },
  });
  orm = await MikroORM.init({ clientUrl: database.url, entities: [PersonRef], extensions: [cqrs] });
  await orm.schema.create();
  await consume(0);
});
beforeEach(async () => {
  client = new AdminClient(createAdmin(cqrs, { authorize: byHeader }));
  await purgeLetters(cqrs);
  await orm.em.execute('delete from person_ref');
  await orm.em.execute('delete from cqrs_jobs');
  await orm.em.execute('alter table person_ref alter column name type varchar(20)');
});
afterAll(async () => {
  await cqrs.stop();
  await orm.close(true);
  await deleteTopology(exchange, [queue, deadLetterQueue, `unreadable_${queue}`]);
  await database.drop();
});

async function consume(count: number): Promise<void> {
  let left = count;
  const enough = Promise.withResolvers<void>();
  const off = cqrs.events.onAny((name) => {
    if (/^cqrs\.inbox\.(applied|skipped|dead-lettered)$/.test(name) && --left === 0) enough.resolve();
  });
  const consumer = cqrs.createConsumer();
  await consumer.start();
  if (count > 0) await enough.promise;
  await consumer.stop();
  off();
}

/** Messages that die: names that are too long, scores that are no numbers. */
async function poison(...names: { id: number; name?: unknown; score?: unknown }[]): Promise<void> {
  const bodies = names.map(({ id, name = 'Ada', score = 1 }) =>
    saveOf(id, {
      cqrs_id: 'person',
      instance_data: {
        id,
        name,
        score,
        secret: `secret of ${id}`,
        cqrs_revision: 0,
        cqrs_updated: new Date().toISOString(),
      },
    }),
  );
  await cqrs.connect();
  await cqrs.transport.publish(bodies.map((body) => ({ route: { cqrsId: 'person', queue: null }, body })));
  await consume(names.length);
}

const LONG = 'a name that is much longer than twenty';

async function act(name: 'dryRunLetters' | 'retryLetters' | 'purgeLetters', body: LettersAction): Promise<JobDetail> {
  let job = await client.ask(name, { body });
  while (job.state === 'waiting' || job.state === 'running') job = await client.ask('job', { params: { id: job.id } });
  return job;
}

const rows = async (): Promise<number[]> =>
  (await orm.em.execute<{ id: number }[]>('select id from person_ref order by id')).map(({ id }) => id);

test('are grouped by entity and error, with the field at fault, and lie there as before', async () => {
  await poison({ id: 1, name: LONG }, { id: 2, name: LONG }, { id: 3, score: 'many' });
  const { groups, count, exists, queue: name } = await client.ask('deadLetters');
  expect({ count, exists, name }).toEqual({ count: 3, exists: true, name: deadLetterQueue });
  expect(groups.map(({ cqrsId, field, count: members }) => [cqrsId, field, members])).toEqual([
    ['person', 'name', 2],
    ['person', 'score', 1],
  ]);
  const { letters } = await client.ask('letters', { body: { group: groups[0]!.id } });
  expect(letters.map(({ key, signalType, field }) => [key, signalType, field])).toEqual([
    ['1', 'SAVE', 'name'],
    ['2', 'SAVE', 'name'],
  ]);
  expect((await cqrs.transport.inspect(deadLetterQueue))!.messages).toBe(3);
});

test('one is shown with its message, but for what is hidden', async () => {
  await poison({ id: 4, name: LONG });
  const { letters } = await client.ask('letters', { body: {} });
  const letter = await client.ask('letter', { params: { id: letters[0]!.id } });
  expect(letter).toMatchObject({
    cqrsId: 'person',
    field: 'name',
    fieldValue: JSON.stringify(LONG),
    hidden: ['secret'],
  });
  expect(letter.body).toContain(`"name": "${LONG}"`);
  expect(letter.body).not.toContain('secret of 4');
  expect(await client.refused('letter', { params: { id: 'ffffffffffff' } })).toMatchObject({ status: 404 });
});

test('a dry run says it would fail, and after the cure that it would work; a retry works, and it is gone', async () => {
  await poison({ id: 5, name: LONG });
  const [letter] = (await client.ask('letters', { body: {} })).letters;
  const selection = { ids: [letter!.id] };
  const before = await act('dryRunLetters', { selection });
  expect(before).toMatchObject({
    state: 'done',
    counts: { wouldFail: 1 },
    cqrsId: 'person',
    by: 'ada',
    title: 'Try out a dead letter',
  });
  expect(before.items).toEqual([
    { key: letter!.id, ok: false, reason: expect.stringContaining('would fail: MappingError') },
  ]);

  await orm.em.execute('alter table person_ref alter column name type text');
  expect((await act('dryRunLetters', { selection })).items).toEqual([
    { key: letter!.id, ok: true, reason: 'would work: create' },
  ]);
  expect(await rows()).toEqual([]);

  expect(await act('retryLetters', { selection })).toMatchObject({
    state: 'done',
    counts: { putBack: 1 },
    done: 1,
    total: 1,
  });
  await consume(1);
  expect(await rows()).toEqual([5]);
  expect(await client.ask('deadLetters')).toMatchObject({ count: 0, groups: [] });
  expect(await act('retryLetters', { selection })).toMatchObject({ counts: { missing: 1 } });
});

describe('several at a time', () => {
  test('a group is retried, the others stay', async () => {
    await poison({ id: 1, name: LONG }, { id: 2, score: 'many' }, { id: 3, name: LONG });
    await orm.em.execute('alter table person_ref alter column name type text');
    const { groups } = await client.ask('deadLetters');
    const group = groups.find(({ field }) => field === 'name')!;
    const job = await act('retryLetters', { selection: { group: group.id }, expected: 2 });
    expect(job).toMatchObject({ counts: { putBack: 2 }, title: 'Retry the dead letters of person (mapping)' });
    await consume(2);
    expect(await rows()).toEqual([1, 3]);
    expect((await client.ask('deadLetters')).groups.map(({ field }) => field)).toEqual(['score']);
  });

  test('removing a group or all needs the count that was shown, and removes no more', async () => {
    await poison({ id: 1, name: LONG }, { id: 2, name: LONG }, { id: 3, score: 'many' });
    const selection = { all: true } as const;
    expect(await client.refused('purgeLetters', { body: { selection } })).toMatchObject({ status: 400 });
    const refused = await client.refused('purgeLetters', { body: { selection, expected: 2 } });
    expect(refused).toMatchObject({ status: 409, details: { count: 3 } });
    expect((await cqrs.transport.inspect(deadLetterQueue))!.messages).toBe(3);
    expect(await act('purgeLetters', { selection, expected: 3 })).toMatchObject({
      state: 'done',
      counts: { purged: 3 },
    });
    expect((await client.ask('deadLetters')).count).toBe(0);
  });
});

test('who did it stays written', async () => {
  await poison({ id: 9, name: LONG });
  const [letter] = (await client.ask('letters', { body: {} })).letters;
  const said = cqrs.events.next('cqrs.admin.acted');
  await act('purgeLetters', { selection: { ids: [letter!.id] } });
  expect(await said).toMatchObject({ user: 'ada', action: 'dead-letters-purge', cqrsId: 'person' });
  const { jobs } = await client.ask('jobs');
  expect(jobs).toMatchObject([{ kind: 'dead-letters-purge', by: 'ada', state: 'done', title: 'Purge a dead letter' }]);
});

test('why is this row not there? Its replica knows: the dead letter, the tombstone', async () => {
  await poison({ id: 6, name: LONG });
  const lost = await client.ask('replicaRow', { params: { cqrsId: 'person' }, body: { key: '6' } });
  expect(lost).toMatchObject({ exists: false, tombstone: null });
  expect(lost.deadLetters).toHaveLength(1);
  expect(lost.facts.map(({ where }) => where)).toEqual(expect.arrayContaining(['row', 'dead-letters', 'queue']));

  await orm.em.execute(`insert into cqrs_tombstones (cqrs_id, key, incarnation, revision, updated)
    values ('person', '["7"]', 1, 4, '2026-01-01 00:00:00+00')`);
  const dead = await client.ask('replicaRow', { params: { cqrsId: 'person' }, body: { key: '7' } });
  expect(dead).toMatchObject({ exists: false, tombstone: { revision: 4, updated: '2026-01-01T00:00:00Z' } });
  expect(dead.facts[0]!.text).toContain('It was deleted by its master');
});
