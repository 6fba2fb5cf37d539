import { expect, test } from '@jest/globals';
import { NO_ACTIVITY, type Activity, type Period, type ProcessActivity } from '../../src/activity/read-activity.js';
import { noEntityCounters, processSchema } from '../../src/activity/records.js';
import { decideService } from '../../src/operations/service-health.js';

const now = '2030-01-01T10:10:30.000Z';
const limits = { stuckSeconds: 300, backlogSeconds: 60, growthMessages: 1_000, unroutableSeconds: 300 };
const at = (secondsAgo: number): string => new Date(Date.parse(now) - secondsAgo * 1_000).toISOString();

const process = (id: string, more: Partial<ProcessActivity>): ProcessActivity => ({
  ...processSchema.parse({ roles: ['relay', 'worker'], host: 'web', pid: 1, startedAt: at(3_600) }),
  id,
  seenAt: at(1),
  state: 'running',
  ...more,
});
const period = (minutesAgo: number, more: Partial<Period>): Period => ({
  at: new Date(Math.floor(Date.parse(now) / 60_000) * 60_000 - minutesAgo * 60_000).toISOString(),
  announced: 0,
  published: 0,
  unroutable: 0,
  applied: 0,
  skipped: 0,
  retried: 0,
  deadLettered: 0,
  unreadable: 0,
  failed: 0,
  relayLagMs: null,
  applyLagMs: null,
  outboxDepth: null,
  queueDepth: null,
  deadLetters: null,
  ...more,
});
const well = process('one', {});
const stuck = {
  code: 'stuck',
  severity: 'dead',
  where: 'replica',
  text: 'the worker has not moved for 6 min',
  since: at(360),
} as const;

interface Scene {
  readonly outbox?: { readonly depth: number; readonly oldestAgeMs: number | null };
  readonly consumers?: number;
  readonly database?: string;
  readonly broker?: string;
  readonly activity?: Partial<Activity>;
}
function verdict({ outbox, consumers = 1, database, broker, activity }: Scene) {
  return decideService(
    {
      database: { error: database ?? null },
      broker: { error: broker ?? null },
      outbox: { depth: 0, oldestAgeMs: null, exact: true, failed: 0, held: 0, refusal: null, ...outbox },
      queues: broker === undefined ? [{ role: 'queue', name: 'shop', state: { messages: 0, consumers } }] : [],
    },
    { ...NO_ACTIVITY, enabled: true, now, processes: [well], ...activity },
    { relay: true, worker: true },
    limits,
  );
}

test.each<[string, Scene, string, string[]]>([
  ['all is well', {}, 'healthy', []],
  ['nobody runs, and nothing is to be sent', { activity: { processes: [] } }, 'healthy', []],
  [
    'nobody relays, and messages wait',
    { outbox: { depth: 3, oldestAgeMs: 61_000 }, activity: { processes: [] } },
    'dead',
    ['no-relay', 'backlog-old'],
  ],
  ['nobody consumes', { consumers: 0, activity: { processes: [] } }, 'dead', ['no-workers']],
  ['a worker runs that the broker does not know yet', { consumers: 0 }, 'healthy', []],
  ['the database is away', { database: 'refused' }, 'degraded', ['database-away']],
  ['the broker is away', { broker: 'refused' }, 'degraded', ['broker-away']],
  ['the only process is stuck', { activity: { processes: [process('one', { reasons: [stuck] })] } }, 'dead', ['stuck']],
  [
    'one of two is stuck',
    { activity: { processes: [well, process('two', { reasons: [stuck] })] } },
    'degraded',
    ['stuck'],
  ],
  [
    'one was killed a minute ago',
    { activity: { processes: [well, process('two', { state: 'lost', seenAt: at(60) })] } },
    'degraded',
    ['process-lost'],
  ],
  [
    'one was killed, and another has taken its place',
    {
      activity: {
        processes: [well, process('two', { state: 'lost', seenAt: at(60) }), process('three', { startedAt: at(55) })],
      },
    },
    'healthy',
    [],
  ],
  [
    'one was killed, and its neighbour only goes on',
    {
      activity: {
        processes: [
          process('one', { startedAt: at(90) }),
          process('two', { state: 'lost', seenAt: at(60), startedAt: at(100) }),
        ],
      },
    },
    'degraded',
    ['process-lost'],
  ],
  [
    'one was killed yesterday',
    { activity: { processes: [well, process('two', { state: 'lost', seenAt: at(80_000) })] } },
    'healthy',
    [],
  ],
  [
    'what is applied is old',
    { activity: { history: [period(0, { applyLagMs: 90_000 })] } },
    'degraded',
    ['backlog-old'],
  ],
  ['it was old an hour ago', { activity: { history: [period(60, { applyLagMs: 90_000 })] } }, 'healthy', []],
  [
    'the queue grows',
    { activity: { history: [5, 4, 3, 2, 1, 0].map((ago) => period(ago, { queueDepth: (6 - ago) * 1_000 })) } },
    'degraded',
    ['backlog-growing'],
  ],
  [
    'changes found no queue, by a relay that has ended since',
    { activity: { entities: { account: { ...noEntityCounters(), unroutable: 127, lastUnroutableAt: at(120) } } } },
    'degraded',
    ['unroutable'],
  ],
  [
    'they did so half an hour ago',
    { activity: { entities: { account: { ...noEntityCounters(), unroutable: 127, lastUnroutableAt: at(1_800) } } } },
    'healthy',
    [],
  ],
])('%s', (_, scene, state, codes) => {
  const health = verdict(scene);
  expect(health.state).toBe(state);
  expect(health.reasons.map(({ code }) => code)).toEqual(codes);
});

test('what several processes say is said once', () => {
  const away = {
    code: 'broker-away',
    severity: 'degraded',
    where: 'broker',
    text: 'the broker cannot be reached',
    since: at(10),
  } as const;
  const processes = ['one', 'two', 'three'].map((id, index) =>
    process(id, { reasons: [{ ...away, since: at(10 + index) }] }),
  );
  expect(verdict({ activity: { processes } }).reasons).toEqual([
    { ...away, since: at(12), text: 'the broker cannot be reached (3 processes)' },
  ]);
});
