import '../kernel/supported-node.js';
import { Counter, Gauge, Histogram, register as defaultRegister, type Registry } from 'prom-client';
import type { CqrsEventName, CqrsEvents, Events } from '../kernel/events.js';
import { METRICS, type MetricDescription } from './metric-list.js';

/** What is measured: a `Cqrs`. */
export interface Measured {
  readonly events: Events;
  declares(cqrsId: string): boolean;
  health(): { readonly state: string; readonly reasons: readonly { readonly code: string }[] };
  depths():
    | {
        readonly outboxDepth: number | null;
        readonly outboxOldestMs: number | null;
        readonly outboxFailed: number | null;
        readonly outboxHeld: { readonly held: number } | null;
        readonly queueDepth: number | null;
        readonly deadLetters: number | null;
      }
    | undefined;
}

export interface MetricsOptions {
  /** Default: prom-client's own. Two `Cqrs` in one process need one each. */
  readonly register?: Registry;
}

const STATES: Readonly<Record<string, number>> = { healthy: 0, degraded: 1, dead: 2 };
/** A reason that user code makes up as it goes must not make series without end. */
const MOST_REASONS = 50;

/**
 * Keeps metrics for Prometheus about one `Cqrs`, from its events; depths are those that were last looked at, at most every
 * 15 seconds, so that a scrape asks nobody. The answer ends it and takes the metrics out of the register.
 */
