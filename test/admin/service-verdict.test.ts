import { describe, expect, test } from '@jest/globals';
import type { Activity } from '../../src/activity/read-activity.js';
import { type Health, healthOf } from '../../src/activity/verdict.js';
import type { Overview, Why } from '../../src/admin/contract.js';
import { decideVerdict } from '../../src/admin/overview/service-verdict.js';

type Path = Omit<Overview, 'verdict'>;

const NOW = '2026-11-25T12:00:00.000Z';
const path: Path = {
  at: NOW,
  master: { announced: 9, announcedPerSecond: 1 },
  outbox: { depth: 1, failed: 0, held: 0, oldestAgeMs: 40 },
  relay: { running: 1, published: 9, publishedPerSecond: 1, unroutable: 0, lagMs: 10 },
  broker: { reachable: true, error: null },
  queues: [{ name: 'shop', messages: 5, consumers: 1 }],
  queue: { name: 'own', messages: 0, consumers: 2 },
  deadLetters: { name: 'dead_letter_own', messages: 0, consumers: 0 },
  unreadable: { name: 'unreadable_own', messages: 0, consumers: 0 },
  replica: { workers: 2, applied: 1, appliedPerSecond: 0, skipped: 0, retried: 0, deadLettered: 0, lagMs: 5 },
};
const WELL: Health = { state: 'healthy', reasons: [] };
const NO_RELAY: Health = healthOf([
  { code: 'no-relay', severity: 'dead', where: 'relay', text: 'no relay is running', since: null },
  { code: 'backlog-old', severity: 'degraded', where: 'outbox', text: 'the oldest has waited', since: null },
]);

const places = (why: readonly Why[]): string[] => why.map(({ where }) => where);

describe('the verdict over a service', () => {
  test('all is well', () => {
    expect(decideVerdict(path, WELL, [])).toEqual({ state: 'healthy', why: [] });
  });

  test('the verdict of cqrs status is that of the page', () => {
    const { state, why } = decideVerdict(path, NO_RELAY, []);
    expect(state).toBe('dead');
    expect(why).toEqual([
      { where: 'relay', text: 'No relay is running.' },
      { where: 'outbox', text: 'The oldest has waited.' },
    ]);
  });

  test.each<[string, Partial<Path>, string, string[]]>([
    [
      'a targeted message found no queue',
      { outbox: { depth: 0, failed: 2, held: 0, oldestAgeMs: null } },
      'degraded',
      ['outbox'],
    ],
    [
      'messages wait for another service, and nobody consumes',
      { queues: [{ name: 'shop', messages: 3, consumers: 0 }] },
      'degraded',
      ['queue'],
    ],
    [
      'an empty queue may be without consumers',
      { queues: [{ name: 'shop', messages: 0, consumers: 0 }] },
      'healthy',
      [],
    ],
    [
      'a known queue is not there',
      { queues: [{ name: 'shp', messages: null, consumers: null }] },
      'degraded',
      ['queue'],
    ],
    [
      'nothing is known of queues while the broker is away',
      { broker: { reachable: false, error: 'no' }, queues: [{ name: 'shop', messages: null, consumers: null }] },
      'healthy',
      [],
    ],
    ['old dead letters wait', { deadLetters: { name: 'd', messages: 4, consumers: 0 } }, 'healthy', []],
  ])('%s', (_, change, state, where) => {
    const verdict = decideVerdict({ ...path, ...change }, WELL, []);
    expect([verdict.state, places(verdict.why)]).toEqual([state, where]);
  });

  test('messages die now', () => {
    const history = [{ at: '2026-11-25T11:55:00.000Z', deadLettered: 3 }] as unknown as Activity['history'];
    const letters = { deadLetters: { name: 'd', messages: 3, consumers: 0 } };
    expect(places(decideVerdict({ ...path, ...letters }, WELL, history).why)).toEqual(['dead-letters']);
    // put back or removed since
    expect(decideVerdict(path, WELL, history).state).toBe('healthy');
  });
});
