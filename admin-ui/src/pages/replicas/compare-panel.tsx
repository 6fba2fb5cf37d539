import { useState } from 'react';
import { useAction } from '../../api/use-action.ts';
import { useService } from '../../api/use-service.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';

const OTHER = '\u0000other';

/** Compares a master with the replica behind one queue: what is missing there, stale, damaged or extra? */
export function ComparePanel({ onStarted }: { readonly onStarted: (job: string) => void }) {
  const { masters, queues } = useService();
  const [cqrsId, setCqrsId] = useState(masters[0]!.cqrsId);
  const [chosen, setChosen] = useState(queues[0] ?? OTHER);
  const [typed, setTyped] = useState('');
  const [isAsking, setAsking] = useState(false);
  const reconcile = useAction('reconcile', ({ id }) => {
    setAsking(false);
    onStarted(id);
  });
  const queue = chosen === OTHER ? typed.trim() : chosen;
  const isReady = queue !== '' && !reconcile.isPending;
  const start = (repair: boolean): void => reconcile.mutate({ path: { cqrsId }, body: { queue, repair } });
  return (
    <section className="panel" aria-label="Compare">
      <header>
        <div>
          <h2>Compare a replica with its master</h2>
          <p className="soft">
            The replica tells of its rows over the broker; nobody is held up, and rows that change meanwhile are looked
            at again.
          </p>
        </div>
      </header>
      <div className="body actions compare">
        <label className="field">
          <span>Master</span>
          <select className="select" value={cqrsId} onChange={({ target }) => setCqrsId(target.value)}>
            {masters.map((one) => (
              <option key={one.cqrsId}>{one.cqrsId}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>Replica’s queue</span>
          <select className="select" value={chosen} onChange={({ target }) => setChosen(target.value)}>
            {queues.map((one) => (
              <option key={one}>{one}</option>
            ))}
            <option value={OTHER}>another queue…</option>
          </select>
        </label>
        {chosen === OTHER && (
          <label className="field">
            <span>Its name</span>
            <input
              className="input"
              autoCapitalize="off"
              spellCheck={false}
              value={typed}
              onChange={({ target }) => setTyped(target.value)}
            />
          </label>
        )}
        <button type="button" className="button primary" disabled={!isReady} onClick={() => start(false)}>
          Compare
        </button>
        <button type="button" className="button" disabled={!isReady} onClick={() => setAsking(true)}>
          Compare and repair
        </button>
      </div>
      <ConfirmDialog
        open={isAsking}
        title={`Compare ${cqrsId} with ${queue} and repair what differs?`}
        confirm="Repair what differs"
        isBusy={reconcile.isPending}
        onConfirm={() => start(true)}
        onClose={() => setAsking(false)}
      >
        Every row that is missing, stale, damaged or extra there is brought to the state of the master, by messages for
        this queue alone.
      </ConfirmDialog>
    </section>
  );
}
