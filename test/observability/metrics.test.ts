import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { Events } from '../../src/kernel/events.js';
import { METRICS } from '../../src/observability/metric-list.js';
import { registerMetrics } from '../../src/observability/metrics.js';
import { mergeScrapes } from '../../src/observability/scrape.js';

const message = { queue: 'shop', cqrsId: 'account', signalType: 'SAVE', instancePk: '7', retries: 0 } as const;
const version = { incarnation: 1, revision: 0, updated: 0 };

function stage() {
  const events = new Events();
  const register = new Registry();
  const metrics = registerMetrics(
    {
      events,
      declares: (cqrsId) => cqrsId === 'account',
      health: () => ({ state: 'degraded', reasons: [{ code: 'broker-away' }] }),
      depths: () => ({
        outboxDepth: 12,
        outboxOldestMs: 2_500,
        outboxFailed: 0,
        outboxHeld: { held: 5 },
        queueDepth: 34,
        deadLetters: null,
      }),
    },
    { register },
  );
  const lines = async () => (await register.metrics()).split('\n').filter((line) => line && !line.startsWith('#'));
  return { events, register, metrics, lines };
}

test('what happens is counted under the names of the list', async () => {
  const { events, lines } = stage();
  events.emit('cqrs.master.announced', { count: 3, cqrsIds: ['account'], counts: { account: 3 } });
  events.emit('cqrs.relay.published', { count: 3, lagMs: 40, durationMs: 12 });
  events.emit('cqrs.inbox.applied', { ...message, action: 'create', version, lagMs: 200 });
  events.emit('cqrs.inbox.skipped', { ...message, reason: 'stale' });
  events.emit('cqrs.inbox.dead-lettered', { ...message, reason: 'mapping' });
  events.emit('cqrs.inbox.gap', { queue: 'shop', missing: 'binding', cqrsIds: ['account'] });
  events.emit('cqrs.inbox.batch-applied', { queue: 'shop', count: 2, applied: 1, durationMs: 30, lagMs: 200 });
  expect(await lines()).toEqual(
    expect.arrayContaining([
      'cqrs_master_announced_messages_total{cqrs_id="account"} 3',
      'cqrs_relay_published_messages_total 3',
      'cqrs_relay_lag_seconds_sum 0.04',
      'cqrs_relay_batch_duration_seconds_sum 0.012',
      'cqrs_inbox_applied_messages_total{cqrs_id="account",action="create"} 1',
      'cqrs_inbox_lag_seconds_bucket{le="0.1",cqrs_id="account"} 0',
      'cqrs_inbox_lag_seconds_bucket{le="0.25",cqrs_id="account"} 1',
      'cqrs_inbox_skipped_messages_total{cqrs_id="account",reason="stale"} 1',
      'cqrs_inbox_dead_lettered_messages_total{cqrs_id="account",reason="mapping"} 1',
      'cqrs_inbox_gaps_total{cqrs_id="account",missing="binding"} 1',
      'cqrs_inbox_batch_duration_seconds_sum 0.03',
      'cqrs_outbox_messages 12',
      'cqrs_outbox_held_messages 5',
      'cqrs_outbox_oldest_message_age_seconds 2.5',
      'cqrs_inbox_queue_messages 34',
      'cqrs_health_state 1',
      'cqrs_health_reason{code="broker-away"} 1',
    ]),
  );
  // What nobody has looked at is not said to be nothing.
  expect((await lines()).filter((line) => line.startsWith('cqrs_inbox_dead_letters '))).toEqual([]);
});

test('every metric of the list is kept, and no other, with its labels', () => {
  const { register } = stage();
  const kept = register.getMetricsAsArray().map((metric) => {
    const { name, help, labelNames } = metric as unknown as { name: string; help: string; labelNames: string[] };
    return { name, help, labels: labelNames };
  });
  const listed = Object.values(METRICS).map(({ name, help, labels }) => ({ name, help, labels: [...labels] }));
  const byName = (one: { name: string }, other: { name: string }) => one.name.localeCompare(other.name);
  expect(kept.toSorted(byName)).toEqual(listed.toSorted(byName));
});

test('names follow the conventions of Prometheus', () => {
  for (const { name, kind } of Object.values(METRICS)) {
    expect(name).toMatch(/^cqrs_[a-z]+(_[a-z]+)+$/);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
  }
});

test('a sender of nonsense makes no series without end', async () => {
  const { events, lines } = stage();
  for (let index = 0; index < 500; index++) {
    events.emit('cqrs.inbox.dead-lettered', { ...message, cqrsId: `nonsense-${index}`, reason: `reason-${index}` });
    events.emit('cqrs.inbox.applied', { ...message, cqrsId: `nonsense-${index}`, action: 'create', version, lagMs: 1 });
  }
  const all = await lines();
  expect(all.filter((line) => line.startsWith('cqrs_inbox_dead_lettered')).length).toBeLessThanOrEqual(51);
  expect(all.filter((line) => line.startsWith('cqrs_inbox_applied'))).toEqual([
    'cqrs_inbox_applied_messages_total{cqrs_id="unknown",action="create"} 500',
  ]);
});

test('several workers are scraped as one: counters add up, of depths the greatest counts', async () => {
  const one = stage();
  const other = stage();
  one.events.emit('cqrs.relay.published', { count: 3, lagMs: 40, durationMs: 12 });
  other.events.emit('cqrs.relay.published', { count: 4, lagMs: 40, durationMs: 12 });
  const text = await mergeScrapes([await one.register.getMetricsAsJSON(), await other.register.getMetricsAsJSON()]);
  expect(text).toMatch(/^cqrs_relay_published_messages_total 7$/m);
  expect(text).toMatch(/^cqrs_inbox_queue_messages 34$/m);
});

test('ended it leaves the register as it was', async () => {
  const { events, register, metrics } = stage();
  metrics[Symbol.dispose]();
  events.emit('cqrs.relay.failed', { error: new Error('away'), retryInMs: 1 });
  expect(register.getMetricsAsArray()).toEqual([]);
});
