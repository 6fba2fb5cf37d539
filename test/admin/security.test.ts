import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Admin, createAdmin } from '../../src/admin/admin.js';
import { ACTION_HEADER, type EndpointName, endpoints } from '../../src/admin/contract.js';
import { toNodeHandler } from '../../src/admin/node.js';
import type { CqrsEventName } from '../../src/kernel/events.js';
import { logEvents } from '../../src/observability/logging.js';
import { type MasterService, masterService } from '../support/master-service.js';
import { AdminClient, byHeader, ORIGIN } from './client.js';
import { Person, Seat } from './entities.js';

let service: MasterService;
let admin: Admin;
let client: AdminClient;
const heard: CqrsEventName[] = [];

beforeAll(async () => {
  service = await masterService([Person, Seat], { settings: { admin: { actionsPerMinute: 6 } } });
  service.cqrs.events.onAny((name) => heard.push(name));
  await service.sql(`insert into person (id, name, secret) values (1, 'Ada Lovelace', 'secret') /* cqrs */`);
});
afterAll(async () => service[Symbol.asyncDispose]());
beforeEach(() => {
  admin = createAdmin(service.cqrs, { authorize: byHeader, basePath: '/ops/cqrs' });
  client = new AdminClient(admin, '/ops/cqrs');
  heard.length = 0;
});

const params = { cqrsId: 'person', id: '1' };
const all = Object.keys(endpoints) as EndpointName[];
const actions = all.filter((name) => endpoints[name].role === 'operator');
const JSON_HEADERS = { 'content-type': 'application/json', [ACTION_HEADER]: '1' };

describe('nobody comes in but those whom authorize names', () => {
  test('there is no page without authorize', () => {
    expect(() => createAdmin(service.cqrs, {} as never)).toThrow(/authorize: it is missing/);
  });

  test.each(all)('%s', async (name) => {
    expect(await client.as('').refused(name, { params })).toMatchObject({ status: 401, code: 'unauthorized' });
    expect(heard).toContain('cqrs.admin.refused');
  });

  test.each([
    ['null', null],
    ['undefined', undefined],
    ['a user without a name', { role: 'operator' }],
    ['a role that there is not', { user: 'eve', role: 'root' }],
    ['true', true],
  ])('an authorize that answers %s lets nobody in', async (_, user) => {
    const strange = createAdmin(service.cqrs, { authorize: () => user as never });
    expect((await strange(new Request(`${ORIGIN}/api/service`))).status).toBe(401);
  });

  test('an authorize that throws lets nobody in, and its words stay inside', async () => {
    const broken = createAdmin(service.cqrs, {
      authorize: () => Promise.reject(new TypeError('session store is away')),
    });
    const response = await broken(new Request(`${ORIGIN}/api/service`));
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('session');
  });

  test('the page itself is no exception, and says so in words', async () => {
    const page = await client.as('').raw('/masters/person');
    expect(page.status).toBe(401);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(await page.text()).toContain('You are not signed in');
  });
});

describe('roles', () => {
  test.each(actions)('%s is for operators', async (name) => {
    const looker = client.as('read-only bob');
    expect(await looker.refused(name, { params, body: {} })).toMatchObject({
      status: 403,
      message: 'Only operators may do this.',
    });
  });

  test.each(actions)('%s is for nobody on a page that is read-only', async (name) => {
    const quiet = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader, readOnly: true }));
    expect(await quiet.refused(name, { params, body: {} })).toMatchObject({
      status: 403,
      message: expect.stringContaining('read-only'),
    });
  });

  test('the service says what the user may do', async () => {
    expect((await client.ask('service')).user).toEqual({ name: 'ada', role: 'operator' });
    expect((await client.as('read-only bob').ask('service')).user).toEqual({ name: 'bob', role: 'read-only' });
    const quiet = new AdminClient(createAdmin(service.cqrs, { authorize: byHeader, readOnly: true }));
    expect(await quiet.ask('service')).toMatchObject({ readOnly: true, user: { role: 'read-only' } });
  });
});

describe('an action that another site has thought up is refused', () => {
  const path = '/api/masters/person/rows';
  const send = (headers: Record<string, string>): Promise<Response> =>
    client.raw(path, { method: 'POST', body: '{}', headers });

  test.each([
    ['without our header', { 'content-type': 'application/json' }],
    ['as a form sends it', { 'content-type': 'application/x-www-form-urlencoded', [ACTION_HEADER]: '1' }],
    ['as text', { 'content-type': 'text/plain', [ACTION_HEADER]: '1' }],
    ['from another site', { ...JSON_HEADERS, 'sec-fetch-site': 'cross-site' }],
    ['from a neighbour of the same site', { ...JSON_HEADERS, 'sec-fetch-site': 'same-site' }],
    ['from another origin', { ...JSON_HEADERS, origin: 'https://evil.test' }],
    ['from nowhere', { ...JSON_HEADERS, origin: 'null' }],
  ])('%s', async (_, headers) => {
    expect((await send(headers)).status).toBe(403);
  });

  test.each([
    ['from the page', { ...JSON_HEADERS, 'sec-fetch-site': 'same-origin', origin: ORIGIN }],
    ['from the page behind a proxy with TLS', { ...JSON_HEADERS, origin: 'https://admin.test' }],
    ['from a script', JSON_HEADERS],
  ])('%s it is taken', async (_, headers) => {
    expect((await send(headers)).status).toBe(200);
  });

  test('behind a proxy that hides the host, the origins that were named are taken, and no others', async () => {
    const behind = new AdminClient(
      createAdmin(service.cqrs, { authorize: byHeader, origins: ['https://ops.example.com'] }),
    );
    const status = async (origin: string): Promise<number> =>
      (await behind.raw(path, { method: 'POST', body: '{}', headers: { ...JSON_HEADERS, origin } })).status;
    expect([await status('https://ops.example.com'), await status(ORIGIN)]).toEqual([200, 403]);
  });

  test('nothing is done by GET', async () => {
    for (const name of actions) expect(endpoints[name].method).toBe('POST');
    expect((await client.raw('/api/masters/person/sync')).status).toBe(400);
  });
});

