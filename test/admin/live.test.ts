import { createServer, request as httpRequest, type ClientRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Admin, createAdmin } from '../../src/admin/admin.js';
import { LiveEvents, type Overview } from '../../src/admin/contract.js';
import { toNodeHandler } from '../../src/admin/node.js';
import { type TwoServices, twoServices } from '../support/two-services.js';
import { AdminClient, byHeader } from './client.js';
import { Person, PersonRef } from './entities.js';

/** The path of a change as the page draws it, and the stream that keeps it fresh. */

let services: TwoServices;
let admin: Admin;
let client: AdminClient;
let replica: AdminClient;
let server: Server;
let port: number;

beforeAll(async () => {
  services = await twoServices({
    masters: [Person],
    replicas: [PersonRef],
    masterSettings: { activity: { intervalSeconds: 1 }, admin: { queues: ['nowhere'] } },
    replicaSettings: { activity: { intervalSeconds: 1 } },
  });
  admin = createAdmin(services.master.cqrs, { authorize: byHeader });
  client = new AdminClient(admin);
  replica = new AdminClient(createAdmin(services.replica.cqrs, { authorize: byHeader }));
  server = createServer(toNodeHandler(admin));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  await admin.stop();
  await new Promise((resolve) => server.close(resolve));
  await services[Symbol.asyncDispose]();
});

/** An open page: what it hears, as it hears it. */
class Page {
  readonly heard: { name: keyof LiveEvents; data: unknown }[] = [];
  readonly opened: Promise<void>;
  #text = '';
  #changed = Promise.withResolvers<void>();
  readonly #request: ClientRequest;

  constructor() {
    const opened = Promise.withResolvers<void>();
    this.opened = opened.promise;
    this.#request = httpRequest(
      `http://127.0.0.1:${port}/api/live`,
      { headers: { authorization: 'read-only bob' } },
      (response) => {
        response.on('data', (chunk) => this.#take(String(chunk)));
        response.on('error', () => {});
        response.once('data', () => opened.resolve());
      },
    );
    this.#request.once('error', () => {});
    this.#request.end();
  }

  async until<N extends keyof LiveEvents>(name: N, matches: (data: LiveEvents[N]) => boolean): Promise<LiveEvents[N]> {
    for (;;) {
      const found = this.heard.find((one) => one.name === name && matches(one.data as LiveEvents[N]));
      if (found) return found.data as LiveEvents[N];
      await this.#changed.promise;
    }
  }

  close(): void {
    this.#request.destroy();
  }

