import { expect, test } from '@jest/globals';
import { Circumstances } from '../../src/activity/circumstances.js';
import { TransportError } from '../../src/kernel/errors.js';
import { Events } from '../../src/kernel/events.js';

const broker = 'amqp://host:5672/';
const lost = new Error('socket closed');
const unreachable = new TransportError('cannot be reached');

function stage() {
  const events = new Events();
  const circumstances = new Circumstances(events);
  const away = () => {
    const { brokerAwaySince, databaseAwaySince, blockedSince } = circumstances.conditions;
    return [brokerAwaySince !== null, databaseAwaySince !== null, blockedSince !== null];
  };
  return { events, circumstances, away };
}

test('a transport of two connections is back when both are', () => {
  const { events, away } = stage();
  events.emit('cqrs.transport.disconnected', { broker, error: lost });
  events.emit('cqrs.transport.disconnected', { broker, error: lost });
  events.emit('cqrs.transport.connected', { broker });
  expect(away()).toEqual([true, false, false]);
  events.emit('cqrs.transport.connected', { broker });
  expect(away()).toEqual([false, false, false]);
});

test('a goodbye of ours is no loss', () => {
  const { events, away } = stage();
  events.emit('cqrs.transport.disconnected', { broker });
  expect(away()).toEqual([false, false, false]);
});

test('what fails is away until it works again, whichever of the two it was', () => {
  const { events, away } = stage();
  events.emit('cqrs.relay.failed', { error: unreachable, retryInMs: 1 });
  events.emit('cqrs.inbox.failed', { queue: 'shop', error: lost, retryInMs: 1 });
  expect(away()).toEqual([true, true, false]);
  events.emit('cqrs.inbox.recovered', { queue: 'shop', failures: 1 });
  expect(away()).toEqual([true, false, false]);
  events.emit('cqrs.relay.recovered', { failures: 1 });
  expect(away()).toEqual([false, false, false]);
});

test('since when is the first failure of the run, not the latest', () => {
  const { events, circumstances } = stage();
  events.emit('cqrs.relay.failed', { error: unreachable, retryInMs: 1 });
  const { brokerAwaySince } = circumstances.conditions;
  events.emit('cqrs.relay.failed', { error: unreachable, retryInMs: 1 });
  expect(circumstances.conditions.brokerAwaySince).toBe(brokerAwaySince);
});

test('publishers held back, until let go or connected anew', () => {
  const { events, away } = stage();
  for (const over of ['cqrs.transport.unblocked', 'cqrs.transport.connected'] as const) {
    events.emit('cqrs.transport.blocked', { broker, reason: 'low on memory' });
    expect(away()).toEqual([false, false, true]);
    events.emit(over, { broker });
    expect(away()).toEqual([false, false, false]);
  }
});

test('the last error quotes no row', () => {
  const { events, circumstances } = stage();
  const error = Object.assign(new Error('Key (email)=(ada@example.org) already exists'), {
    code: '23505',
    severity: 'ERROR',
  });
  events.emit('cqrs.inbox.failed', { queue: 'shop', error, retryInMs: 1 });
  expect(circumstances.lastError!.text).toBe('Error [SQLSTATE 23505]');
});

test('keys that another worker holds are told with their holder', () => {
  const { events, circumstances, away } = stage();
  const holder = { pid: 7, application: 'shop', address: '10.0.0.7', state: 'idle in transaction', seconds: 9 };
  events.emit('cqrs.replica.keys-held', { queue: 'shop', count: 3, waitMs: 5_000, holders: [holder] });
  expect(circumstances.conditions).toMatchObject({
    keysHeldSince: expect.any(String),
    keysHeldBy: 'PostgreSQL process 7 (shop at 10.0.0.7)',
  });
  expect(away()).toEqual([false, false, false]);
});

test('a clock that has gone back is told until it is where it was', async () => {
  const { events, circumstances } = stage();
  events.emit('cqrs.relay.clock-back', { behindMs: 60_000 });
  expect(circumstances.conditions).toMatchObject({ clockBackSince: expect.any(String), clockBackBy: '60 s' });
  events.emit('cqrs.relay.clock-back', { behindMs: 0 });
  expect(circumstances.conditions.clockBackSince).toBeNull();
});
