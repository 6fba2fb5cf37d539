import type { ProcessInfo } from '../../../../src/admin/contract.ts';
import { Counts } from '../../parts/job-card.tsx';
import { Empty } from '../../parts/notice.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';

/** Who runs for this service, with what each has done and has against its surroundings. */
export function ProcessList({ processes }: { readonly processes: readonly ProcessInfo[] }) {
  if (processes.length === 0) {
    return (
      <Empty title="No process has been seen yet">
        Start the service, or cqrs consume and cqrs relay: each tells of itself every few seconds.
      </Empty>
    );
  }
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Processes of this service">
      <table className="table stack">
        <thead>
          <tr>
            <th scope="col">Process</th>
            <th scope="col">Does</th>
            <th scope="col">Seen</th>
            <th scope="col">Started</th>
            <th scope="col">Queue</th>
            <th scope="col" className="right">
              Prefetch
            </th>
            <th scope="col">Since its start</th>
          </tr>
        </thead>
        <tbody>
          {processes.map((process) => (
            <tr key={process.id}>
              <td>
                <strong>{process.host}</strong> <span className="soft">pid {process.pid}</span>
              </td>
              <td>{process.roles.join(', ')}</td>
              <td>
                <span className={`badge ${process.alive ? 'good' : 'bad'}`}>{process.alive ? 'alive' : 'gone'}</span>{' '}
                <TimeAgo iso={process.seenAt} />
              </td>
              <td>
                <span className="only-phone soft">started </span>
                <TimeAgo iso={process.startedAt} />
              </td>
              <td>
                <span className="only-phone soft">queue </span>
                {process.queue ?? '–'}
              </td>
              <td className="right">
                <span className="only-phone soft">prefetch </span>
                {process.prefetch ?? '–'}
              </td>
              <td className="wrap">
                <Counts counts={process.counts} />
                {process.degraded.map((why) => (
                  <p key={why} className="station-trouble">
                    {why}
                  </p>
                ))}
                {process.lastError && <p className="trouble">{process.lastError}</p>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
