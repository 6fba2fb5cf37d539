import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import type { OutboxView, RefusedAction } from '../../../../src/admin/contract.ts';
import { call } from '../../api/client.ts';
import { outboxQuery, queryClient } from '../../api/queries.ts';
import { useMayAct } from '../../api/use-service.ts';
import { formatCount, keyLabel, plural } from '../../format.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Notice } from '../../parts/notice.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { tellFailure } from '../../parts/toasts.tsx';

type Selection = RefusedAction['selection'];
interface Asked {
  readonly what: string;
  readonly selection: Selection;
}

/** Messages that the broker refuses, in its words; retry and drop of one, or of all. */
export function RefusedPanel({ held, refused }: Pick<OutboxView, 'held' | 'refused'>) {
  const mayAct = useMayAct();
  const [dropping, setDropping] = useState<Asked | null>(null);
  const act = useMutation({
    mutationFn: (body: RefusedAction) => call('resolveRefused', { body }),
    onSuccess: () => {
      setDropping(null);
      void queryClient.invalidateQueries({ queryKey: outboxQuery.queryKey });
    },
    onError: tellFailure,
  });
  const buttons = ({ what, selection }: Asked) => (
    <div className="actions">
      <button
        type="button"
        className="button small"
        disabled={act.isPending}
        aria-label={`Retry ${what}`}
        onClick={() => act.mutate({ action: 'retry', selection })}
      >
        Retry
      </button>
      <button
        type="button"
        className="button small danger"
        disabled={act.isPending}
        aria-label={`Drop ${what}`}
        onClick={() => setDropping({ what, selection })}
      >
        Drop
      </button>
    </div>
  );
  return (
    <section className="panel" aria-label="Refused by the broker">
      <header>
        <h2>Refused by the broker</h2>
        {mayAct && buttons({ what: 'all refused messages', selection: { all: true } })}
      </header>
      <div className="body">
        <Notice tone="warn" title={`${plural(held, 'message')} held`}>
          The broker refuses the messages below. Later messages of their rows wait behind them; all others go on. Mend
          the reason and retry, or drop a message so that what waits behind it leaves.
        </Notice>
      </div>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Refused messages">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Row</th>
              <th scope="col">Message</th>
              <th scope="col" className="right">
                Bytes
              </th>
              <th scope="col">Since</th>
              <th scope="col">Next attempt</th>
              <th scope="col" className="right">
                Behind it
              </th>
              <th scope="col">Why</th>
              {mayAct && <th scope="col">Actions</th>}
            </tr>
          </thead>
          <tbody>
            {refused.map(({ outboxId, cqrsId, signalType, key, bytes, since, retryAt, behind, reason }) => (
              <tr key={outboxId}>
                <td>
                  {cqrsId} <span className="mono">{keyLabel(key)}</span>
                </td>
                <td>{signalType}</td>
                <td className="right">{formatCount(bytes)}</td>
                <td>
                  <TimeAgo iso={since} />
                </td>
                <td>{retryAt === null ? 'waits for you' : <TimeAgo iso={retryAt} />}</td>
                <td className="right">{formatCount(behind)}</td>
                <td className="wrap trouble">{reason}</td>
                {mayAct && <td>{buttons({ what: `message ${outboxId}`, selection: { outboxIds: [outboxId] } })}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <ConfirmDialog
        open={dropping !== null}
        title={`Drop ${dropping?.what ?? ''}?`}
        confirm="Drop for good"
        isDangerous
        isBusy={act.isPending}
        onConfirm={() => dropping && act.mutate({ action: 'drop', selection: dropping.selection })}
        onClose={() => setDropping(null)}
      >
        Replicas will lack what was to be sent, unless a later message of the row says it too. A sync of the row repeats
        it.
      </ConfirmDialog>
    </section>
  );
}
