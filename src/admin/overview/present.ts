import { createHmac, randomBytes } from 'node:crypto';
import type { Period, ProcessActivity, RecentEvent as NotedEvent } from '../../activity/read-activity.js';
import type { Cqrs } from '../../cqrs.js';
import { LOCK_CLASS, OutboxMessage } from '../../messaging/outbox/outbox.js';
import { keyTextOfJson } from '../../wire/key-text.js';
import type { Handle } from '../http/call.js';
import type { HistoryPoint, ProcessInfo, RecentEvent } from '../contract.js';
import { hidesKey } from '../../operations/hidden-properties.js';
import { NOT_SHOWN } from '../../operations/hidden-values.js';
import { readSession } from '../http/read-session.js';
import { isoTime } from '../http/times.js';

/** The present and the past as the page shows them: overview, history, outbox, processes, recent events. */

export const showOverview: Handle<'overview'> = async ({ overview }) => overview.look();

const MOST_POINTS = 120;

export const history: Handle<'history'> = async ({ cqrs }, { query: { minutes } }) => {
  const stepSeconds = Math.ceil(minutes / MOST_POINTS) * 60;
  const activity = await cqrs.activity({ seconds: minutes * 60, periodSeconds: stepSeconds, events: 1 });
  const stepMs = stepSeconds * 1_000;
  const last = Math.floor(Date.parse(activity.now) / stepMs) * stepMs;
  const found = new Map(activity.history.map((period) => [Date.parse(period.at), period]));
  const count = Math.max(1, Math.floor((minutes * 60) / stepSeconds));
  const points = Array.from({ length: count }, (_, index) => {
    const at = last - (count - 1 - index) * stepMs;
    return toPoint(new Date(at).toISOString(), found.get(at));
  });
  return { stepSeconds, points };
};

function toPoint(at: string, period: Period | undefined): HistoryPoint {
  const { announced = 0, published = 0, unroutable = 0, applied = 0, skipped = 0, retried = 0 } = period ?? {};
  const { deadLettered = 0, failed = 0, relayLagMs = null, applyLagMs = null } = period ?? {};
  return {
    at,
    announced,
    published,
    unroutable,
    applied,
    skipped,
    retried,
    deadLettered,
    failed,
    relayLagMs,
    applyLagMs,
  };
}

const TIMEOUT_MS = 5_000;
const STUCK_SECONDS = 60;
const MOST_STUCK = 100;

export const outbox: Handle<'outbox'> = async (parts) => {
  const { cqrs } = parts;
  if (cqrs.masters.size === 0) {
    return { depth: 0, failed: 0, oldestAgeMs: null, byEntity: [], stuck: [], held: 0, refused: [], relays: [] };
  }
  const { held } = (await cqrs.outboxState())!;
  const refused = await cqrs.refused.list({}, { limit: MOST_STUCK });
  const driver = cqrs.orm.driver as unknown as { getTableName(meta: object, options: object): string };
  const table = driver.getTableName(OutboxMessage.meta, {});
  const age = (filter: string): string =>
    `(extract(epoch from clock_timestamp() - min(created_at) filter (where ${filter})) * 1000)::float8::text`;
  return readSession(cqrs, TIMEOUT_MS, async ({ session }) => {
    const entities = await session.run({
      text: `select cqrs_id as "cqrsId", count(*) filter (where failure is null)::text as waiting,
          count(*) filter (where failure is not null)::text as failed, ${age('failure is null')} as age
        from ${table} group by cqrs_id order by cqrs_id`,
      parameters: [],
    });
    const stuck = await session.run({
      text: `select id::text as id, cqrs_id as "cqrsId", signal, key, queue, created_at::text as since, failure from ${table}
        where failure is not null or created_at < clock_timestamp() - interval '${STUCK_SECONDS} seconds'
        order by failure is null, id limit ${MOST_STUCK}`,
      parameters: [],
    });
    const relays = await session.run({
      text: `select l.pid::text as pid, coalesce(host(a.client_addr), '') as client, coalesce(a.application_name, '') as application,
          a.xact_start::text as since, count(*)::text as buckets
        from pg_locks l left join pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'advisory' and l.granted and l.classid = ${LOCK_CLASS}::oid
          and l.database = (select oid from pg_database where datname = current_database())
        group by l.pid, a.client_addr, a.application_name, a.xact_start order by l.pid`,
      parameters: [],
    });
    const byEntity = entities.map((row) => ({
      cqrsId: row['cqrsId']!,
      waiting: Number(row['waiting']),
      failed: Number(row['failed']),
      oldestAgeMs: row['age'] == null ? null : Math.max(0, Number(row['age'])),
    }));
    const ages = byEntity.flatMap(({ oldestAgeMs }) => oldestAgeMs ?? []);
    return {
      depth: byEntity.reduce((sum, { waiting }) => sum + waiting, 0),
      failed: byEntity.reduce((sum, { failed }) => sum + failed, 0),
      oldestAgeMs: ages.length > 0 ? Math.max(...ages) : null,
      byEntity,
      stuck: stuck.map((row) => ({
        outboxId: row['id']!,
        cqrsId: row['cqrsId']!,
        signalType: row['signal']!,
        key: hidesKey(cqrs, row['cqrsId']!) ? NOT_SHOWN : keyTextOfJson(row['key']!),
        queue: row['queue'] ?? null,
        since: isoTime(row['since']!),
        failure: row['failure'] ?? null,
      })),
      held,
      refused: refused.map((message) => ({
        ...message,
        key: hidesKey(cqrs, message.cqrsId) ? NOT_SHOWN : keyTextOfJson(message.key),
      })),
      relays: relays.map((row) => ({
        pid: Number(row['pid']),
        client: row['client']!,
        application: row['application']!,
        since: row['since'] == null ? null : isoTime(row['since']),
        buckets: Number(row['buckets']),
      })),
    };
  });
};

