import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { RecentEvent } from '../../../../src/admin/contract.ts';
import { eventsQuery } from '../../api/queries.ts';
import { Icon } from '../../parts/icons.tsx';
import { Empty } from '../../parts/notice.tsx';
import { QueryView } from '../../parts/query-view.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';

const ICONS = { debug: 'note', info: 'note', warn: 'warn', error: 'bad' } as const;

/** What happened lately and is worth a look; new ones come by themselves. */
export function EventList() {
  const query = useQuery({ ...eventsQuery, refetchInterval: 30_000 });
  const [onlyTroubles, setOnlyTroubles] = useState(false);
  return (
    <section className="panel" aria-label="Recent events">
      <header>
        <h2>Recent events</h2>
        <label>
          <input type="checkbox" checked={onlyTroubles} onChange={({ target }) => setOnlyTroubles(target.checked)} />{' '}
          only warnings and errors
        </label>
      </header>
      <QueryView query={query}>
        {({ events }) => {
          const shown = onlyTroubles ? events.filter(({ level }) => level === 'warn' || level === 'error') : events;
          return shown.length === 0 ? (
            <Empty title={onlyTroubles ? 'No warnings and no errors' : 'Nothing has happened yet'}>
              Retries, dead letters, skipped messages and failures are noted here.
            </Empty>
          ) : (
            <ol className="events">
              {shown.map((event) => (
                <EventItem key={event.id} event={event} />
              ))}
            </ol>
          );
        }}
      </QueryView>
    </section>
  );
}

function EventItem({ event }: { readonly event: RecentEvent }) {
  return (
    <li data-level={event.level}>
      <Icon name={ICONS[event.level]} size={16} />
      <span className="event-text">
        <span className="visually-hidden">{event.level}: </span>
        {event.text}
      </span>
      <span className="soft mono event-name">{event.event}</span>
      <span className="soft">
        <TimeAgo iso={event.at} />
      </span>
    </li>
  );
}
