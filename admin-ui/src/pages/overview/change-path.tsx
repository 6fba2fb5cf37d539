import { Link } from '@tanstack/react-router';
import { Fragment } from 'react';
import type { Overview, ServiceInfo } from '../../../../src/admin/contract.ts';
import { formatDuration, formatRate, formatShort } from '../../format.ts';
import { Icon } from '../../parts/icons.tsx';
import { describePath, type Station, type Way } from './stations.ts';

/** The path of a change, drawn: where it is, how fast it goes on, and what holds it up. */
export function ChangePath({ overview, service }: { readonly overview: Overview; readonly service: ServiceInfo }) {
  const { stations, ways } = describePath(overview);
  return (
    <section className="panel path-panel" aria-label="The path of a change">
      <div className="path">
        {stations.map((station, index) => (
          <Fragment key={station.id}>
            <StationCard station={station} />
            {ways[index] && <WayArrow way={ways[index]} />}
          </Fragment>
        ))}
      </div>
      {service.roles.includes('replica') && (
        <div className="path-aside">
          <DeadEnd to="/dead-letters" name="dead letters" state={overview.deadLetters} />
          <DeadEnd name="unreadable" state={overview.unreadable} />
        </div>
      )}
    </section>
  );
}

function StationCard({ station }: { readonly station: Station }) {
  const { name, value, unit, facts, troubles, isDead } = station;
  const tone = troubles.length === 0 ? (value === null ? 'elsewhere' : 'well') : isDead ? 'bad' : 'warn';
  return (
    <article className="station" data-tone={tone} aria-label={name}>
      <h3>
        {name}
        {troubles.length > 0 && <Icon name={isDead ? 'bad' : 'warn'} size={16} />}
      </h3>
      {value !== null && (
        <p className="station-value">
          <strong>{value}</strong> <span>{unit}</span>
        </p>
      )}
      <ul>
        {facts.map((fact) => (
          <li key={fact}>{fact}</li>
        ))}
      </ul>
      {troubles.map((trouble) => (
        <p key={trouble} className="station-trouble">
          {trouble}
        </p>
      ))}
    </article>
  );
}

function WayArrow({ way }: { readonly way: Way }) {
  const { name, ratePerSecond, lagMs, troubles } = way;
  const isFlowing = ratePerSecond !== null && ratePerSecond > 0;
  return (
    <div className="way" data-tone={troubles.length > 0 ? 'warn' : isFlowing ? 'flowing' : 'still'}>
      <span className="way-rate">{ratePerSecond === null ? '' : formatRate(ratePerSecond)}</span>
      <svg height="24" aria-hidden="true" focusable="false">
        <line x1="2" y1="12" x2="100%" y2="12" />
        <svg x="100%" overflow="visible">
          <path d="M-9 6 -2 12 -9 18" />
        </svg>
      </svg>
      <span className="way-name">
        {name}
        {lagMs !== null && <span className="soft way-lag">lag {formatDuration(lagMs)}</span>}
      </span>
      {troubles.map((trouble) => (
        <p key={trouble} className="station-trouble">
          {trouble}
        </p>
      ))}
    </div>
  );
}

/** Where messages end that did not arrive. */
function DeadEnd({
  name,
  state,
  to,
}: {
  readonly name: string;
  readonly state: Overview['deadLetters'];
  readonly to?: '/dead-letters';
}) {
  const messages = state?.messages ?? 0;
  const text = `${formatShort(messages)} ${name}`;
  return (
    <span className={`badge ${messages > 0 ? 'bad' : ''}`}>
      {messages > 0 && <Icon name="warn" size={13} />}
      {to ? <Link to={to}>{text}</Link> : text}
    </span>
  );
}
