import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Circumstances } from '../../../src/activity/circumstances.js';
import { Events } from '../../../src/kernel/events.js';
import { RabbitMQTransport } from '../../../src/brokers/rabbitmq/index.js';
import { OwnRabbitMQ } from '../../faults/servers/own-rabbitmq.js';
import { numbers, saveOf, ScriptedHandler, Stage } from './harness.js';

let broker: OwnRabbitMQ;
beforeAll(async () => {
  broker = await OwnRabbitMQ.create();
  await broker.ctl('add_user', 'reader', 'secret');
  await broker.ctl('set_permissions', 'reader', '.*', '.*', '.*');
}, 120_000);
afterAll(() => broker?.[Symbol.asyncDispose]());

let stage: Stage;
beforeEach(() => {
  const url = broker.url.replace('guest:guest', 'reader:secret');
  stage = new Stage({ name: 'own', make: () => ({ join: () => new RabbitMQTransport({ url }) }) });
});
afterEach(() => stage[Symbol.asyncDispose]());

/** Rows whose messages can never work. */
const BAD = numbers(5);
const handler = (): ScriptedHandler => {
  const scripted = new ScriptedHandler();
  scripted.script = ({ payload }) =>
    BAD.includes(Number(payload.instancePk))
      ? { kind: 'dead-letter', reason: 'bad', error: new Error('bad') }
      : undefined;
  return scripted;
};

const FULL = '{"max-length":1,"overflow":"reject-publish"}';

describe.each([
  {
    what: 'a full queue of dead letters',
    refuse: () => broker.ctl('set_policy', '--apply-to', 'queues', 'full', '^dead_letter_', FULL),
    allow: () => broker.ctl('clear_policy', 'full'),
    taken: 1,
  },
  {
    what: 'a queue of dead letters that may not be written',
    refuse: () => broker.ctl('set_topic_permissions', 'reader', stage.exchange, '^(?!cqrs\\.dead_letter_).*', '.*'),
    allow: () => broker.ctl('clear_topic_permissions', 'reader', stage.exchange),
    taken: 0,
  },
])('$what', ({ refuse, allow, taken }) => {
  // claims: poison-isolated, refusal-isolated
  test('holds up its own messages alone, and is named; what waits for it is kept and comes', async () => {
    await refuse();
    await using worker = await stage.work({ handler: handler(), replica: { batchSize: 4 } });
    await stage.send(...numbers(20).map((id) => saveOf(id)));
    await worker.log.until('cqrs.inbox.applied', 15);
    const refused = await worker.log.until('cqrs.inbox.end-refused', BAD.length - taken);
    for (const { error, cqrsId } of refused) {
      expect(error.message).toMatch(new RegExp(`the queue 'dead_letter_${stage.queue}' takes no message: `));
      expect(cqrsId).toBe('account');
    }
    expect(worker.log.of('cqrs.inbox.failed')).toEqual([]);
    await stage.send(...numbers(20).map((id) => saveOf(id + 100)));
    await worker.log.until('cqrs.inbox.applied', 35);
    await allow();
    await worker.log.until('cqrs.inbox.dead-lettered', BAD.length);
    expect(
      worker.log
        .of('cqrs.inbox.dead-lettered')
        .map(({ instancePk }) => instancePk)
        .toSorted(),
    ).toEqual(BAD.map(String));
  });
});

test('so does a full queue of unreadable bodies', async () => {
  await broker.ctl('set_policy', '--apply-to', 'queues', 'full', '^unreadable_', FULL);
  await using worker = await stage.work();
  await stage.send('no json 1', 'no json 2', 'no json 3', saveOf(1));
  await worker.log.until('cqrs.inbox.applied', 1);
  const [refused] = await worker.log.until('cqrs.inbox.end-refused', 2);
  expect(refused!.error.message).toContain(`the queue 'unreadable_${stage.queue}' takes no message`);
  await broker.ctl('clear_policy', 'full');
  await worker.log.until('cqrs.inbox.unreadable', 3);
});

test('a worker whose dead letters are refused is degraded as long as that goes on, and says why', () => {
  const events = new Events();
  const circumstances = new Circumstances(events);
  const error = new Error("the queue 'dead_letter_shop' takes no message");
  events.emit('cqrs.inbox.end-refused', { queue: 'shop', cqrsId: 'account', error, retryInMs: 1_000 });
  expect(circumstances.conditions).toMatchObject({
    brokerAwaySince: null,
    publishRefusedSince: expect.any(String),
    publishRefusedReason: expect.stringContaining("'dead_letter_shop'"),
  });
  events.emit('cqrs.inbox.end-refused', { queue: 'shop', cqrsId: 'account', error, retryInMs: -10_000 });
  expect(circumstances.conditions.publishRefusedSince).toBeNull();
  circumstances.close();
});
