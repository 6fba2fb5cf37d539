import type { OutboxView } from '../../../../src/admin/contract.ts';
import { formatCount, formatDuration, keyLabel, plural } from '../../format.ts';
import { Notice } from '../../parts/notice.tsx';
import { RefusedPanel } from './refused-panel.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';

/** Depth and age, entity by entity; what is stuck; who takes it away. */
export function OutboxPanels({ outbox }: { readonly outbox: OutboxView }) {
  const { depth, failed, oldestAgeMs, byEntity, stuck, held, refused, relays } = outbox;
  return (
    <>
      <ul className="tiles">
        <Tile name="waiting" value={formatCount(depth)} isTrouble={false} />
        <Tile
          name="oldest"
          value={oldestAgeMs === null ? '–' : formatDuration(oldestAgeMs)}
          isTrouble={(oldestAgeMs ?? 0) > 60_000}
        />
        <Tile name="failed for good" value={formatCount(failed)} isTrouble={failed > 0} />
        {held > 0 && <Tile name="refused or behind" value={formatCount(held)} isTrouble />}
        <Tile
          name="relays at work now"
          value={formatCount(relays.length)}
          isTrouble={relays.length === 0 && depth > 0}
        />
      </ul>
      <div className="columns">
        <section className="panel" aria-label="Waiting, by entity">
          <header>
            <h2>Waiting, by entity</h2>
          </header>
          {byEntity.length === 0 ? (
            <p className="body soft">Nothing waits: the broker has everything.</p>
          ) : (
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Waiting messages by entity">
              <table className="table">
                <thead>
                  <tr>
                    <th scope="col">Entity</th>
                    <th scope="col" className="right">
                      Waiting
                    </th>
                    <th scope="col" className="right">
                      Failed
                    </th>
                    <th scope="col" className="right">
                      Oldest
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {byEntity.map((one) => (
                    <tr key={one.cqrsId}>
                      <td>{one.cqrsId}</td>
                      <td className="right">{formatCount(one.waiting)}</td>
                      <td className="right">{formatCount(one.failed)}</td>
                      <td className="right">{one.oldestAgeMs === null ? '–' : formatDuration(one.oldestAgeMs)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
        <section className="panel" aria-label="Relays">
          <header>
            <h2>Relays</h2>
          </header>
          {relays.length === 0 ? (
            <p className="body soft">
              {depth === 0
                ? 'No relay holds keys at this moment: there is nothing to do.'
                : 'No relay is at work. Start one with cqrs.start() or cqrs relay.'}
            </p>
          ) : (
            <ul className="body recent">
              {relays.map(({ pid, client, application, since, buckets }) => (
                <li key={pid}>
                  <strong>{application || 'a session'}</strong>
                  <span className="soft">
                    {client} · database pid {pid} · holds {plural(buckets, 'key bucket')}
                    {since && (
                      <>
                        {' '}
                        since <TimeAgo iso={since} />
                      </>
                    )}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </section>
      </div>
      {held > 0 && <RefusedPanel held={held} refused={refused} />}
      {stuck.length > 0 && (
        <section className="panel" aria-label="Stuck">
          <header>
            <h2>Stuck</h2>
          </header>
          <div className="body">
            <Notice tone="warn" title={`${plural(stuck.length, 'message')} did not leave in time`}>
              Those that wait go on by themselves once the broker is back. Those that failed stay: no queue wanted them.
            </Notice>
          </div>
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Stuck messages">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">Row</th>
                  <th scope="col">Message</th>
                  <th scope="col">For</th>
                  <th scope="col">Since</th>
                  <th scope="col">Why</th>
                </tr>
              </thead>
              <tbody>
                {stuck.map(({ outboxId, cqrsId, signalType, key, queue, since, failure }) => (
                  <tr key={outboxId}>
                    <td>
                      {cqrsId} <span className="mono">{keyLabel(key)}</span>
                    </td>
                    <td>{signalType}</td>
                    <td>{queue ?? 'all replicas'}</td>
                    <td>
                      <TimeAgo iso={since} />
                    </td>
                    <td className="wrap">{failure ? <span className="trouble">{failure}</span> : 'still waits'}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </>
  );
}

function Tile({
  name,
  value,
  isTrouble,
}: {
  readonly name: string;
  readonly value: string;
  readonly isTrouble: boolean;
}) {
  return (
    <li className="panel tile" data-tone={isTrouble ? 'warn' : undefined}>
      <strong className="number">{value}</strong>
      <span>{name}</span>
    </li>
  );
}
