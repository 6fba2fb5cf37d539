import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Events } from '../../src/kernel/events.js';
import type { DoctorReport } from '../../src/operations/doctor/doctor.js';
import { RabbitMQTransport, type RabbitMQOptions } from '../../src/brokers/rabbitmq/index.js';
import type { QueueExamination } from '../../src/messaging/transport/transport.js';
import { OwnRabbitMQ } from '../faults/servers/own-rabbitmq.js';
import { uniqueName } from '../support/broker.js';
import { saveOf } from '../messaging/inbox/harness.js';
import { CliService } from './cli-service.js';

/** A broker whose policies may be changed, with and without the management API in view. */

let broker: OwnRabbitMQ;
beforeAll(async () => {
  broker = await OwnRabbitMQ.create({ management: true });
}, 120_000);
afterAll(() => broker?.[Symbol.asyncDispose]());

const queuesOf = (queue: string) => ({
  queue,
  deadLetterQueue: `dead_letter_${queue}`,
  unreadableQueue: `unreadable_${queue}`,
});

/** The queues of a service that has run once, as `queueType` has them. */
async function makeQueues(queueType: 'classic' | 'quorum'): Promise<string> {
  const queue = uniqueName('doctor');
  const transport = new RabbitMQTransport({ url: broker.url, queueType });
  await transport.connect({ events: new Events(), exchange: 'doctor', publishTimeoutMs: 10_000 });
  const options = { ...queuesOf(queue), cqrsIds: ['author'], prefetch: 1, deadLetterTtlMs: null };
  await transport.consume(options, (delivery) => void delivery.putOff(60_000).then(() => delivered()));
  const { promise, resolve: delivered } = Promise.withResolvers<void>();
  await transport.publish([{ route: { cqrsId: 'author', queue }, body: '{}' }]);
  await promise;
  await transport.close();
  return queue;
}

function examine(queue: string, options: RabbitMQOptions = {}): Promise<QueueExamination> {
  const transport = new RabbitMQTransport({ url: broker.url, managementUrl: broker.managementUrl, ...options });
  return transport.examineQueues(queuesOf(queue));
}

const brief = ({ findings }: QueueExamination): string[] =>
  findings.map(({ severity, where, what }) => `${severity} ${where.replace(/test_\w+/, 'Q')}: ${what}`);

