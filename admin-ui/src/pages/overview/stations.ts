import type { Overview, Verdict } from '../../../../src/admin/contract.ts';
import { formatCount, formatDuration, formatRate, formatShort, plural } from '../../format.ts';

/** A place where a change is, in the words of the page. */
export interface Station {
  readonly id: 'master' | 'outbox' | 'broker' | 'replica';
  readonly name: string;
  /** The one number that matters; null: this service has no such station. */
  readonly value: string | null;
  readonly unit: string;
  readonly facts: readonly string[];
  /** What is wrong here. */
  readonly troubles: readonly string[];
  readonly isDead: boolean;
}

/** The way from one station to the next. */
export interface Way {
  readonly id: string;
  readonly name: string;
  readonly ratePerSecond: number | null;
  readonly lagMs: number | null;
  readonly troubles: readonly string[];
}

export interface Path {
  readonly stations: readonly Station[];
  /** Between them: one less. */
  readonly ways: readonly Way[];
}

type Where = Verdict['why'][number]['where'];

export function describePath(overview: Overview): Path {
  const { master, outbox, relay, broker, queues, queue, replica, verdict } = overview;
  const troublesOf = (...places: Where[]): string[] =>
    verdict.why.filter(({ where }) => places.includes(where)).map(({ text }) => text);
  const waiting = [...(queue ? [queue] : []), ...queues].filter(
    ({ name }, index, all) => all.findIndex((one) => one.name === name) === index,
  );
  const station = (
    id: Station['id'],
    name: string,
    places: Where[],
    rest: Pick<Station, 'value' | 'unit' | 'facts'>,
  ) => {
    const troubles = troublesOf(...places);
    return { id, name, ...rest, troubles, isDead: verdict.state === 'dead' && troubles.length > 0 };
  };
  return {
    stations: [
      station('master', 'Master', ['master', 'database'], {
        value: master && formatRate(master.announcedPerSecond),
        unit: 'announced',
        facts: master ? [`${formatCount(master.announced)} in the last hour`] : ['in another service'],
      }),
      station('outbox', 'Outbox', ['outbox'], {
        value: outbox && formatShort(outbox.depth),
        unit: outbox?.depth === 1 ? 'message waits' : 'messages wait',
        facts: outbox
          ? [
              outbox.oldestAgeMs === null ? 'nothing is late' : `oldest: ${formatDuration(outbox.oldestAgeMs)}`,
              ...(outbox.failed > 0 ? [`${formatCount(outbox.failed)} failed for good`] : []),
            ]
          : ['in another service'],
      }),
      station('broker', 'Broker', ['broker', 'queue'], {
        value: broker.reachable ? formatShort(waiting.reduce((sum, { messages }) => sum + (messages ?? 0), 0)) : 'away',
        unit: broker.reachable ? 'in queues' : '',
        facts: broker.reachable
          ? waiting.map(({ name, messages, consumers }) =>
              messages === null
                ? `${name}: no such queue yet`
                : `${name}: ${formatShort(messages)} · ${plural(consumers ?? 0, 'consumer')}`,
            )
          : [],
      }),
      station('replica', 'Replica', ['replica', 'dead-letters'], {
        value: replica && formatRate(replica.appliedPerSecond),
        unit: 'applied',
        facts: replica
          ? [
              plural(replica.workers, 'worker'),
              `${formatCount(replica.applied)} in the last hour`,
              ...(replica.skipped > 0 ? [`${formatCount(replica.skipped)} skipped`] : []),
              ...(replica.retried > 0 ? [`${formatCount(replica.retried)} retried`] : []),
            ]
          : ['in other services'],
      }),
    ],
    ways: [
      {
        id: 'commit',
        name: 'commit',
        ratePerSecond: master?.announcedPerSecond ?? null,
        lagMs: null,
        troubles: [],
      },
      {
        id: 'relay',
        name: relay ? plural(relay.running, 'relay') : 'relay',
        ratePerSecond: relay?.publishedPerSecond ?? null,
        lagMs: relay?.lagMs ?? null,
        troubles: troublesOf('relay'),
      },
      {
        id: 'workers',
        name: replica ? plural(replica.workers, 'worker') : 'workers',
        ratePerSecond: replica?.appliedPerSecond ?? null,
        lagMs: replica?.lagMs ?? null,
        troubles: [],
      },
    ],
  };
}
