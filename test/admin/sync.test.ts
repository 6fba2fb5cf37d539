import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Admin, createAdmin } from '../../src/admin/admin.js';
import type { JobDetail, SyncRequest } from '../../src/admin/contract.js';
import type { CqrsEvents } from '../../src/kernel/events.js';
import { type TwoServices, twoServices } from '../support/two-services.js';
import { AdminClient, byHeader, ORIGIN } from './client.js';
import { Person, PersonRef, Seat } from './entities.js';

/** Rows chosen on the page of the master are seen at the replica. */

let services: TwoServices;
let admin: Admin;
let client: AdminClient;

beforeAll(async () => {
  services = await twoServices({ masters: [Person, Seat], replicas: [PersonRef] });
});
afterAll(async () => services[Symbol.asyncDispose]());
beforeEach(async () => {
  admin = createAdmin(services.master.cqrs, { authorize: byHeader });
  client = new AdminClient(admin);
  await master('delete from person /* cqrs */');
  // Behind whatever an earlier test has left on its way.
  await services.master.orm.em.fork().insert(Person, { id: MARKER, name: 'marker' } as never);
  while (!(await arrived(1)).includes(MARKER)) await someApplied();
  await master('delete from person /* cqrs */');
  await master('delete from cqrs_jobs');
  await replica('delete from person_ref');
  await replica('delete from cqrs_tombstones');
});

const MARKER = 999_999;

const someApplied = (): Promise<unknown> =>
  services.replica.cqrs.events.next('cqrs.inbox.batch-applied', { signal: AbortSignal.timeout(500) }).catch(() => {});

const master = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.master.orm.em.getConnection().execute(sql);
const replica = <T = Record<string, unknown>>(sql: string): Promise<T[]> =>
  services.replica.orm.em.getConnection().execute(sql);

async function persons(count: number): Promise<void> {
  await master(
    `insert into person (id, name, score) select n, 'person ' || n, n % 10 from generate_series(1, ${count}) n /* cqrs */`,
  );
}

async function sync(body: SyncRequest, by = client): Promise<JobDetail> {
  return by.ask('sync', { params: { cqrsId: 'person' }, body });
}

