import { expect, test } from '@jest/globals';
import { decide, isGrowing, NO_BACKLOG, type Backlog, type Signs } from '../../src/activity/verdict.js';

const limits = { stuckSeconds: 300, backlogSeconds: 60, growthMessages: 1_000, unroutableSeconds: 300 };
const since = '2030-01-01T10:00:00.000Z';
const well = {
  brokerAwaySince: null,
  databaseAwaySince: null,
  blockedSince: null,
  blockedReason: null,
  publishRefusedSince: null,
  publishRefusedReason: null,
  keysHeldSince: null,
  keysHeldBy: null,
  clockBackSince: null,
  clockBackBy: null,
};
const signs = (more: Partial<Signs>): Signs => ({
  missing: [],
  busy: [],
  conditions: well,
  backlog: NO_BACKLOG,
  ...more,
});
const backlog = (more: Partial<Backlog>): Partial<Signs> => ({ backlog: { ...NO_BACKLOG, ...more } });
const growth = [10, 500, 900, 1_200, 2_000, 5_000];

test.each<[string, Partial<Signs>, string, readonly string[]]>([
  ['nothing', {}, 'healthy', []],
  ['a batch that takes a while', { busy: [{ name: 'worker', busyMs: 299_000, since }] }, 'healthy', []],
  ['a batch that does not end', { busy: [{ name: 'worker', busyMs: 301_000, since }] }, 'dead', ['stuck']],
  ['a part that is not there yet', { missing: ['worker'] }, 'degraded', ['not-started']],
  ['the broker away', { conditions: { ...well, brokerAwaySince: since } }, 'degraded', ['broker-away']],
  ['the database away', { conditions: { ...well, databaseAwaySince: since } }, 'degraded', ['database-away']],
  [
    'publishers held back',
    { conditions: { ...well, blockedSince: since, blockedReason: 'memory' } },
    'degraded',
    ['blocked'],
  ],
  [
    'a broker that refuses all that is published',
    { conditions: { ...well, publishRefusedSince: since, publishRefusedReason: 'ACCESS_REFUSED' } },
    'degraded',
    ['publish-refused'],
  ],
  [
    'keys that another worker holds',
    { conditions: { ...well, keysHeldSince: since, keysHeldBy: 'PostgreSQL process 7' } },
    'degraded',
    ['keys-held'],
  ],
  [
    'a clock that has gone back',
    { conditions: { ...well, clockBackSince: since, clockBackBy: '60 s' } },
    'degraded',
    ['clock-back'],
  ],
  [
    'messages that the broker refuses',
    backlog({ held: { held: 2, refusal: { cqrsId: 'account', reason: 'too long', since } } }),
    'degraded',
    ['publish-refused'],
  ],
  ['no messages held', backlog({ held: { held: 0, refusal: null } }), 'healthy', []],
  [
    'changes that lately found no queue',
    backlog({ unroutable: [{ cqrsId: 'account', count: 127, agoMs: 299_000 }] }),
    'degraded',
    ['unroutable'],
  ],
  [
    'changes that once did',
    backlog({ unroutable: [{ cqrsId: 'account', count: 127, agoMs: 300_000 }] }),
    'healthy',
    [],
  ],
  ['an outbox that waits', backlog({ outboxOldestMs: 61_000 }), 'degraded', ['backlog-old']],
  ['an outbox that is young', backlog({ outboxOldestMs: 59_000 }), 'healthy', []],
  ['old changes applied', backlog({ applyLagMs: 61_000 }), 'degraded', ['backlog-old']],
  ['an outbox that grows', backlog({ outboxDepths: growth }), 'degraded', ['backlog-growing']],
  ['a queue that grows', backlog({ queueDepths: growth }), 'degraded', ['backlog-growing']],
  [
    'a loop that is stuck while the broker is away',
    { busy: [{ name: 'relay', busyMs: 400_000, since }], conditions: { ...well, brokerAwaySince: since } },
    'dead',
    ['stuck', 'broker-away'],
  ],
])('%s', (_, more, state, codes) => {
  const health = decide(signs(more), limits);
  expect(health.state).toBe(state);
  expect(health.reasons.map(({ code }) => code)).toEqual(codes);
});

test.each<[readonly (number | null)[], boolean]>([
  [growth, true],
  [[0, ...growth], true],
  [[10, 500, 900, 900, 2_000, 5_000], false],
  [[10, 20, 30, 40, 50, 60], false],
  [[500, 900, 1_200, 2_000, 5_000], false],
  [[10, null, 900, 1_200, 2_000, 5_000], false],
  [[], false],
])('%j grows: %s', (depths, grows) => {
  expect(isGrowing(depths, 1_000)).toBe(grows);
});

test('a master that may be without replicas says nothing of it', () => {
  const nowhere = backlog({ unroutable: [{ cqrsId: 'account', count: 127, agoMs: 0 }] });
  expect(decide(signs(nowhere), { ...limits, unroutableSeconds: 0 }).reasons).toEqual([]);
});

test('of many entities whose changes find no queue some are named', () => {
  const unroutable = Array.from({ length: 40 }, (_, index) => ({ cqrsId: `entity${index}`, count: 2, agoMs: 1_000 }));
  const { reasons } = decide(signs(backlog({ unroutable })), limits);
  expect(reasons[0]!.text).toContain('entity0 (2), entity1 (2), entity2 (2), entity3 (2), entity4 (2), 35 others');
});

test('reasons say since when, and what', () => {
  const { reasons } = decide(signs({ busy: [{ name: 'relay', busyMs: 600_000, since }] }), limits);
  expect(reasons).toEqual([
    { code: 'stuck', severity: 'dead', where: 'relay', text: 'the relay has not moved for 10 min', since },
  ]);
});
