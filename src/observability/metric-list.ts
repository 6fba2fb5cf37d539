/**
 * Every metric, by the conventions of Prometheus: base units, `_total` for counters. docs/watching.md lists them from here.
 *
 * `cqrs_id` is one that the service declares; messages with any other are counted under `unknown`, so that no sender makes
 * series.
 */
export interface MetricDescription {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const LAGS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const SIZES = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000];

const counter = (name: string, help: string, ...labels: string[]): MetricDescription => {
  return { name, kind: 'counter', help, labels };
};
const gauge = (name: string, help: string, ...labels: string[]): MetricDescription => {
  return { name, kind: 'gauge', help, labels };
};
const histogram = (name: string, help: string, buckets: readonly number[], ...labels: string[]): MetricDescription => {
  return { name, kind: 'histogram', help, labels, buckets };
};

export const METRICS = {
  announced: counter('cqrs_master_announced_messages_total', 'Messages committed to the outbox.', 'cqrs_id'),
  outboxDepth: gauge('cqrs_outbox_messages', 'Messages that wait in the outbox; an estimate above 100,000.'),
  outboxOldest: gauge(
    'cqrs_outbox_oldest_message_age_seconds',
    'How long the oldest message of the outbox has waited; 0 when none waits.',
  ),
  outboxFailed: gauge('cqrs_outbox_failed_messages', 'Messages in the outbox that no queue would take.'),
  outboxHeld: gauge(
    'cqrs_outbox_held_messages',
    'Messages that the broker refuses, and those of their rows behind them; counted up to 100,000.',
  ),
  published: counter('cqrs_relay_published_messages_total', 'Messages that the broker has confirmed.'),
  unroutable: counter('cqrs_relay_unroutable_messages_total', 'Messages published where no queue is bound.', 'cqrs_id'),
  refused: counter(
    'cqrs_relay_refused_messages_total',
    'Attempts to publish a message that the broker refused; `passing`: the reason ends by itself.',
    'cqrs_id',
    'passing',
  ),
  relayFailures: counter('cqrs_relay_failures_total', 'Attempts to publish that failed and are repeated.'),
  relayLag: histogram(
    'cqrs_relay_lag_seconds',
    'From commit to the confirmation of the broker; the oldest message of each batch.',
    LAGS,
  ),
  relayBatch: histogram('cqrs_relay_batch_messages', 'Messages in one transaction of the relay.', SIZES),
  relayDuration: histogram('cqrs_relay_batch_duration_seconds', 'How long the relay took for them.', DURATIONS),
  applied: counter('cqrs_inbox_applied_messages_total', 'Messages applied to a replica.', 'cqrs_id', 'action'),
  skipped: counter('cqrs_inbox_skipped_messages_total', 'Messages that were not needed.', 'cqrs_id', 'reason'),
  retried: counter('cqrs_inbox_retried_messages_total', 'Failed messages that are tried again.', 'cqrs_id', 'reason'),
  deadLettered: counter(
    'cqrs_inbox_dead_lettered_messages_total',
    'Messages that became dead letters.',
    'cqrs_id',
    'reason',
  ),
  lossyColumns: counter(
    'cqrs_replica_lossy_columns_total',
    'Columns that have rounded or cut a value, each counted once a process.',
    'cqrs_id',
  ),
  unreadable: counter('cqrs_inbox_unreadable_messages_total', 'Bodies that could not be read.'),
  gaps: counter(
    'cqrs_inbox_gaps_total',
    'Times that a queue or a binding was found missing: messages may have been missed.',
    'cqrs_id',
    'missing',
  ),
  inboxFailures: counter('cqrs_inbox_failures_total', 'Attempts that found the broker or the database away.'),
  inboxLag: histogram(
    'cqrs_inbox_lag_seconds',
    'From commit on the master to the acknowledged commit on the replica; without retries and targeted SYNCs.',
    LAGS,
    'cqrs_id',
  ),
  inboxBatch: histogram('cqrs_inbox_batch_messages', 'Messages applied together.', SIZES),
  inboxDuration: histogram(
    'cqrs_inbox_batch_duration_seconds',
    'How long applying and acknowledging them took.',
    DURATIONS,
  ),
  queueDepth: gauge('cqrs_inbox_queue_messages', 'Messages that wait in the queue of the worker.'),
  deadLetters: gauge('cqrs_inbox_dead_letters', 'Dead letters of that queue.'),
  expiring: gauge(
    'cqrs_inbox_dead_letters_expiring',
    'At most so many of them will be dropped soon; as last warned of.',
  ),
  health: gauge('cqrs_health_state', '0 healthy, 1 degraded, 2 dead.'),
  healthReason: gauge('cqrs_health_reason', '1 for each reason why it is not healthy.', 'code'),
} as const satisfies Readonly<Record<string, MetricDescription>>;