/** The job once it has ended. */
async function ended(id: string): Promise<JobDetail> {
  for (;;) {
    const job = await client.ask('job', { params: { id } });
    if (job.state !== 'waiting' && job.state !== 'running') return job;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Resolves when the replica has as many rows. */
async function arrived(count: number): Promise<number[]> {
  for (;;) {
    const rows = await replica<{ id: number }>('select id from person_ref order by id');
    if (rows.length >= count) return rows.map(({ id }) => id);
    await someApplied();
  }
}

describe('rows that were chosen', () => {
  test('are sent, and the job says how many, by whom, and which there were not', async () => {
    await persons(5);
    const started = await sync({ selection: { keys: ['2', '4', '4', '77'] } });
    const job = await ended(started.id);
    expect(job).toMatchObject({
      kind: 'sync',
      title: 'Synchronize 3 chosen rows of person to all replicas',
      by: 'ada',
      state: 'done',
      done: 3,
      total: 3,
      counts: { sent: 2, missing: 1 },
      items: [{ key: '77', ok: false, reason: 'there is no such row' }],
      error: null,
    });
    expect(await arrived(2)).toEqual([2, 4]);
  });

  test('to one queue, which must be there', async () => {
    await persons(2);
    const good = await sync({ queue: services.queue, selection: { keys: ['1'] } });
    expect(await ended(good.id)).toMatchObject({ state: 'done', queue: services.queue, counts: { sent: 1 } });
    expect(await arrived(1)).toEqual([1]);

    const bad = await sync({ queue: 'nowhere', selection: { keys: ['1', '2'] } });
    const job = await ended(bad.id);
    expect(job).toMatchObject({ state: 'failed', counts: { unroutable: 2 } });
    expect(job.error).toContain("There is no queue 'nowhere' that takes messages of 'person'.");
  });

  test('that replicas are not to have are withdrawn', async () => {
    await master(`insert into person (id, name) values (1, 'nobody') /* cqrs */`);
    await replica(
      `insert into person_ref (id, name, cqrs_revision, cqrs_updated, cqrs_incarnation) values (1, 'old', 0, '2020-01-01', 1)`,
    );
    const { id } = await sync({ selection: { keys: ['1'] } });
    expect(await ended(id)).toMatchObject({ state: 'done', counts: { withdrawn: 1 } });
    while ((await replica('select 1 from person_ref')).length > 0) {
      await someApplied();
    }
  });

  test('nothing is sent that cannot be named', async () => {
    for (const keys of [['x'], [], ['1'.repeat(3_000)]]) {
      expect(
        await client.refused('sync', { params: { cqrsId: 'person' }, body: { selection: { keys } } }),
      ).toMatchObject({ status: 400 });
    }
    expect(
      await client.refused('sync', { params: { cqrsId: 'seat' }, body: { selection: { keys: ['1'] } } }),
    ).toMatchObject({
      message: 'A key of this table is a JSON array of 2 parts.',
    });
    expect(await client.ask('jobs')).toEqual({ jobs: [], next: null });
  });

  test('a master that no replica follows says so', async () => {
    await master(`insert into seat ("row", label, taken) values (1, 'A', true) on conflict do nothing /* cqrs */`);
    const { id } = await client.ask('sync', {
      params: { cqrsId: 'seat' },
      body: { selection: { keys: ['["1","A"]'] } },
    });
    expect(await ended(id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('No queue takes messages'),
      counts: { sent: 1, unroutable: 1 },
    });
  });
});

describe('everything that matches', () => {
  test('is sent page by page, with progress', async () => {
    await persons(5_000);
    const { id } = await sync({ selection: { query: { filters: [{ column: 'score', operator: 'lt', value: '9' }] } } });
    const job = await ended(id);
    expect(job).toMatchObject({
      title: 'Synchronize all rows that match of person to all replicas',
      state: 'done',
      done: 4_500,
      total: 4_500,
      counts: { sent: 4_500 },
    });
    expect(job.ratePerSecond).toBeGreaterThan(0);
    expect(await arrived(4_500)).toHaveLength(4_500);
  }, 60_000);

  test('can be cancelled, from another process, too; what went is told', async () => {
    await persons(30_000);
    const { id, state } = await sync({ selection: { query: {} } });
    expect(state).toBe('running');
    const elsewhere = new AdminClient(createAdmin(services.master.cqrs, { authorize: byHeader }));
    expect(await elsewhere.ask('cancelJob', { params: { id } })).toMatchObject({ cancelRequested: true });
    const job = await ended(id);
    expect(job).toMatchObject({ state: 'cancelled', total: 30_000 });
    expect(job.done).toBeLessThan(30_000);
    expect(await client.refused('cancelJob', { params: { id } })).toMatchObject({ status: 409 });
  }, 60_000);
});

test('a filter that cannot be is refused before there is a job', async () => {
  const selection = { query: { filters: [{ column: 'secret', operator: 'eq', value: 'x' }] } };
  expect(await client.refused('sync', { params: { cqrsId: 'person' }, body: { selection } })).toMatchObject({
    status: 400,
  });
  expect((await client.ask('jobs')).jobs).toEqual([]);
});

test('adjustSyncQuery narrows what is sent, by the request; what it leaves out is told', async () => {
  await persons(6);
  const narrowed = new AdminClient(
    createAdmin(services.master.cqrs, {
      authorize: byHeader,
      adjustSyncQuery: {
        person: (query, request) => query.andWhere({ id: { $lte: Number(request.headers.get('x-most') ?? 3) } }),
      },
    }),
  );
  const chosen = await ended((await sync({ selection: { keys: ['2', '5'] } }, narrowed)).id);
  expect(chosen).toMatchObject({
    state: 'done',
    counts: { sent: 1, leftOut: 1 },
    items: [{ key: '5', ok: false, reason: 'adjustSyncQuery leaves it out' }],
  });
  const all = await ended((await sync({ selection: { query: {} } }, narrowed)).id);
  expect(all).toMatchObject({ counts: { sent: 3, leftOut: 3 } });
  expect(await arrived(3)).toEqual([1, 2, 3]);
  expect(() =>
    createAdmin(services.master.cqrs, { authorize: byHeader, adjustSyncQuery: { persn: (query) => query } }),
  ).toThrow(/there is no master 'persn'. Did you mean 'person'/);
});

test('syncItems: the same for code of one’s own, with the rights of the request', async () => {
  await persons(3);
  const asked = (who: string): Request =>
    new Request(`${ORIGIN}/mine`, { method: 'POST', headers: { authorization: who } });
  const job = await admin.syncItems(asked('operator ada'), 'person', [1, '3', 9n], { queue: services.queue });
  expect(job).toMatchObject({ state: 'done', by: 'ada', counts: { sent: 2, missing: 1 } });
  expect(await arrived(2)).toEqual([1, 3]);
  await expect(admin.syncItems(asked('read-only bob'), 'person', [1])).rejects.toThrow('Only operators may do this.');
  await expect(admin.syncItems(asked(''), 'person', [1])).rejects.toThrow('You are not signed in.');
});

test('who asked for what is an event, too', async () => {
  await persons(1);
  const heard: CqrsEvents['cqrs.admin.acted'][] = [];
  const off = services.master.cqrs.events.on('cqrs.admin.acted', (fields) => heard.push(fields));
  const over = services.master.cqrs.events.next('cqrs.admin.job-ended');
  const { id } = await sync({ selection: { keys: ['1'] } });
  expect(await over).toMatchObject({ job: id, action: 'sync', state: 'done', counts: { sent: 1 } });
  off();
  expect(heard).toEqual([{ user: 'ada', action: 'sync', cqrsId: 'person', queue: null, job: id }]);
});

describe('jobs outlive the page, and show when their process has gone', () => {
  test('another process sees them; so does one that comes later', async () => {
    await persons(2);
    const { id } = await sync({ selection: { keys: ['1'] } });
    await ended(id);
    const later = new AdminClient(createAdmin(services.master.cqrs, { authorize: byHeader }));
    expect((await later.ask('jobs', { query: { kind: 'sync', cqrsId: 'person' } })).jobs.map((job) => job.id)).toEqual([
      id,
    ]);
    expect((await later.ask('jobs', { query: { kind: 'reconcile' } })).jobs).toEqual([]);
  });

  test('one whose process has died is interrupted: at once where that can be seen, else when it stays silent', async () => {
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');
    const put = async (host: string, pid: number, age: string): Promise<void> => {
      await master(`insert into cqrs_jobs (kind, title, requested_by, request, state, owner, host, pid, seen_at, counts, items, findings)
        values ('sync', 'left', 'ada', '{}', 'running', 'another', '${host}', ${pid}, clock_timestamp() - interval '${age}', '{}', '[]', '[]')`);
    };
    await put(hostname(), dead.pid!, '1 second');
    await put(hostname(), process.pid, '1 second'); // a container that was restarted has the same pid again
    await put('elsewhere', 1, '1 minute');
    await put('elsewhere', 1, '1 second');
    const later = new AdminClient(createAdmin(services.master.cqrs, { authorize: byHeader }));
    const { jobs } = await later.ask('jobs');
    expect(jobs.map(({ state }) => state)).toEqual(['running', 'interrupted', 'interrupted', 'interrupted']);
    expect(jobs[1]!.endedAt).not.toBeNull();
  });

  test('a process that ends in good order interrupts its own', async () => {
    await persons(20_000);
    const own = createAdmin(services.master.cqrs, { authorize: byHeader });
    const { id } = await sync({ selection: { query: {} } }, new AdminClient(own));
    await own.stop();
    expect(await client.ask('job', { params: { id } })).toMatchObject({ state: 'interrupted' });
    expect(
      await new AdminClient(own).refused('sync', {
        params: { cqrsId: 'person' },
        body: { selection: { keys: ['1'] } },
      }),
    ).toMatchObject({ status: 503 });
  }, 60_000);

  test('only so many run at a time; the others wait, and are cancelled as they wait', async () => {
    await persons(20_000);
    const jobs = await Promise.all([1, 2, 3].map(() => sync({ selection: { query: {} } })));
    const states = await Promise.all(jobs.map(({ id }) => client.ask('job', { params: { id } })));
    expect(states.map(({ state }) => state).toSorted()).toEqual(['running', 'running', 'waiting']);
    for (const { id } of states.toSorted((one) => (one.state === 'waiting' ? -1 : 1)))
      await client.ask('cancelJob', { params: { id } });
    for (const { id } of jobs) expect((await ended(id)).state).toBe('cancelled');
  }, 60_000);
});
