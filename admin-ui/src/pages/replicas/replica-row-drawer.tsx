import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReplicaRow } from '../../../../src/admin/contract.ts';
import { replicaRowQuery } from '../../api/queries.ts';
import { keyLabel } from '../../format.ts';
import { Drawer } from '../../parts/drawer.tsx';
import { FactList } from '../../parts/fact-list.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { ValueList } from '../../parts/value-list.tsx';

/** What a replica knows of one row. */
export function ReplicaRowDrawer({
  cqrsId,
  rowKey,
  onClose,
}: {
  readonly cqrsId: string;
  readonly rowKey: string;
  readonly onClose: () => void;
}) {
  const query = useQuery(replicaRowQuery(cqrsId, rowKey));
  return (
    <Drawer
      title={
        <>
          {cqrsId} <span className="mono">{keyLabel(rowKey)}</span>
        </>
      }
      subtitle="as this replica has it"
      onClose={onClose}
    >
      <QueryView query={query}>{(row) => <RowView row={row} />}</QueryView>
    </Drawer>
  );
}

function RowView({ row }: { readonly row: ReplicaRow }) {
  return (
    <>
      <section>
        <h2>{row.exists ? 'How it came here' : 'Why is this row not there?'}</h2>
        <FactList facts={row.facts} />
      </section>
      {row.deadLetters.length > 0 && (
        <section>
          <h2>Its dead letters</h2>
          <ul>
            {row.deadLetters.map((letter) => (
              <li key={letter}>
                <Link to="/dead-letters" search={{ letter }}>
                  <code>{letter}</code>
                </Link>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h2>State</h2>
        <dl className="facts">
          <dt>revision</dt>
          <dd className="number">{row.revision ?? '–'}</dd>
          <dt>incarnation</dt>
          <dd className="mono">{row.incarnation ?? '–'}</dd>
          <dt>changed on the master</dt>
          <dd>
            <TimeAgo iso={row.updated} />
          </dd>
          {row.tombstone && (
            <>
              <dt>deleted</dt>
              <dd>
                at revision {row.tombstone.revision}, <TimeAgo iso={row.tombstone.deletedAt} />
              </dd>
            </>
          )}
        </dl>
      </section>
      {row.exists && (
        <section>
          <h2>Values</h2>
          <ValueList values={row.values} />
        </section>
      )}
    </>
  );
}
