import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { MikroORM } from '@mikro-orm/postgresql';
import type { Health } from '../../src/activity/verdict.js';
import { Cqrs } from '../../src/cqrs.js';
import { amqpUrl, deleteTopology, uniqueName } from '../support/broker.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { CqrsProcess } from './cqrs-process.js';
import { Account, AccountRef, StuckRef } from './service/entities.js';

const exchange = uniqueName('probes');
const queue = `${exchange}_q`;
let database: TestDatabase;
let env: Record<string, string>;

beforeAll(async () => {
  database = await createDatabase();
  env = { CLI_TEST_DATABASE: database.url, CLI_TEST_AMQP: amqpUrl, CLI_TEST_EXCHANGE: exchange, CLI_TEST_QUEUE: queue };
  const orm = await MikroORM.init({
    clientUrl: database.url,
    entities: [Account, AccountRef, StuckRef],
    extensions: [new Cqrs({ transport: 'MemoryTransport' })],
  });
  await orm.schema.create();
  await orm.close();
});
afterAll(async () => {
  await database.drop();
  await deleteTopology(exchange, [queue, `dead_letter_${queue}`, `unreadable_${queue}`]);
});

const cqrs = (...args: string[]) => new CqrsProcess([...args, '--config', 'test/cli/service/mikro-orm.config.ts'], env);

async function portOf(process: CqrsProcess): Promise<string> {
  return (await process.until(/probes on port (\d+)/))[1]!;
}

type Answer = Health & { readonly workers: readonly { readonly pid: number | null }[] };

/** Asks until the state is that one; the test's time limit ends it. */
async function until(port: string, state: Health['state']): Promise<{ status: number; body: Answer }> {
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    const body = (await response.json()) as Answer;
    if (body.state === state) return { status: response.status, body };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a supervisor answers for its workers: healthy, degraded while one is missing, healthy again', async () => {
  await using supervisor = cqrs('consume', '-w', '2', '--health-port', '0');
  const port = await portOf(supervisor);
  const { status, body } = await until(port, 'healthy');
  expect([status, body.workers.length]).toEqual([200, 2]);

  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(metrics).toMatch(/^cqrs_health_state 0$/m);
  expect(metrics).toMatch(/^process_resident_memory_bytes \d+/m);

  process.kill(body.workers[1]!.pid!, 'SIGKILL');
  const degraded = await until(port, 'degraded');
  expect(degraded.status).toBe(503);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  await until(port, 'healthy');
  supervisor.kill('SIGTERM');
  expect(await supervisor.exited).toBe(0);
}, 240_000);

test('a relay answers for itself; a port that is taken is told', async () => {
  await using relay = cqrs('relay', '--health-port', '0');
  const port = await portOf(relay);
  expect((await until(port, 'healthy')).status).toBe(200);
  await using second = cqrs('relay', '--health-port', port);
  expect(await second.exited).toBe(2);
  expect(second.err).toMatch(new RegExp(`--health-port ${port} cannot be used: .*EADDRINUSE`));

  await using status = cqrs('status', '--json');
  await status.exited;
  const { activity, state, reasons } = JSON.parse(status.out);
  // The worker that was killed a moment ago counts as running until it has been silent for a while.
  const running = activity.processes.filter((one: { state: string }) => one.state === 'running');
  expect(running.filter((one: { roles: string[] }) => one.roles.includes('relay'))).toMatchObject([
    { roles: ['relay'] },
  ]);
  expect([state, reasons[0].code]).toEqual(['dead', 'no-workers']);
}, 240_000);
