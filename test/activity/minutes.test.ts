import { expect, test } from '@jest/globals';
import { Minutes } from '../../src/activity/minutes.js';
import type { MinuteRecord } from '../../src/activity/records.js';
import { Tally } from '../../src/activity/tally.js';
import { Events } from '../../src/kernel/events.js';

const message = { queue: 'shop', cqrsId: 'account', signalType: 'SAVE', instancePk: '7', retries: 0 } as const;
const applied = {
  ...message,
  action: 'create',
  version: { incarnation: 1, revision: 0, updated: 0 },
  lagMs: 5,
} as const;

function stage() {
  const events = new Events();
  const tally = new Tally(events, (cqrsId) => cqrsId === 'account');
  const clock = { now: new Date('2030-01-01T10:00:30Z') };
  const minutes = new Minutes(tally, () => clock.now);
  const rows = () => minutes.rows('p').map(({ name, data }) => [name, data as MinuteRecord] as const);
  return { events, tally, clock, minutes, rows };
}

test('what was counted since the last look goes to the present minute, lags as the greatest', () => {
  const { events, clock, minutes, rows } = stage();
  events.emit('cqrs.relay.published', { count: 5, lagMs: 40, durationMs: 1 });
  minutes.take();
  events.emit('cqrs.relay.published', { count: 2, lagMs: 10, durationMs: 1 });
  minutes.take();
  clock.now = new Date('2030-01-01T10:01:00Z');
  events.emit('cqrs.relay.published', { count: 1, lagMs: 7, durationMs: 1 });
  minutes.take();
  expect(rows().map(([name, { published, relayLagMs }]) => [name, published, relayLagMs])).toEqual([
    ['2030-01-01T10:00:00Z/p', 7, 40],
    ['2030-01-01T10:01:00Z/p', 1, 7],
  ]);
});

test('an idle minute is no row, and a row that is stored is not written again', () => {
  const { events, minutes, rows } = stage();
  minutes.take();
  expect(rows()).toEqual([]);
  events.emit('cqrs.inbox.unreadable', { queue: 'shop', reason: 'no JSON', bytes: 3 });
  minutes.take();
  expect(rows()).toHaveLength(1);
  minutes.written();
  minutes.take();
  expect(rows()).toEqual([]);
  events.emit('cqrs.inbox.unreadable', { queue: 'shop', reason: 'no JSON', bytes: 3 });
  minutes.take();
  expect(rows()[0]![1].unreadable).toBe(2);
});

test('entities are counted by what this service declares, whatever ids messages bring', () => {
  const { events, tally, minutes, rows } = stage();
  events.emit('cqrs.inbox.applied', applied);
  events.emit('cqrs.inbox.skipped', { ...message, reason: 'stale' });
  for (let index = 0; index < 1_000; index++) {
    events.emit('cqrs.inbox.dead-lettered', { ...message, cqrsId: `nonsense ${index}`, reason: `because ${index}` });
  }
  minutes.take();
  const [[, minute]] = rows() as [readonly [string, MinuteRecord]];
  expect(minute).toMatchObject({ applied: 1, skipped: 1, deadLettered: 1_000 });
  expect(Object.keys(minute.entities)).toEqual(['account']);
  expect(minute.entities['account']).toMatchObject({ applied: 1, skipped: 1, deadLettered: 0 });
  expect(minute.entities['account']!.lastAppliedAt).not.toBeNull();
  expect(Object.keys(tally.totals.deadLettered).length).toBeLessThanOrEqual(51);
  expect(Object.values(tally.totals.deadLettered).reduce((sum, times) => sum + times)).toBe(1_000);
});

test('while nothing can be written an hour is kept, no more', () => {
  const { events, clock, minutes, rows } = stage();
  for (let minute = 0; minute < 100; minute++) {
    clock.now = new Date(Date.UTC(2030, 0, 1, 0, minute));
    events.emit('cqrs.relay.published', { count: 1, lagMs: 1, durationMs: 1 });
    minutes.take();
  }
  expect(rows()).toHaveLength(60);
  expect(rows()[0]![0]).toBe('2030-01-01T00:40:00Z/p');
});
