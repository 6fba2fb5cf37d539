import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { historyQuery, overviewQuery } from '../api/queries.ts';
import { useService } from '../api/use-service.ts';
import { QueryView } from '../parts/query-view.tsx';
import { WINDOWS } from '../search.ts';
import { ChangePath } from './overview/change-path.tsx';
import { VerdictBanner } from './overview/verdict-banner.tsx';

// the charts come behind what matters first
const HistoryCharts = lazy(() =>
  import('./overview/history-charts.tsx').then((module) => ({ default: module.HistoryCharts })),
);

const route = getRouteApi('/');

const WINDOW_WORDS: Readonly<Record<(typeof WINDOWS)[number], string>> = {
  15: '15 minutes',
  60: '1 hour',
  360: '6 hours',
  1440: '1 day',
  10080: '7 days',
};

/** Is all well, where is a change on its way, and how was it before? */
export function OverviewPage() {
  const service = useService();
  const { minutes = 60 } = route.useSearch();
  const navigate = route.useNavigate();
  const overview = useQuery({ ...overviewQuery, refetchInterval: 15_000 });
  const history = useQuery(historyQuery(minutes));
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Overview</h1>
          <p>The path of a change, from the row that is written to the copies that are kept.</p>
        </div>
      </div>
      <QueryView query={overview}>
        {(now) => (
          <>
            <VerdictBanner verdict={now.verdict} />
            <ChangePath overview={now} service={service} />
          </>
        )}
      </QueryView>
      <div className="page-head">
        <h2>History</h2>
        <div className="segments" role="group" aria-label="Time shown">
          {WINDOWS.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={minutes === one}
              onClick={() => void navigate({ search: one === 60 ? {} : { minutes: one } })}
            >
              {WINDOW_WORDS[one]}
            </button>
          ))}
        </div>
      </div>
      <QueryView query={history}>
        {(data) => (
          <Suspense fallback={<div className="loading">Loading…</div>}>
            <HistoryCharts history={data} roles={service.roles} />
          </Suspense>
        )}
      </QueryView>
    </>
  );
}
