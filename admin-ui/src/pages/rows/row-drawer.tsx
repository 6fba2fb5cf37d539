import { useQuery } from '@tanstack/react-query';
import type { MasterInfo, MasterRow } from '../../../../src/admin/contract.ts';
import { rowQuery } from '../../api/queries.ts';
import { useAction } from '../../api/use-action.ts';
import { useMayAct } from '../../api/use-service.ts';
import { keyLabel } from '../../format.ts';
import { Drawer } from '../../parts/drawer.tsx';
import { FactList } from '../../parts/fact-list.tsx';
import { Icon } from '../../parts/icons.tsx';
import { Notice } from '../../parts/notice.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { ValueList } from '../../parts/value-list.tsx';
import { SentSection } from './sent-section.tsx';

/** One row of a master: where it stands, why a replica may lack it, and what would be sent. */
export function RowDrawer({
  master,
  rowKey,
  onClose,
  onStarted,
}: {
  readonly master: MasterInfo;
  readonly rowKey: string;
  readonly onClose: () => void;
  readonly onStarted: (job: string) => void;
}) {
  const query = useQuery(rowQuery(master.cqrsId, rowKey));
  const mayAct = useMayAct();
  const sync = useAction('sync', ({ id }) => onStarted(id));
  return (
    <Drawer
      title={
        <>
          {master.cqrsId} <span className="mono">{keyLabel(rowKey)}</span>
        </>
      }
      subtitle={`${master.entity}, table ${master.table}`}
      onClose={onClose}
    >
      {mayAct && (
        <div className="actions start">
          <button
            type="button"
            className="button primary"
            disabled={sync.isPending}
            onClick={() =>
              sync.mutate({ path: { cqrsId: master.cqrsId }, body: { queue: null, selection: { keys: [rowKey] } } })
            }
          >
            <Icon name="sync" size={16} />
            Synchronize this row
          </button>
        </div>
      )}
      <QueryView query={query}>{(row) => <RowView row={row} />}</QueryView>
    </Drawer>
  );
}

function RowView({ row }: { readonly row: MasterRow }) {
  return (
    <>
      {!row.exists && (
        <Notice tone="warn" title="There is no such row any more">
          A synchronization tells the replicas that it is gone.
        </Notice>
      )}
      <section>
        <h2>Why is this row not there?</h2>
        <FactList facts={row.facts} />
      </section>
      <section>
        <h2>State</h2>
        <dl className="facts">
          <dt>revision</dt>
          <dd className="number">{row.revision ?? '–'}</dd>
          <dt>incarnation</dt>
          <dd className="mono">{row.incarnation ?? '–'}</dd>
          <dt>last change</dt>
          <dd>
            <TimeAgo iso={row.updated} />
          </dd>
          <dt>travels</dt>
          <dd>{row.included === null ? '–' : row.included ? 'yes' : 'no: isSyncInstance leaves it out'}</dd>
        </dl>
      </section>
      <SentSection row={row} />
      {row.exists && (
        <section>
          <h2>Values</h2>
          <ValueList values={row.values} />
        </section>
      )}
      {row.payload && (
        <section>
          <h2>
            Payload, as it would be sent now <span className="badge">{row.payload.signalType}</span>
          </h2>
          {row.payload.error && (
            <Notice tone="bad" title="It cannot be made">
              {row.payload.error}
            </Notice>
          )}
          {row.payload.body !== null && (
            <pre className="code" tabIndex={0} aria-label="Payload">
              {row.payload.body}
            </pre>
          )}
          {row.payload.hidden.length > 0 && (
            <p className="soft">Travels, but is hidden here: {row.payload.hidden.join(', ')}</p>
          )}
        </section>
      )}
    </>
  );
}