  #take(chunk: string): void {
    const messages = (this.#text + chunk).split('\n\n');
    this.#text = messages.pop()!;
    for (const message of messages) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
      if (name === undefined) continue;
      // Nothing that the contract does not know.
      const parsed = LiveEvents[name as keyof LiveEvents].parse(JSON.parse(data!));
      expect(parsed).toEqual(JSON.parse(data!));
      this.heard.push({ name: name as keyof LiveEvents, data: parsed });
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

test('the path of a change, with counts that follow it', async () => {
  const page = new Page();
  await page.opened;
  await services.master.orm.em.fork().insert(Person, { id: 1, name: 'Ada' } as never);
  await services.ended(1);
  const overview = await page.until('overview', ({ relay }) => (relay?.published ?? 0) > 0);
  expect(overview).toMatchObject({
    master: { announced: 1 },
    outbox: { depth: 0, failed: 0, oldestAgeMs: null },
    relay: { running: 1, published: 1 },
    broker: { reachable: true, error: null },
    queues: [{ name: 'nowhere', messages: null, consumers: null }],
    queue: null,
    replica: null,
  });
  expect(overview.verdict).toEqual({
    state: 'degraded',
    why: [expect.objectContaining({ where: 'queue', text: 'There is no queue nowhere, though the settings name it.' })],
  });
  page.close();

  let there: Overview;
  do there = await replica.ask('overview');
  while ((there.replica?.applied ?? 0) === 0);
  expect(there).toMatchObject({
    master: null,
    outbox: null,
    replica: { applied: 1, workers: 1 },
    queue: { name: services.queue, consumers: 1 },
  });
  expect(there.verdict.state).toBe('healthy');
}, 60_000);

test('a job is heard of as it moves and ends', async () => {
  const page = new Page();
  await page.opened;
  const { id } = await client.ask('sync', { params: { cqrsId: 'person' }, body: { selection: { keys: ['1'] } } });
  const job = await page.until('job', (one) => one.id === id && one.state === 'done');
  expect(job).toMatchObject({ kind: 'sync', by: 'ada', counts: { sent: 1 } });
  await page.until('changed', ({ what }) => what.includes('jobs'));
  page.close();
}, 60_000);

test('history without gaps, processes, outbox, events, replicas', async () => {
  const history = await client.ask('history', { query: { minutes: 10 } });
  expect(history.points).toHaveLength(10);
  expect(history.points.reduce((sum, { announced }) => sum + announced, 0)).toBeGreaterThan(0);
  const times = history.points.map(({ at }) => Date.parse(at));
  const steps = times.slice(1).map((at, index) => (at - times[index]!) / 1_000);
  expect(new Set(steps)).toEqual(new Set([history.stepSeconds]));
  expect((await client.ask('history', { query: { minutes: 1_440 } })).points).toHaveLength(120);

  const { processes } = await client.ask('processes');
  expect(processes[0]).toMatchObject({
    roles: expect.arrayContaining(['relay']),
    pid: process.pid,
    alive: true,
    degraded: [],
  });
  expect(await client.ask('outbox')).toMatchObject({ depth: 0, failed: 0, stuck: [] });
  await client.ask('events');
  const { replicas } = await replica.ask('replicas');
  expect(replicas).toMatchObject([{ cqrsId: 'person', rows: { count: 1, exact: true }, path: 'rows' }]);
  expect(replicas[0]!.lastApplied).not.toBeNull();
  expect(replicas[0]!.lastUpdated).toMatch(/^\d{4}-.*Z$/);
});

test('what is stuck in the outbox is named, and makes the page amber', async () => {
  const insert = `insert into cqrs_outbox (bucket, cqrs_id, signal, key, queue, body, failure, created_at) values
    (1, 'person', 'SYNC', '["7"]', 'gone', '{}', 'unroutable', clock_timestamp() - interval '5 minutes')`;
  await services.master.orm.em.getConnection().execute(insert);
  const view = await client.ask('outbox');
  expect(view).toMatchObject({ failed: 1, byEntity: [{ cqrsId: 'person', failed: 1, waiting: 0 }] });
  expect(view.stuck).toMatchObject([{ cqrsId: 'person', key: '7', queue: 'gone', failure: 'unroutable' }]);
  // Those who look at the same moment are shown the same picture, which may be a second old.
  const page = new Page();
  const { verdict } = await page.until('overview', ({ verdict: { why } }) =>
    why.some(({ where }) => where === 'outbox'),
  );
  page.close();
  expect(verdict.state).not.toBe('healthy');
  await services.master.orm.em.getConnection().execute('delete from cqrs_outbox');
});

test('what the broker refuses is shown with its reason; an operator retries or drops it there', async () => {
  const { cqrs, orm } = services.master;
  const run = (sql: string) => orm.em.getConnection().execute(sql);
  await run(`insert into cqrs_held (id, bucket, cqrs_id, signal, key, body, created_at, state, reason, passing, attempts, held_at)
    select -n, 1, 'person', 'SYNC', '["7"]', '{}', now(), case n when 2 then 'refused' else 'behind' end,
           case n when 2 then 'too long' end, false, 1, now() from generate_series(1, 2) as n`);
  const view = await client.ask('outbox');
  expect(view).toMatchObject({
    held: 2,
    refused: [{ outboxId: '-2', cqrsId: 'person', key: '7', reason: 'too long', behind: 1, retryAt: null }],
  });
  const { facts } = await client.ask('row', { params: { cqrsId: 'person' }, body: { key: '7' } });
  expect(facts.map(({ text }) => text)).toContain('A message for all replicas could not be delivered: too long.');
  const acted = cqrs.events.next('cqrs.admin.acted');
  const body = { action: 'drop', selection: { cqrsId: 'person' } } as const;
  expect(await client.ask('resolveRefused', { body })).toEqual({ count: 1 });
  expect(await acted).toMatchObject({ action: 'drop refused', cqrsId: 'person' });
  await run('delete from cqrs_held');
});

test('pages that come and go by the thousand leave nothing behind', async () => {
  const listening = (): number =>
    server.listenerCount('request') + process.listenerCount('exit') + process.listenerCount('warning');
  const before = listening();
  for (let round = 0; round < 20; round++) {
    const pages = Array.from({ length: 100 }, () => new Page());
    await Promise.all(pages.map(({ opened }) => opened));
    for (const page of pages) page.close();
  }
  while (admin.openPages > 0) await new Promise(setImmediate);
  while ((await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))) > 0)
    await new Promise(setImmediate);
  expect(listening()).toBe(before);
  const page = new Page();
  await page.until('overview', () => true);
  expect(admin.openPages).toBe(1);
  page.close();
}, 120_000);

test('the stream ends with the page’s server, and asks who is there first', async () => {
  expect((await new AdminClient(admin).as('').raw('/api/live')).status).toBe(401);
  const own = createAdmin(services.master.cqrs, { authorize: byHeader });
  const response = await new AdminClient(own).raw('/api/live');
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  await own.stop();
  expect(await response.text()).toContain('event: overview');
});