export function registerMetrics(cqrs: Measured, { register = defaultRegister }: MetricsOptions = {}): Disposable {
  const names: string[] = [];
  const common = ({
    name,
    help,
    labels,
  }: MetricDescription): {
    name: string;
    help: string;
    labelNames: string[];
    registers: Registry[];
  } => {
    names.push(name);
    return { name, help, labelNames: [...labels], registers: [register] };
  };
  const counter = (description: MetricDescription): Counter => new Counter(common(description));
  const histogram = (description: MetricDescription): Histogram =>
    new Histogram({ ...common(description), buckets: [...(description.buckets ?? [])] });
  const gauge = (description: MetricDescription, read: (gauge: Gauge) => void): Gauge =>
    new Gauge({
      ...common(description),
      aggregator: 'max',
      collect() {
        read(this);
      },
    });
  const off: (() => void)[] = [];
  const on = <N extends CqrsEventName>(name: N, listener: (fields: CqrsEvents[N]) => void): void => {
    off.push(cqrs.events.on(name, listener));
  };
  const idOf = (cqrsId: string): string => (cqrs.declares(cqrsId) ? cqrsId : 'unknown');
  const reasons = new Set<string>();
  const reasonOf = (reason: string): string =>
    reasons.has(reason) || (reasons.size < MOST_REASONS && reasons.add(reason)) ? reason : 'others';

  const announced = counter(METRICS.announced);
  on('cqrs.master.announced', ({ counts }) => {
    for (const [cqrsId, count] of Object.entries(counts)) announced.inc({ cqrs_id: cqrsId }, count);
  });

  const published = counter(METRICS.published);
  const relayLag = histogram(METRICS.relayLag);
  const relayBatch = histogram(METRICS.relayBatch);
  const relayDuration = histogram(METRICS.relayDuration);
  on('cqrs.relay.published', ({ count, lagMs, durationMs }) => {
    published.inc(count);
    relayLag.observe(lagMs / 1_000);
    relayBatch.observe(count);
    relayDuration.observe(durationMs / 1_000);
  });
  const unroutable = counter(METRICS.unroutable);
  on('cqrs.relay.unroutable', ({ cqrsId }) => unroutable.inc({ cqrs_id: idOf(cqrsId) }));
  const refused = counter(METRICS.refused);
  on('cqrs.relay.refused', ({ cqrsId, passing }) => refused.inc({ cqrs_id: idOf(cqrsId), passing: String(passing) }));
  const relayFailures = counter(METRICS.relayFailures);
  on('cqrs.relay.failed', () => relayFailures.inc());

  const applied = counter(METRICS.applied);
  const inboxLag = histogram(METRICS.inboxLag);
  // Their children are kept: to find one by its labels costs more than all the rest of a message.
  const appliedBy = new Map<string, Counter.Internal>();
  const lagBy = new Map<string, Histogram.Internal<string>>();
  on('cqrs.inbox.applied', ({ cqrsId, action, lagMs }) => {
    const key = `${action} ${cqrsId}`;
    let child = appliedBy.get(key);
    if (!child) appliedBy.set(key, (child = applied.labels({ cqrs_id: idOf(cqrsId), action })));
    child.inc();
    if (lagMs === null) return;
    let lag = lagBy.get(cqrsId);
    if (!lag) lagBy.set(cqrsId, (lag = inboxLag.labels({ cqrs_id: idOf(cqrsId) })));
    lag.observe(lagMs / 1_000);
  });
  for (const [event, description] of [
    ['cqrs.inbox.skipped', METRICS.skipped],
    ['cqrs.inbox.retried', METRICS.retried],
    ['cqrs.inbox.dead-lettered', METRICS.deadLettered],
  ] as const) {
    const messages = counter(description);
    on(event, ({ cqrsId, reason }) => messages.inc({ cqrs_id: idOf(cqrsId), reason: reasonOf(reason) }));
  }
  const lossyColumns = counter(METRICS.lossyColumns);
  on('cqrs.replica.lossy-value', ({ cqrsId }) => lossyColumns.inc({ cqrs_id: idOf(cqrsId) }));
  const gaps = counter(METRICS.gaps);
  on('cqrs.inbox.gap', ({ cqrsIds, missing }) => {
    for (const id of cqrsIds) gaps.inc({ cqrs_id: idOf(id), missing });
  });
  const unreadable = counter(METRICS.unreadable);
  on('cqrs.inbox.unreadable', () => unreadable.inc());
  const inboxFailures = counter(METRICS.inboxFailures);
  on('cqrs.inbox.failed', () => inboxFailures.inc());
  const inboxBatch = histogram(METRICS.inboxBatch);
  const inboxDuration = histogram(METRICS.inboxDuration);
  on('cqrs.inbox.batch-applied', ({ count, durationMs }) => {
    inboxBatch.observe(count);
    inboxDuration.observe(durationMs / 1_000);
  });

  const set = (one: Gauge, value: number | null | undefined): void =>
    value === null || value === undefined ? one.remove() : one.set(value);
  gauge(METRICS.outboxDepth, (one) => set(one, cqrs.depths()?.outboxDepth));
  gauge(METRICS.outboxFailed, (one) => set(one, cqrs.depths()?.outboxFailed));
  gauge(METRICS.outboxHeld, (one) => set(one, cqrs.depths()?.outboxHeld?.held));
  gauge(METRICS.outboxOldest, (one) => {
    const depths = cqrs.depths();
    set(one, depths?.outboxDepth === 0 ? 0 : depths?.outboxOldestMs && depths.outboxOldestMs / 1_000);
  });
  gauge(METRICS.queueDepth, (one) => set(one, cqrs.depths()?.queueDepth));
  gauge(METRICS.deadLetters, (one) => set(one, cqrs.depths()?.deadLetters));
  let expiring = 0;
  on('cqrs.inbox.dead-letters-expiring', ({ count }) => (expiring = count));
  gauge(METRICS.expiring, (one) => one.set(Math.min(expiring, cqrs.depths()?.deadLetters ?? expiring)));
  gauge(METRICS.health, (one) => one.set(STATES[cqrs.health().state] ?? 2));
  gauge(METRICS.healthReason, (one) => {
    one.reset();
    for (const { code } of cqrs.health().reasons) one.set({ code }, 1);
  });

  return {
    [Symbol.dispose]() {
      for (const end of off) end();
      for (const name of names) register.removeSingleMetric(name);
    },
  };
}