/** Types what a cure says. */
async function type(cure: string): Promise<void> {
  const [, ...words] = [...cure.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
  expect(cure).toMatch(/^rabbitmqctl set_policy /);
  await broker.ctl(...words);
}

// claims: policies-told
describe('policies that let the broker drop messages', () => {
  let queue: string;
  const set = (definition: object, { what = 'policies', pattern = queue } = {}) =>
    broker.manage('PUT', `${what}/%2F/all`, { pattern, definition, 'apply-to': 'queues' });
  beforeEach(async () => {
    for (const what of ['policies', 'operator-policies']) await broker.manage('DELETE', `${what}/%2F/all`);
  });

  test.each([
    ['classic', undefined, []],
    ['classic', { 'max-length': 9, overflow: 'reject-publish' }, []],
    [
      'classic',
      { 'message-ttl': 86_400_000 },
      [
        /^problem the queue Q: message-ttl is 86400000 by the policy 'all': messages leave it after 86400 s, and are lost without a word\.$/,
        /^problem the queue dead_letter_Q: .*: dead letters leave it after 86400 s, and are lost\.$/,
        /^problem the queue unreadable_Q: .*: unreadable bodies leave it after 86400 s, and are lost\.$/,
      ],
    ],
    [
      'classic',
      { 'max-length': 1_000, 'dead-letter-exchange': 'elsewhere' },
      [/^problem the queue Q: .* the oldest .* longer than 1000, .*'elsewhere'/, /dead_letter_Q/, /unreadable_Q/],
    ],
    [
      'classic',
      { expires: 500_000 },
      [
        /^problem .*Q: .*all messages in it/,
        /dead_letter_Q: .*all dead/,
        /unread/,
        /Q.*delay\.60000: .*all retries in it/,
      ],
    ],
    ['quorum', { 'delivery-limit': 3 }, [/^problem the queue dead_letter_Q: .* after 3 deliveries/, /unreadable_Q/]],
    [
      'quorum',
      { 'max-length': 5 },
      [
        /^advice the queue Q: .*though nobody has read them, and go to dead_letter_/,
        /^problem .*dead/,
        /^problem .*unr/,
      ],
    ],
  ] as const)('%s queues, %j', async (queueType, definition, expected) => {
    queue = await makeQueues(queueType);
    if (definition) await set(definition);
    const found = brief(await examine(queue));
    expect(found).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(found.toSorted(byQueue)[index]).toMatch(pattern);
  });

  test('what a finding says to type ends it', async () => {
    queue = await makeQueues('classic');
    await set({ 'message-ttl': 5_000, 'max-length': 10, overflow: 'reject-publish' }, { pattern: `^${queue}$` });
    const before = await examine(queue);
    expect(before.findings).toHaveLength(1);
    await type(before.findings[0]!.cure);
    expect(await examine(queue)).toEqual({ findings: [], notExamined: null });
  });

  test('the limits of an operator policy cannot be overruled, and are told as such', async () => {
    queue = await makeQueues('quorum');
    await set({ expires: 60_000 }, { what: 'operator-policies', pattern: `^dead_letter_${queue}$` });
    const { findings } = await examine(queue);
    expect(findings).toMatchObject([{ severity: 'problem', cure: "Take expires out of the operator policy 'all'." }]);
  });

  test('without the management API the reason is told, and nothing of the password', async () => {
    queue = await makeQueues('classic');
    for (const managementUrl of [null, 'http://127.0.0.1:1', `http://127.0.0.1:${broker.port}`]) {
      const { notExamined } = await examine(queue, {
        managementUrl,
        url: broker.url.replace('127.0.0.1', '127.0.0.2'),
      });
      expect(notExamined).toMatch(/management API .*; rabbitmqctl knows only the broker of its own machine$/);
      expect(notExamined).not.toMatch(/guest/);
    }
  });
});

function byQueue(a: string, b: string): number {
  const place = (text: string): number =>
    ['queue Q:', 'dead_letter', 'unreadable'].findIndex((one) => text.includes(one)) >>> 0;
  return place(a) - place(b);
}

// claims: policies-told
describe('cqrs doctor', () => {
  const service = new CliService('doctor');
  beforeAll(() => service.open());
  afterAll(() => service.close());

  test('tells the same by rabbitmqctl as by the management API, for people and for programs', async () => {
    const queue = await makeQueues('quorum');
    const env = { ...broker.ctlEnv, CLI_TEST_AMQP: broker.url, CLI_TEST_QUEUE: queue, CLI_TEST_QUEUE_TYPE: 'quorum' };
    const definition = { expires: 120_000, 'max-length': 3 };
    await broker.manage('PUT', 'policies/%2F/all', { pattern: queue, definition, 'apply-to': 'queues' });
    const { findings } = await examine(queue);
    expect(findings.length).toBeGreaterThanOrEqual(6);
    const typed = await service.shell('cqrs doctor --json', { ...env, CLI_TEST_MANAGEMENT: 'http://127.0.0.1:1' });
    expect(typed).toMatchObject({ code: 1, err: '' });
    const { ok, checks } = JSON.parse(typed.out) as DoctorReport;
    expect(ok).toBe(false);
    const byText = (a: { what: string; where: string }, b: typeof a): number =>
      `${a.where}${a.what}`.localeCompare(`${b.where}${b.what}`);
    expect(checks).toMatchObject([
      { name: 'set-up', state: 'ok' },
      { name: 'triggers', state: 'ok' },
      { name: 'queues', state: 'findings', findings: expect.anything() },
    ]);
    expect(checks.at(-1)!.findings.toSorted(byText)).toEqual(findings.toSorted(byText));

    await broker.manage('DELETE', 'policies/%2F/all');
    const read = await service.shell('cqrs doctor', { ...env, CLI_TEST_MANAGEMENT: broker.managementUrl });
    expect(read).toEqual({
      code: 0,
      out: expect.stringMatching(/^set-up: ok \(.*\)\ntriggers: ok \(.*\)\nqueues: ok \(.*\)\n$/),
      err: '',
    });
  });

  test('what the broker took out of the queue says so among the dead letters', async () => {
    const queue = await makeQueues('quorum');
    await broker.manage('PUT', 'policies/%2F/all', {
      pattern: `^${queue}$`,
      definition: { 'message-ttl': 1 },
      'apply-to': 'queues',
    });
    const transport = new RabbitMQTransport({ url: broker.url });
    await transport.connect({ events: new Events(), exchange: 'doctor', publishTimeoutMs: 10_000 });
    const body = saveOf(42);
    await transport.publish([{ route: { cqrsId: 'author', queue }, body }]);
    while ((await transport.inspect(`dead_letter_${queue}`))!.messages < 1);
    await broker.manage('DELETE', 'policies/%2F/all');
    await transport.close();
    const env = { CLI_TEST_AMQP: broker.url, CLI_TEST_QUEUE: queue, CLI_TEST_QUEUE_TYPE: 'quorum' };
    const { out } = await service.shell('cqrs dead-letters list && cqrs dead-letters show', env);
    expect(out.match(/message-ttl/g)).toHaveLength(2);
    expect(out).toMatch(/the broker took it out of the queue, by an argument or policy/);
  });

  test('a table that is missing is a problem; a broker that cannot be looked into is none', async () => {
    await service.sql('alter table cqrs_tombstones rename to away');
    const typed = await service.shell('cqrs doctor', { CLI_TEST_AMQP: 'amqp://guest:guest@127.0.0.2:1' });
    await service.sql('alter table away rename to cqrs_tombstones');
    expect(typed).toMatchObject({ code: 1, err: '' });
    expect(typed.out).toMatch(
      /^set-up: 1 found \(.*\)\n {2}problem: .*cqrs_tombstones.*\n {4}.*\ntriggers: ok \(.*\)\nqueues: not checked \(.*\)\n {2}.*docs\/operating\.md/,
    );
  });
});
