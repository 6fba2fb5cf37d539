import { describe, expect, test } from '@jest/globals';
import type { Activity } from '../../src/activity/read-activity.js';
import type { Overview, Why } from '../../src/admin/contract.js';
import { decideVerdict } from '../../src/admin/service-verdict.js';

type Path = Omit<Overview, 'verdict'>;

const NOW = '2026-11-25T12:00:00.000Z';
const path: Path = {
  at: NOW,
  master: { announced: 9, announcedPerSecond: 1 },
  outbox: { depth: 1, failed: 0, oldestAgeMs: 40 },
  relay: { running: 1, published: 9, publishedPerSecond: 1, unroutable: 0, lagMs: 10 },
  broker: { reachable: true, error: null },
  queues: [{ name: 'shop', messages: 5, consumers: 1 }],
  queue: { name: 'own', messages: 0, consumers: 2 },
  deadLetters: { name: 'dead_letter_own', messages: 0, consumers: 0 },
  unreadable: { name: 'unreadable_own', messages: 0, consumers: 0 },
  replica: { workers: 2, applied: 1, appliedPerSecond: 0, skipped: 0, retried: 0, deadLettered: 0, lagMs: 5 },
};
const activity: Pick<Activity, 'enabled' | 'processes' | 'history' | 'now'> = {
  enabled: true,
  processes: [],
  history: [],
  now: NOW,
};

const places = (why: readonly Why[]): string[] => why.map(({ where }) => where);

describe('the verdict over a service', () => {
  test('all is well', () => {
    expect(decideVerdict(path, activity)).toEqual({ state: 'healthy', why: [] });
  });

  test.each<[string, Partial<Path>, string, string[]]>([
    [
      'the broker is away',
      { broker: { reachable: false, error: 'refused' }, queues: [{ name: 'shop', messages: null, consumers: null }] },
      'degraded',
      ['broker'],
    ],
    [
      'changes wait for long, and a relay runs',
      { outbox: { depth: 7, failed: 0, oldestAgeMs: 90_000 } },
      'degraded',
      ['outbox'],
    ],
    [
      'changes wait for long, and none runs',
      { outbox: { depth: 7, failed: 0, oldestAgeMs: 90_000 }, relay: { ...path.relay!, running: 0 } },
      'dead',
      ['relay', 'outbox'],
    ],
    [
      'nothing waits, so that no relay is missed',
      { outbox: { depth: 0, failed: 0, oldestAgeMs: null }, relay: { ...path.relay!, running: 0 } },
      'healthy',
      [],
    ],
    [
      'a targeted message found no queue',
      { outbox: { depth: 0, failed: 2, oldestAgeMs: null } },
      'degraded',
      ['outbox'],
    ],
    ['messages wait and nobody consumes', { queue: { name: 'own', messages: 3, consumers: 0 } }, 'degraded', ['queue']],
    ['an empty queue may be without consumers', { queue: { name: 'own', messages: 0, consumers: 0 } }, 'healthy', []],
    [
      'a known queue is not there',
      { queues: [{ name: 'shp', messages: null, consumers: null }] },
      'degraded',
      ['queue'],
    ],
    ['old dead letters wait', { deadLetters: { name: 'd', messages: 4, consumers: 0 } }, 'healthy', []],
  ])('%s', (_, change, state, where) => {
    const verdict = decideVerdict({ ...path, ...change }, activity);
    expect([verdict.state, places(verdict.why)]).toEqual([state, where]);
  });

  test('messages die now', () => {
    const history = [{ at: '2026-11-25T11:55:00.000Z', deadLettered: 3 }] as unknown as Activity['history'];
    const letters = { deadLetters: { name: 'd', messages: 3, consumers: 0 } };
    expect(places(decideVerdict({ ...path, ...letters }, { ...activity, history }).why)).toEqual(['dead-letters']);
    // put back or removed since
    expect(decideVerdict(path, { ...activity, history }).state).toBe('healthy');
  });
});
