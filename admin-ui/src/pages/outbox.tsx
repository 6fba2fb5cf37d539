import { useQuery } from '@tanstack/react-query';
import { outboxQuery, processesQuery } from '../api/queries.ts';
import { useService } from '../api/use-service.ts';
import { QueryView } from '../parts/query-view.tsx';
import { EventList } from './outbox/event-list.tsx';
import { OutboxPanels } from './outbox/outbox-panels.tsx';
import { ProcessList } from './outbox/process-list.tsx';

/** What waits to leave, who is at work, and what happened lately. */
export function OutboxPage() {
  const isMaster = useService().roles.includes('master');
  const outbox = useQuery({ ...outboxQuery, enabled: isMaster, refetchInterval: 10_000 });
  const processes = useQuery({ ...processesQuery, refetchInterval: 10_000 });
  return (
    <>
      <div className="page-head">
        <div>
          <h1>{isMaster ? 'Outbox and workers' : 'Workers'}</h1>
          <p>
            {isMaster && 'What waits to leave this service, '}
            {isMaster ? 'the' : 'The'} processes at work, and what happened lately.
          </p>
        </div>
      </div>
      {isMaster && <QueryView query={outbox}>{(data) => <OutboxPanels outbox={data} />}</QueryView>}
      <section className="panel" aria-label="Processes">
        <header>
          <h2>Processes</h2>
        </header>
        <QueryView query={processes}>{(data) => <ProcessList processes={data.processes} />}</QueryView>
      </section>
      <EventList />
    </>
  );
}
