import type { History, ServiceRole } from '../../../../src/admin/contract.ts';
import { Chart } from '../../charts/chart.tsx';
import { formatCount, formatDuration, formatRate } from '../../format.ts';

/** Throughput, lag and trouble of the past. */
export function HistoryCharts({
  history,
  roles,
}: {
  readonly history: History;
  readonly roles: readonly ServiceRole[];
}) {
  const { points, stepSeconds } = history;
  const times = points.map(({ at }) => Date.parse(at) / 1_000);
  const isMaster = roles.includes('master');
  const isReplica = roles.includes('replica');
  const perSecond = (name: 'announced' | 'published' | 'applied') => points.map((point) => point[name] / stepSeconds);
  const counts = (name: 'skipped' | 'retried' | 'deadLettered' | 'failed' | 'unroutable') =>
    points.map((point) => point[name]);
  return (
    <div className="charts">
      <Chart
        title="Throughput"
        times={times}
        format={formatRate}
        series={[
          ...(isMaster
            ? [
                { name: 'announced', tone: 1, values: perSecond('announced') },
                { name: 'published', tone: 2, values: perSecond('published') },
              ]
            : []),
          ...(isReplica ? [{ name: 'applied', tone: 3, values: perSecond('applied') }] : []),
        ]}
      />
      <Chart
        title="Lag, at most"
        times={times}
        format={formatDuration}
        series={[
          ...(isMaster ? [{ name: 'in the outbox', tone: 1, values: points.map(({ relayLagMs }) => relayLagMs) }] : []),
          ...(isReplica
            ? [{ name: 'commit to replica', tone: 3, values: points.map(({ applyLagMs }) => applyLagMs) }]
            : []),
        ]}
      />
      <Chart
        title="Trouble"
        times={times}
        format={formatCount}
        series={[
          ...(isReplica
            ? [
                { name: 'dead-lettered', tone: 4, values: counts('deadLettered') },
                { name: 'retried', tone: 3, values: counts('retried') },
                { name: 'skipped', tone: 1, values: counts('skipped') },
              ]
            : []),
          ...(isMaster ? [{ name: 'unroutable', tone: 2, values: counts('unroutable') }] : []),
          ...(isReplica ? [] : [{ name: 'failed', tone: 4, values: counts('failed') }]),
        ]}
      />
    </div>
  );
}
