import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createAdmin } from '../../src/admin/admin.js';
import type { JobDetail } from '../../src/admin/contract.js';
import { type TwoServices, twoServices } from '../support/two-services.js';
import { AdminClient, byHeader } from './client.js';
import { Person, PersonRef, Seat } from './entities.js';

/** A replica's rows, damaged by hand, found and repaired from the page of its master. */

let services: TwoServices;
let client: AdminClient;
beforeAll(async () => {
  services = await twoServices({ masters: [Person, Seat], replicas: [PersonRef] });
  client = new AdminClient(createAdmin(services.master.cqrs, { authorize: byHeader }));
});
afterAll(async () => services[Symbol.asyncDispose]());

const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);

beforeEach(async () => {
  services.heard.length = 0;
  const em = services.master.orm.em.fork();
  await em.nativeDelete(Person, {});
  for (const id of [1, 2, 3, 4]) await em.insert(Person, { id, name: `person ${id}`, score: id } as never);
  while ((await replica('select 1 from person_ref')).length < 4) {
    await services.replica.cqrs.events
      .next('cqrs.inbox.batch-applied', { signal: AbortSignal.timeout(500) })
      .catch(() => {});
  }
  await replica('delete from person_ref where id = 1');
  await replica(`update person_ref set name = 'damaged', secret = 'damaged' where id = 2`);
});

async function ended(job: JobDetail): Promise<JobDetail> {
  let now = job;
  while (now.state === 'waiting' || now.state === 'running') now = await client.ask('job', { params: { id: job.id } });
  return now;
}

const compare = async (repair = false): Promise<JobDetail> =>
  ended(
    await client.ask('reconcile', {
      params: { cqrsId: 'person' },
      body: { queue: services.queue, repair, settleSeconds: 0 },
    }),
  );

const names = async (): Promise<string[]> =>
  (await replica<{ name: string }>('select name from person_ref order by id')).map(({ name }) => name);

test('differences are found, shown, and one that was chosen is repaired', async () => {
  const job = await compare();
  expect(job).toMatchObject({
    kind: 'reconcile',
    state: 'done',
    queue: services.queue,
    counts: { differences: 2, missing: 1, damaged: 1, masterRows: 4, replicaRows: 3 },
    error: null,
  });
  const { differences } = await client.ask('differences', { params: { id: job.id } });
  const sorted = differences.toSorted((one, other) => Number(one.key) - Number(other.key));
  expect(sorted).toMatchObject([
    { key: '1', kind: 'missing', repaired: false, masterRevision: 0, replicaRevision: null, fields: null },
    { key: '2', kind: 'damaged', repaired: false, masterRevision: 0, replicaRevision: 0, fields: ['name', 'secret'] },
  ]);
  expect(await names()).toEqual(['damaged', 'person 3', 'person 4']);

  const repaired = await ended(
    await client.ask('repair', { params: { id: job.id }, body: { selection: { keys: ['2'] } } }),
  );
  expect(repaired).toMatchObject({
    kind: 'repair',
    state: 'done',
    counts: { repaired: 1 },
    title: expect.stringContaining('Repair 1 row of person'),
  });
  expect(await names()).toEqual(['person 2', 'person 3', 'person 4']);
  const after = await client.ask('differences', { params: { id: job.id } });
  expect(Object.fromEntries(after.differences.map(({ key, repaired: is }) => [key, is]))).toEqual({
    1: false,
    2: true,
  });

  const again = { params: { id: job.id }, body: { selection: { keys: ['2'] } } };
  expect(await client.refused('repair', again)).toMatchObject({ status: 409 });
  await ended(await client.ask('repair', { params: { id: job.id }, body: { selection: { all: true } } }));
  expect(await names()).toEqual(['person 1', 'person 2', 'person 3', 'person 4']);
}, 60_000);

test('the replica’s page knows how many rows it has, and what the last comparison said', async () => {
  const shop = new AdminClient(createAdmin(services.replica.cqrs, { authorize: byHeader }));
  await compare();
  await services.replica.cqrs.recordActivity();
  const { replicas } = await shop.ask('replicas');
  expect(replicas[0]!.lastComparison?.text).toBe(
    'person compared by its master (4 there, 3 here): 1 missing, 0 extra, 0 stale, 1 damaged, 0 ahead; 0 repaired',
  );
  const params = { cqrsId: 'person' };
  expect(await shop.ask('countReplicaRows', { params, body: {} })).toEqual({ count: 3, exact: true });
  expect(await shop.ask('countReplicaRows', { params, body: { search: 'damaged' } })).toMatchObject({ count: 1 });
}, 60_000);

test('found and repaired in one go', async () => {
  expect(await compare(true)).toMatchObject({ state: 'done', counts: { differences: 2, repaired: 2 } });
  expect(await names()).toEqual(['person 1', 'person 2', 'person 3', 'person 4']);
  expect(await compare()).toMatchObject({ counts: { differences: 0 } });
}, 60_000);

test('which replica must be said, and a job that compared nothing has no differences', async () => {
  expect(await client.refused('reconcile', { params: { cqrsId: 'person' }, body: {} })).toMatchObject({ status: 400 });
  const { id } = await client.ask('sync', { params: { cqrsId: 'person' }, body: { selection: { keys: ['3'] } } });
  expect(await client.refused('differences', { params: { id } })).toMatchObject({ status: 400 });
  expect(await client.refused('differences', { params: { id: '999999' } })).toMatchObject({ status: 404 });
});
