import { Link } from '@tanstack/react-router';
import type { MasterRow } from '../../../../src/admin/contract.ts';
import { TimeAgo } from '../../parts/time-ago.tsx';

/** What waits of a row's messages, and what has been sent of it and when. */
export function SentSection({ row: { waiting, history, sent } }: { readonly row: MasterRow }) {
  const known = waiting.length + (history ?? sent).length;
  return (
    <section>
      <h2>Sent</h2>
      {known > 0 && (
        <ul className="timeline">
          {waiting.map(({ outboxId, signalType, queue, since, failure }) => (
            <li key={outboxId} data-state={failure ? 'bad' : 'waiting'}>
              <strong>{signalType}</strong> waits in the outbox{queue && ` for ${queue}`}, <TimeAgo iso={since} />
              {failure && <span className="trouble"> {failure}</span>}
            </li>
          ))}
          {history?.map(({ signalType, revision, queue, committedAt, confirmedAt, unroutable }) => (
            <li key={`${confirmedAt} ${revision} ${queue}`} data-state={unroutable ? 'bad' : undefined}>
              <strong>{signalType}</strong>
              {revision !== null && ` of revision ${revision}`}
              {queue && ` for ${queue}`}, committed <TimeAgo iso={committedAt} />, confirmed{' '}
              <TimeAgo iso={confirmedAt} />
              {unroutable && <span className="trouble"> no queue took it</span>}
            </li>
          ))}
          {sent.map(({ at, what, by, job }) => (
            <li key={`${at} ${what}`}>
              {what} <TimeAgo iso={at} />
              {by && ` by ${by}`}
              {job && (
                <>
                  {' '}
                  <Link to="/jobs" search={{ job }}>
                    job
                  </Link>
                </>
              )}
            </li>
          ))}
        </ul>
      )}
      {history !== null && known === 0 && (
        <p className="soft">Nothing was sent of it, as far back as is remembered (relay.sentRetentionSeconds).</p>
      )}
      {history === null && (
        <p className="soft">
          Messages are forgotten once the broker has them. To see each one here, with its times, set{' '}
          <code>relay.sentRetentionSeconds</code> and update the schema.
        </p>
      )}
    </section>
  );
}