test('actions are limited in their rate, for each user alone', async () => {
  const sends = async (who: AdminClient): Promise<number> =>
    (await who.send('cancelJob', { params: { id: 'x' } })).status;
  const ada = [];
  for (let count = 0; count < 7; count++) ada.push(await sends(client));
  expect(ada.slice(0, 6)).not.toContain(429);
  const refused = await client.send('cancelJob', { params: { id: 'x' } });
  expect([ada[6], refused.status]).toEqual([429, 429]);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await sends(client.as('operator bob'))).not.toBe(429);
  expect((await client.send('service', {})).status).toBe(200);
});

describe('paths', () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    const open = createAdmin(service.cqrs, {
      authorize: () => ({ user: 'ada', role: 'operator' }),
      basePath: '/ops/cqrs',
    });
    server = createServer(toNodeHandler(open));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => new Promise((resolve) => server.close(resolve)));

  /** As it is written, without what `fetch` would make of it. */
  const get = (path: string): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const sent = httpRequest({ host: '127.0.0.1', port, path }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += String(chunk)));
        response.on('end', () => resolve({ status: response.statusCode!, body }));
      });
      sent.once('error', reject).end();
    });

  test.each([
    '/ops/cqrs/../../package.json',
    '/ops/cqrs/assets/../../../package.json',
    '/ops/cqrs/assets/..%2f..%2f..%2fpackage.json',
    '/ops/cqrs/%2e%2e/%2e%2e/package.json',
    '/ops/cqrs/assets/..%5c..%5c..%5cpackage.json',
    '/ops/cqrs/assets//etc/passwd',
    '/ops/cqrs/%00',
    '/ops/cqrs/%ff',
    '/ops/cqrs/assets/%252e%252e%252fpackage.json',
    '/etc/passwd',
    '//etc/passwd',
    '/ops/cqrsx',
  ])('%s shows no file', async (path) => {
    const { body } = await get(path);
    expect(body).not.toMatch(/mikro-orm-cqrs"|root:/);
  });

  test('what lies elsewhere is not found, the base path leads to the page', async () => {
    expect((await get('/')).status).toBe(404);
    expect((await get('/ops/cqrs')).status).toBe(308);
    expect((await get('/ops/cqrs/api/nothing')).status).toBe(404);
    // an address inside the page without its `#` says so, and does not show an empty page
    const lost = await get('/ops/cqrs/rows/account');
    expect(lost.status).toBe(404);
    expect(lost.body).toContain('<a href="/ops/cqrs/">');
  });
});

test.each(['/api/service', '/api/nothing', '/', '/assets/none.js', '/../elsewhere'])(
  'the headers of %s',
  async (path) => {
    const { headers } = await client.raw(path);
    const policy = headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(headers.get('cache-control')).toMatch(/no-store|no-cache/);
    expect(headers.get('access-control-allow-origin')).toBeNull();
  },
);

test('no row is in a log line, whatever is asked', async () => {
  const log: string[] = [];
  using _ = logEvents(service.cqrs.events, { level: 'debug', write: (line) => log.push(line) });
  const search = 'Ada Lovelace';
  const filters = [{ column: 'name', operator: 'eq' as const, value: search }];
  await client.ask('rows', { params, body: { search, filters } });
  await client.refused('rows', { params, body: { filters: [{ column: search, operator: 'eq', value: 'x' }] } });
  await client.refused('rows', { params, body: { filters: [{ column: 'id', operator: 'eq', value: search }] } });
  await client.as('').refused('rows', { params, body: { search } });
  expect(log.length).toBeGreaterThan(0);
  expect(log.join('\n')).not.toContain('Lovelace');
});

test('a body that is too long, or no JSON, is refused', async () => {
  const post = (body: string): Promise<Response> =>
    client.raw('/api/masters/person/rows', { method: 'POST', body, headers: JSON_HEADERS });
  expect((await post('{')).status).toBe(400);
  expect((await post(`{"search":"${'x'.repeat(3_000_000)}"}`)).status).toBe(400);
  expect((await post('{"serch":"x"}')).status).toBe(400);
});
