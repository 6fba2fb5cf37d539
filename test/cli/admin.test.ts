import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import { ACTION_HEADER, type JobDetail, type ServiceInfo } from '../../src/admin/contract.js';
import { amqpUrl, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { CqrsProcess } from './cqrs-process.js';

/** `cqrs admin` as a person starts it, and a browser that follows the printed address. */

const env: Record<string, string> = {
  CLI_TEST_AMQP: amqpUrl,
  CLI_TEST_EXCHANGE: uniqueName('cli_admin'),
  CLI_TEST_QUEUE: uniqueName('cli_admin'),
  MIKRO_ORM_CLI_CONFIG: 'test/cli/service/mikro-orm.config.ts',
};
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  Object.assign(env, { CLI_TEST_DATABASE: database.url });
  Object.assign(process.env, env);
  const { default: config } = await import('./service/mikro-orm.config.js');
  const orm = await MikroORM.init(config);
  await orm.schema.create();
  await orm.em.getConnection().execute(`insert into account (id, name) values (1, 'Ada') /* cqrs */`);
  await orm.close(true);
});
afterAll(async () => database.drop());

const ADDRESS = /The admin page, for one browser: (http:\/\/127\.0\.0\.1:\d+)(\/\?token=\S+)/;

/** With a host of one's own, which `fetch` would not send. */
function statusFor(base: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${base}/api/service`, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.once('error', reject).end();
  });
}

test('lets in the one who can read the terminal, once for each address', async () => {
  await using command = new CqrsProcess(['admin', '--port', '0'], env);
  const [, base, path] = await command.until(ADDRESS);
  const get = (to: string, cookie = ''): Promise<Response> =>
    fetch(`${base}${to}`, { headers: { cookie }, redirect: 'manual' });

  expect((await get('/api/service')).status).toBe(401);
  expect((await get('/?token=guessed')).status).toBe(401);
  const login = await get(path!);
  expect([login.status, login.headers.get('location')]).toEqual([303, '/']);
  const set = login.headers.get('set-cookie')!;
  expect(set).toMatch(/; HttpOnly; SameSite=Strict$/);
  const cookie = set.split(';')[0]!;

  const service = (await (await get('/api/service', cookie)).json()) as ServiceInfo;
  expect(service).toMatchObject({ roles: ['master', 'replica'], user: { role: 'operator' }, readOnly: false });
  expect((await get(path!)).status).toBe(401);
  const [, next] = await command.until(/Used\. For another browser: http:\/\/[^/]+(\/\?token=\S+)/);
  expect((await get(next!)).status).toBe(303);

  expect(await statusFor(base!, { cookie, host: 'evil.test' })).toBe(403);
  command.kill('SIGTERM');
  expect(await command.exited).toBe(0);
});

test('--read-only lets nobody act', async () => {
  await using command = new CqrsProcess(['admin', '--port', '0', '--read-only'], env);
  const [, base, path] = await command.until(ADDRESS);
  const login = await fetch(`${base}${path}`, { redirect: 'manual' });
  const cookie = login.headers.get('set-cookie')!.split(';')[0]!;
  const sync = await fetch(`${base}/api/masters/account/sync`, {
    method: 'POST',
    headers: { cookie, 'content-type': 'application/json', [ACTION_HEADER]: '1' },
    body: JSON.stringify({ selection: { keys: ['1'] } }),
  });
  expect(sync.status).toBe(403);
});

test('the service’s own adjustSyncQuery holds here, too', async () => {
  await using command = new CqrsProcess(['admin', '--port', '0'], { ...env, CLI_TEST_ONLY_FROM: '2' });
  const [, base, path] = await command.until(ADDRESS);
  const login = await fetch(`${base}${path}`, { redirect: 'manual' });
  const headers = {
    cookie: login.headers.get('set-cookie')!.split(';')[0]!,
    'content-type': 'application/json',
    [ACTION_HEADER]: '1',
  };
  const sync = await fetch(`${base}/api/masters/account/sync`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ selection: { keys: ['1'] } }),
  });
  let job = (await sync.json()) as JobDetail;
  while (job.state === 'waiting' || job.state === 'running') {
    job = (await (await fetch(`${base}/api/jobs/${job.id}`, { headers })).json()) as JobDetail;
  }
  expect(job).toMatchObject({ items: [{ key: '1', ok: false, reason: 'adjustSyncQuery leaves it out' }] });
});

test('a port that is taken is named, with the way out', async () => {
  await using first = new CqrsProcess(['admin', '--port', '0'], env);
  const [, base] = await first.until(ADDRESS);
  await using second = new CqrsProcess(['admin', '--port', new URL(base!).port], env);
  expect(await second.exited).toBe(2);
  expect(second.err).toContain('is taken; name another with --port');
});
