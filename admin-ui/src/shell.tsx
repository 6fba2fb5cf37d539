import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import type { Environment, ServiceInfo } from '../../src/admin/contract.ts';
import { failureOf } from './api/client.ts';
import { closeLive, openLive, useLiveState } from './api/live.ts';
import { deadLettersQuery, overviewQuery, serviceQuery } from './api/queries.ts';
import { formatShort } from './format.ts';
import { Icon, type IconName } from './parts/icons.tsx';
import { Empty, Failure } from './parts/notice.tsx';
import { applyTheme, useTheme, type Theme } from './theme.ts';

/** What stands around every page: where one can go, which service it is, who one is, and whether it is live. */
export function Shell() {
  const service = useQuery(serviceQuery);
  const isKnown = service.data !== undefined;
  useEffect(() => {
    if (!isKnown) return undefined;
    openLive();
    return closeLive;
  }, [isKnown]);
  useEffect(() => {
    if (service.data) document.title = `${service.data.name} · replication`;
  }, [service.data]);

  if (!service.data) return <Door error={service.error} onRetry={() => void service.refetch()} />;
  return (
    <div className="shell">
      <a className="skip" href="#content" onClick={skipToContent}>
        Skip to content
      </a>
      <Side service={service.data} />
      <main className="page" id="content" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

/** The fragment belongs to the addresses of pages. */
function skipToContent(event: { preventDefault: () => void }): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

/** Before the service is known: loading, or why one may not come in. */
function Door({ error, onRetry }: { readonly error: unknown; readonly onRetry: () => void }) {
  const failure = error ? failureOf(error) : null;
  return (
    <main className="door">
      <img src="./icon.svg" width="44" height="44" alt="" />
      <h1>Replication</h1>
      {failure === null && (
        <p className="soft" role="status">
          Loading…
        </p>
      )}
      {failure?.code === 'unauthorized' && (
        <>
          <p role="alert">
            <strong>You are not signed in.</strong>
          </p>
          <p className="soft">
            {failure.cure ??
              'Open the address that cqrs admin printed, or sign in to the application that this page is part of.'}
          </p>
          <button type="button" className="button" onClick={onRetry}>
            Try again
          </button>
        </>
      )}
      {failure !== null && failure.code !== 'unauthorized' && <Failure error={failure} onRetry={onRetry} />}
    </main>
  );
}

function Side({ service }: { readonly service: ServiceInfo }) {
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  // on a phone the list of pages is wider than the screen
  useEffect(() => {
    const list = nav.current;
    const links = [...(list?.querySelectorAll('a') ?? [])];
    const active = links.findLast(({ hash }) => `#${pathname}`.startsWith(hash));
    if (list && active) list.scrollLeft = active.offsetLeft - list.offsetLeft - 40;
  }, [pathname]);
  const isMaster = service.roles.includes('master');
  const isReplica = service.roles.includes('replica');
  return (
    <header className="side">
      <div className="brand">
        <img src="./icon.svg" width="30" height="30" alt="" />
        <div>
          <strong title={service.name}>{service.name}</strong>
          <span>{service.roles.join(' and ') || 'no entities'}</span>
        </div>
      </div>
      {service.environment && <EnvironmentBadge environment={service.environment} />}
      <nav ref={nav} className="nav" aria-label="Pages">
        <Item to="/" icon="overview" text="Overview" />
        {isMaster && <Item to="/rows" icon="rows" text="Rows" />}
        <Item to="/replicas" icon="replicas" text="Replicas" />
        {isReplica && <LettersItem />}
        <Item to="/outbox" icon="outbox" text={isMaster ? 'Outbox and workers' : 'Workers'} />
        <Item to="/jobs" icon="jobs" text="Jobs" />
      </nav>
      <div className="side-foot">
        <Live />
        <div className="who">
          <span title={service.user.name}>{service.user.name}</span>
          <span className="badge">
            {service.user.role === 'operator' && !service.readOnly ? 'operator' : 'read-only'}
          </span>
        </div>
        <ThemeSwitch />
        <span className="version">mikro-orm-cqrs {service.version}</span>
      </div>
    </header>
  );
}

function EnvironmentBadge({ environment }: { readonly environment: Environment }) {
  const tone = { grey: '', green: 'good', amber: 'warn', red: 'bad' }[environment.color];
  return (
    <div className="environment-line">
      <span className={`badge environment ${tone}`} title="environment">
        {environment.name}
      </span>
    </div>
  );
}

function Item({
  to,
  icon,
  text,
  count,
}: {
  readonly to: '/' | '/rows' | '/replicas' | '/dead-letters' | '/outbox' | '/jobs';
  readonly icon: IconName;
  readonly text: string;
  readonly count?: number;
}) {
  return (
    <Link to={to} activeOptions={{ exact: to === '/', includeSearch: false }} activeProps={{ className: 'active' }}>
      <Icon name={icon} />
      <span>{text}</span>
      {count !== undefined && count > 0 && <span className="badge bad count">{formatShort(count)}</span>}
    </Link>
  );
}

function LettersItem() {
  const overview = useQuery(overviewQuery);
  const groups = useQuery({ ...deadLettersQuery, enabled: false });
  return (
    <Item
      to="/dead-letters"
      icon="letters"
      text="Dead letters"
      count={groups.data?.count ?? overview.data?.deadLetters?.messages ?? 0}
    />
  );
}

function Live() {
  const state = useLiveState();
  return (
    <span className="live" data-state={state} role="status" title={state === 'open' ? 'Live' : 'Connecting…'}>
      <span>{state === 'open' ? 'Live' : 'Connecting…'}</span>
    </span>
  );
}

const THEMES: readonly (readonly [Theme, string])[] = [
  ['system', 'Auto'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

function ThemeSwitch() {
  const theme = useTheme();
  return (
    <div className="theme" role="group" aria-label="Colours">
      {THEMES.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={theme === value} onClick={() => applyTheme(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

export function NotFound() {
  return (
    <Empty title="There is no such page">
      The address may be old. <Link to="/">Go to the overview.</Link>
    </Empty>
  );
}
