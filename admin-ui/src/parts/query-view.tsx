import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Failure } from './notice.tsx';

/** What a query has: loading, its error, or its data; data that is known stays in sight when asking again fails. */
export function QueryView<T>({
  query,
  children,
}: {
  readonly query: UseQueryResult<T>;
  readonly children: (data: T) => ReactNode;
}) {
  return (
    <>
      {query.isError && <Failure error={query.error} onRetry={() => void query.refetch()} />}
      {query.data === undefined
        ? !query.isError && (
            <div className="loading" role="status">
              Loading…
            </div>
          )
        : children(query.data)}
    </>
  );
}