export const resolveRefused: Handle<'resolveRefused'> = async ({ cqrs }, { body: { action, selection }, user }) => {
  const cqrsId = 'cqrsId' in selection ? selection.cqrsId : null;
  const fields = { user: user.user, action: `${action} refused`, cqrsId, queue: null, job: null };
  cqrs.events.emit('cqrs.admin.acted', fields);
  return { count: await cqrs.refused[action]('all' in selection ? {} : selection) };
};

export const listProcesses: Handle<'processes'> = async ({ cqrs }) => {
  const { processes } = await cqrs.activity({ seconds: 60, events: 1 });
  return { processes: processes.map(toProcess) };
};

export function toProcess({
  id,
  roles,
  host,
  pid,
  version,
  startedAt,
  seenAt,
  state,
  queue,
  prefetch,
  counters,
  conditions,
  lastError,
}: ProcessActivity): ProcessInfo {
  const all = (reasons: Readonly<Record<string, number>>): number =>
    Object.values(reasons).reduce((sum, count) => sum + count, 0);
  const { skipped, retried, deadLettered, ...plain } = counters;
  const { brokerAwaySince, databaseAwaySince, blockedSince, blockedReason } = conditions;
  return {
    id,
    roles: [...roles],
    host,
    pid,
    version,
    startedAt,
    seenAt,
    alive: state === 'running',
    queue,
    prefetch: prefetch > 0 ? prefetch : null,
    counts: { ...plain, skipped: all(skipped), retried: all(retried), deadLettered: all(deadLettered) },
    lastError: lastError && `${lastError.at}: ${lastError.text}`,
    degraded: [
      ...(state === 'lost' ? ['it has not been seen for a while'] : []),
      ...(brokerAwaySince === null ? [] : [`the broker has been away since ${brokerAwaySince}`]),
      ...(databaseAwaySince === null ? [] : [`the database has been away since ${databaseAwaySince}`]),
      ...(blockedSince === null
        ? []
        : [`the broker holds it back since ${blockedSince}: ${blockedReason ?? 'no reason told'}`]),
    ],
  };
}

export const recentEvents: Handle<'events'> = async ({ cqrs }, { query: { limit } }) => {
  const { events } = await cqrs.activity({ seconds: 7 * 86_400, periodSeconds: 86_400, events: limit });
  return { events: events.map((event) => toEvent(cqrs, event)) };
};

export function toEvent(cqrs: Cqrs, { at, processId, event, level, text, cqrsId, key, more }: NotedEvent): RecentEvent {
  const others = more > 0 ? `; ${more} more like this` : '';
  const isHidden = key !== null && hidesKey(cqrs, cqrsId);
  return {
    id: `${processId} ${at} ${event} ${isHidden ? nameless(key) : (key ?? '')}`.trim(),
    at,
    level,
    event,
    text: `${isHidden ? text.replaceAll(key, NOT_SHOWN) : text}${others}`,
    cqrsId,
    key: isHidden ? null : key,
    process: processId,
  };
}

const salt = randomBytes(16);

/** Tells one key from another as long as this process lives, and says nothing of either. */
function nameless(key: string): string {
  return createHmac('sha256', salt).update(key).digest('base64url').slice(0, 12);
}
