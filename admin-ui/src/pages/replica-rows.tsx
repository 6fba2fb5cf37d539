import { getRouteApi, Link } from '@tanstack/react-router';
import { useService } from '../api/use-service.ts';
import { Empty } from '../parts/notice.tsx';
import type { ListingSearch } from '../search.ts';
import { ReplicaRowDrawer } from './replicas/replica-row-drawer.tsx';
import { RowsPanel } from './rows/rows-panel.tsx';

const route = getRouteApi('/replicas/$cqrsId');

/** The rows of a replica, as they are here. */
export function ReplicaRowsPage() {
  const { cqrsId } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const replica = useService().replicas.find((one) => one.cqrsId === cqrsId);
  const change = (next: Partial<ListingSearch>): void =>
    void navigate({ search: (previous: ListingSearch) => ({ ...previous, ...next }) });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>{cqrsId}</h1>
          <p>
            The rows of this replica, as they are here. <Link to="/replicas">All replicas</Link>
          </p>
        </div>
      </div>
      {replica ? (
        <RowsPanel
          key={cqrsId}
          side="replicas"
          entity={replica}
          search={search}
          onChange={change}
          selection={null}
          whenEmpty="They come with the first messages of the master. Rows from before are sent by a synchronization there."
        />
      ) : (
        <Empty title={`This service has no replica ${cqrsId}`} />
      )}
      {replica && search.row !== undefined && (
        <ReplicaRowDrawer cqrsId={cqrsId} rowKey={search.row} onClose={() => change({ row: undefined })} />
      )}
    </>
  );
}
