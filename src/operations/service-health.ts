import type { Activity, Period, ProcessActivity } from '../activity/read-activity.js';
import type { ProcessRole } from '../activity/records.js';
import {
  badBacklog,
  type Health,
  healthOf,
  type Place,
  placeOf,
  type Reason,
  span,
  unroutableOf,
} from '../activity/verdict.js';
import type { Settings } from '../kernel/settings.js';
import type { Status } from './service-status.js';

/** A process that was lost longer ago has been replaced, or is missed by nobody. */
const LOST_COUNTS_MS = 3_600_000;
/** How far the clocks of two hosts may differ. */
const CLOCKS_MS = 5_000;
/** How many minutes of the past are asked whether a backlog grows. */
const MINUTES = 10;

/** What a process says of it is a part of what all of them have counted. */
const JUDGED_TOGETHER: readonly string[] = ['backlog-old', 'backlog-growing', 'unroutable'] satisfies Reason['code'][];

type Known = Pick<Status, 'database' | 'broker' | 'outbox' | 'queues'>;

/**
 * The verdict about a whole service, from what waits and from what its processes have said.
 *
 *   dead      nobody does what the service needs: no relay while messages wait, no worker for its queue; or all who do are stuck
 *   degraded  one of its processes is not well, or is lost; the broker or the database is away; a backlog is old or grows;
 *             changes of the last minutes went to no queue
 */
export function decideService(
  known: Known,
  activity: Activity,
  needs: { readonly relay: boolean; readonly worker: boolean },
  limits: Settings['health'],
): Health {
  const running = activity.processes.filter(({ state }) => state === 'running');
  return healthOf([
    ...missingRoles(known, activity, running, needs, limits),
    ...unreachable(known),
    ...told(running),
    ...lost(activity),
    ...badBacklog(
      {
        outboxOldestMs: known.outbox?.oldestAgeMs ?? null,
        held: known.outbox,
        applyLagMs: lately(activity).reduce<number | null>(
          (most, { applyLagMs }) => (applyLagMs === null ? most : Math.max(most ?? 0, applyLagMs)),
          null,
        ),
        outboxDepths: byMinute(activity, (period) => period.outboxDepth),
        queueDepths: byMinute(activity, (period) => period.queueDepth),
        unroutable: unroutableOf(Object.entries(activity.entities), Date.parse(activity.now)),
      },
      limits,
    ),
  ]);
}

function missingRoles(
  { outbox, queues }: Known,
  { enabled }: Activity,
  running: readonly ProcessActivity[],
  needs: { readonly relay: boolean; readonly worker: boolean },
  { backlogSeconds }: Settings['health'],
): Reason[] {
  const has = (role: ProcessRole): boolean => running.some(({ roles }) => roles.includes(role));
  const reasons: Reason[] = [];
  const oldest = outbox?.oldestAgeMs ?? 0;
  if (needs.relay && enabled && !has('relay') && oldest > backlogSeconds * 1_000) {
    reasons.push(dead('no-relay', 'relay', `no relay is running, and messages wait: start the service, or cqrs relay`));
  }
  const queue = queues.find(({ role }) => role === 'queue');
  if (needs.worker && queue && !has('worker') && (queue.state?.consumers ?? 0) === 0) {
    reasons.push(dead('no-workers', 'replica', `no worker consumes ${queue.name}: start cqrs consume`));
  }
  return reasons;
}

function unreachable({ database, broker }: Known): Reason[] {
  return [
    ...(database.error === null
      ? []
      : [degraded('database-away', 'database', `the database does not answer: ${database.error}`)]),
    ...(broker.error === null
      ? []
      : [degraded('broker-away', 'broker', `the broker cannot be asked: ${broker.error}`)]),
  ];
}

/** What the processes say of themselves, each thing once; backlogs are judged for all together. */
function told(running: readonly ProcessActivity[]): Reason[] {
  const all = running.flatMap((process) =>
    process.reasons
      .filter(
        ({ code, where }) => !JUDGED_TOGETHER.includes(code) && !(code === 'publish-refused' && where === 'outbox'),
      )
      .map((reason) => ({ reason, process })),
  );
  return [...Map.groupBy(all, ({ reason }) => reason.code).values()].map((same) => {
    const { reason } = same[0]!;
    const who = same.length === 1 ? nameOf(same[0]!.process) : `${same.length} processes`;
    const since =
      same
        .map((one) => one.reason.since)
        .filter((at) => at !== null)
        .toSorted()[0] ?? null;
    // One of several that is stuck leaves the others at work.
    const alone = same.length === running.length;
    const severity = reason.severity === 'dead' && !alone ? 'degraded' : reason.severity;
    return { ...(reason as Reason), severity, since, text: `${reason.text} (${who})` };
  });
}

/** Those that were not replaced: each process of the same roles that began after their end stands for one. */
function lost({ processes, now }: Activity): Reason[] {
  const successors = processes.filter(({ state }) => state !== 'lost');
  return processes
    .filter(({ state, seenAt }) => state === 'lost' && Date.parse(now) - Date.parse(seenAt) < LOST_COUNTS_MS)
    .filter((gone) => {
      const index = successors.findIndex(
        ({ roles, startedAt }) =>
          Date.parse(startedAt) > Date.parse(gone.seenAt) - CLOCKS_MS && roles.join() === gone.roles.join(),
      );
      if (index >= 0) successors.splice(index, 1);
      return index < 0;
    })
    .map((gone) => ({
      ...degraded(
        'process-lost',
        placeOf(gone.roles[0]),
        `${nameOf(gone)} has not been seen for ${span(Date.parse(now) - Date.parse(gone.seenAt))} and did not say goodbye`,
      ),
      since: gone.seenAt,
    }));
}

/** A process in words. */
export function nameOf({ roles, host, pid }: ProcessActivity): string {
  return `${roles.join(' and ') || 'process'} ${host}:${pid}`;
}

function lately({ history, now }: Activity): readonly Period[] {
  return history.filter(({ at }) => Date.parse(now) - Date.parse(at) < 120_000);
}

function byMinute({ history, now }: Activity, depth: (period: Period) => number | null): (number | null)[] {
  const present = Math.floor(Date.parse(now) / 60_000);
  const depths = new Map(history.map((period) => [Math.floor(Date.parse(period.at) / 60_000), depth(period)]));
  const minutes = Array.from({ length: MINUTES }, (_, index) => depths.get(present - MINUTES + 1 + index) ?? null);
  if (minutes.at(-1) === null) minutes.pop();
  return minutes;
}

function dead(code: Reason['code'], where: Place, text: string): Reason {
  return { code, severity: 'dead', where, text, since: null };
}

function degraded(code: Reason['code'], where: Place, text: string): Reason {
  return { code, severity: 'degraded', where, text, since: null };
}
