import type { Activity, Period } from '../../activity/read-activity.js';
import type { Cqrs } from '../../cqrs.js';
import { decideService } from '../../operations/service-health.js';
import { roleNeeds } from '../../operations/status.js';
import type { Status } from '../../operations/service-status.js';
import type { OutboxState } from '../../messaging/outbox/held-messages.js';
import { BrokerLook, type BrokerState, deadLettersOf, unreadableOf } from './broker-state.js';
import type { Overview } from '../contract.js';
import { Rates, rounded, type Sums } from './rates.js';
import { decideVerdict } from './service-verdict.js';

/** The path of a change, put together for everybody who looks at the same moment. */

const FRESH_MS = 1_000;
/** A lag is of the present as long as it is no older. */
const LAG_MINUTES = 2;

export class OverviewLook {
  readonly #rates = new Rates();
  #last?: { readonly overview: Overview; readonly at: number };
  #looking?: Promise<Overview>;

  constructor(
    private readonly cqrs: Cqrs,
    private readonly broker: BrokerLook,
  ) {}

  async look(): Promise<Overview> {
    if (this.#last && performance.now() - this.#last.at < FRESH_MS) return this.#last.overview;
    return (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
  }

  async #look(): Promise<Overview> {
    const { cqrs } = this;
    const [activity, outbox, broker] = await Promise.all([
      cqrs.activity({ seconds: 3_600, periodSeconds: 60, events: 1 }),
      cqrs.outboxState(),
      this.broker.look(),
    ]);
    const rates = this.#rates.take(activity.processes) ?? lastMinute(activity.history);
    const overview = toOverview(cqrs, { activity, outbox, broker, rates });
    this.#last = { overview, at: performance.now() };
    return overview;
  }
}

interface Known {
  readonly activity: Activity;
  readonly outbox: OutboxState | undefined;
  readonly broker: BrokerState;
  readonly rates: Sums;
}

function toOverview(cqrs: Cqrs, { activity, outbox, broker, rates }: Known): Overview {
  const { masters, replicas, settings } = cqrs;
  const sum = (
    name: 'announced' | 'published' | 'unroutable' | 'applied' | 'skipped' | 'retried' | 'deadLettered',
  ): number => activity.history.reduce((total, period) => total + period[name], 0);
  const running = activity.processes.filter(({ state }) => state === 'running');
  const recent = activity.history.filter(
    ({ at }) => Date.parse(activity.now) - Date.parse(at) < (LAG_MINUTES + 1) * 60_000,
  );
  const lag = (name: 'relayLagMs' | 'applyLagMs'): number | null =>
    recent.findLast((period) => period[name] !== null)?.[name] ?? null;
  const queueState = (name: string): Overview['queues'][number] => {
    const state = BrokerLook.of(broker, name);
    return { name, messages: state?.messages ?? null, consumers: state?.consumers ?? null };
  };
  const ofOwn = (name: string | null): Overview['queue'] => (name === null ? null : queueState(name));
  const without: Omit<Overview, 'verdict'> = {
    at: activity.now,
    master: masters.size > 0 ? { announced: sum('announced'), announcedPerSecond: rates.announced } : null,
    outbox: outbox
      ? { depth: outbox.depth, failed: outbox.failed, held: outbox.held, oldestAgeMs: outbox.oldestAgeMs }
      : null,
    relay:
      masters.size > 0
        ? {
            running: running.filter(({ roles }) => roles.includes('relay')).length,
            published: sum('published'),
            publishedPerSecond: rates.published,
            unroutable: sum('unroutable'),
            lagMs: lag('relayLagMs'),
          }
        : null,
    broker: { reachable: broker.error === null, error: broker.error },
    queues: settings.admin.queues.map(queueState),
    queue: ofOwn(settings.queue),
    deadLetters: ofOwn(deadLettersOf(cqrs)),
    unreadable: ofOwn(unreadableOf(cqrs)),
    replica:
      replicas.size > 0
        ? {
            workers: running.filter(({ roles }) => roles.includes('worker')).length,
            applied: sum('applied'),
            appliedPerSecond: rates.applied,
            skipped: sum('skipped'),
            retried: sum('retried'),
            deadLettered: sum('deadLettered'),
            lagMs: lag('applyLagMs'),
          }
        : null,
  };
  const known = {
    database: { error: null },
    broker: { error: broker.error },
    outbox: outbox ?? null,
    queues: ownQueue(without),
  };
  const health = decideService(known, activity, roleNeeds(cqrs), settings.health);
  return { ...without, verdict: decideVerdict(without, health, activity.history) };
}

// As the status has it; nothing is known of a queue while the broker is away.
function ownQueue({ queue, broker }: Omit<Overview, 'verdict'>): Status['queues'] {
  if (queue === null || !broker.reachable) return [];
  const { name, messages, consumers } = queue;
  return [{ role: 'queue', name, state: messages === null ? null : { messages, consumers: consumers ?? 0 } }];
}

// Whoever looks for the first time is told of the last whole minute.
function lastMinute(history: readonly Period[]): Sums {
  const last = history.at(-2) ?? history.at(-1);
  if (!last) return { announced: 0, published: 0, applied: 0 };
  return {
    announced: rounded(last.announced / 60),
    published: rounded(last.published / 60),
    applied: rounded(last.applied / 60),
  };
}
