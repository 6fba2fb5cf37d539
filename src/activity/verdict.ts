import type { Settings } from '../kernel/settings.js';
import type { Conditions, EntityCounters, ProcessRole } from './records.js';

/**
 * Whether a process, or a whole service, is well.
 *
 * | state    | means                                             | /healthz | /readyz |
 * |----------|---------------------------------------------------|----------|---------|
 * | healthy  | it does its work                                  | 200      | 200     |
 * | degraded | something is missing; it goes on by itself once that is back | 200 | 503 |
 * | dead     | it does not go on by itself; starting it again helps | 503   | 503     |
 */
export type HealthState = 'healthy' | 'degraded' | 'dead';

/** The station of a message's way at which something is wrong; `process` where it is none of them. */
export type Place = 'outbox' | 'relay' | 'broker' | 'queue' | 'replica' | 'database' | 'process';

export interface Reason {
  readonly code:
    | 'stuck'
    | 'no-workers'
    | 'no-relay'
    | 'not-started'
    | 'broker-away'
    | 'publish-refused'
    | 'unroutable'
    | 'database-away'
    | 'keys-held'
    | 'clock-back'
    | 'blocked'
    | 'backlog-old'
    | 'backlog-growing'
    | 'worker-down'
    | 'worker-silent'
    | 'process-lost';
  readonly severity: 'degraded' | 'dead';
  readonly where: Place;
  /** What is wrong, and what to do where somebody can do something. */
  readonly text: string;
  /** ISO 8601; null when it is not known. */
  readonly since: string | null;
}

export interface Health {
  readonly state: HealthState;
  /** Empty when healthy; the worst first. */
  readonly reasons: readonly Reason[];
}

/** What waits, as one process or the whole service last saw it. */
export interface Backlog {
  /** How long the oldest message of the outbox has waited; null when there is none, or nobody looked. */
  readonly outboxOldestMs: number | null;
  /** Messages that the broker refuses, and those behind them; null when nobody looked. */
  readonly held: HeldBacklog | null;
  /** The greatest lag of what was applied lately, null when nothing was. */
  readonly applyLagMs: number | null;
  /** The depth at the end of each of the last minutes, oldest first; null where nobody looked. */
  readonly outboxDepths: readonly (number | null)[];
  readonly queueDepths: readonly (number | null)[];
  /** Entities of which changes have found no queue. */
  readonly unroutable: readonly Unroutable[];
}

/** Changes of one entity for which no queue was bound. */
export interface Unroutable {
  readonly cqrsId: string;
  readonly count: number;
  /** Since the last of them. */
  readonly agoMs: number;
}

/** How many messages are held, and what the broker says of the oldest. */
export interface HeldBacklog {
  readonly held: number;
  readonly refusal: { readonly cqrsId: string; readonly reason: string; readonly since: string } | null;
}

/** All that one process knows of itself. */
export interface Signs {
  /** What it was started for and does not do, or not yet. */
  readonly missing: readonly ProcessRole[];
  /** Steps that are being taken, and for how long. */
  readonly busy: readonly { readonly name: string; readonly busyMs: number; readonly since: string }[];
  readonly conditions: Conditions;
  readonly backlog: Backlog;
}

export const NO_BACKLOG: Backlog = {
  outboxOldestMs: null,
  held: null,
  applyLagMs: null,
  outboxDepths: [],
  queueDepths: [],
  unroutable: [],
};

/** A backlog grows when it did so in each of so many minutes. */
const GROWING_MINUTES = 5;
/** So many entities are named. */
const MOST_NAMED = 5;

/** The verdict about one process. */
export function decide({ missing, busy, conditions, backlog }: Signs, limits: Settings['health']): Health {
  return healthOf([
    ...busy.filter(({ busyMs }) => busyMs > limits.stuckSeconds * 1_000).map(stuck),
    ...missing.map(notStarted),
    ...badConditions(conditions),
    ...badBacklog(backlog, limits),
  ]);
}

/** The worst of the reasons. */
export function healthOf(reasons: readonly Reason[]): Health {
  const dead = reasons.filter(({ severity }) => severity === 'dead');
  const degraded = reasons.filter(({ severity }) => severity === 'degraded');
  const state = dead.length > 0 ? 'dead' : degraded.length > 0 ? 'degraded' : 'healthy';
  return { state, reasons: [...dead, ...degraded] };
}

export function badConditions(conditions: Conditions): Reason[] {
  const { brokerAwaySince, databaseAwaySince, blockedSince, blockedReason } = conditions;
  const { publishRefusedSince, publishRefusedReason, keysHeldSince, keysHeldBy } = conditions;
  const { clockBackSince, clockBackBy } = conditions;
  const reasons: Reason[] = [];
  const degraded = (code: Reason['code'], where: Place, since: string, text: string): void =>
    void reasons.push({ code, severity: 'degraded', where, text, since });
  if (brokerAwaySince !== null) degraded('broker-away', 'broker', brokerAwaySince, 'the broker cannot be reached');
  if (databaseAwaySince !== null)
    degraded('database-away', 'database', databaseAwaySince, 'the database does not answer');
  if (publishRefusedSince !== null) {
    degraded(
      'publish-refused',
      'broker',
      publishRefusedSince,
      `the broker refuses messages: ${publishRefusedReason ?? 'it does not say why'}`,
    );
  }
  if (keysHeldSince !== null) {
    const who = keysHeldBy ?? 'another worker';
    degraded('keys-held', 'replica', keysHeldSince, `messages wait for keys that are held by ${who}`);
  }
  if (clockBackSince !== null) {
    const by = clockBackBy ?? 'some time';
    const text = `the database's clock is ${by} behind the incarnations that were given: check it`;
    degraded('clock-back', 'database', clockBackSince, text);
  }
  if (blockedSince !== null) {
    degraded(
      'blocked',
      'broker',
      blockedSince,
      `the broker holds publishers back: ${blockedReason ?? 'it does not say why'}`,
    );
  }
  return reasons;
}

export function badBacklog(backlog: Backlog, limits: Settings['health']): Reason[] {
  const { backlogSeconds, growthMessages, unroutableSeconds } = limits;
  const reasons: Reason[] = [];
  const degraded = (code: Reason['code'], where: Place, text: string): void =>
    void reasons.push({ code, severity: 'degraded', where, text, since: null });
  const { outboxOldestMs, held, applyLagMs, outboxDepths, queueDepths } = backlog;
  if (held !== null && held.held > 0) {
    const { cqrsId, reason, since } = held.refusal ?? { cqrsId: 'some rows', reason: 'they are sent now', since: null };
    const text = `${held.held} ${held.held === 1 ? 'message is' : 'messages are'} held; the oldest is of ${cqrsId}: ${reason} See cqrs refused list`;
    reasons.push({ code: 'publish-refused', severity: 'degraded', where: 'outbox', text, since });
  }
  const nowhere = backlog.unroutable.filter(({ agoMs }) => agoMs < unroutableSeconds * 1_000);
  if (nowhere.length > 0) degraded('unroutable', 'queue', unroutableText(nowhere));
  if (outboxOldestMs !== null && outboxOldestMs > backlogSeconds * 1_000) {
    degraded('backlog-old', 'outbox', `the oldest message of the outbox has waited for ${span(outboxOldestMs)}`);
  }
  if (applyLagMs !== null && applyLagMs > backlogSeconds * 1_000) {
    degraded('backlog-old', 'queue', `what is applied now was committed ${span(applyLagMs)} ago`);
  }
  for (const [where, depths] of [
    ['outbox', outboxDepths],
    ['queue', queueDepths],
  ] as const) {
    if (isGrowing(depths, growthMessages)) {
      degraded(
        'backlog-growing',
        where,
        `the ${where} grows: ${depths.at(-1)} wait, ${GROWING_MINUTES} minutes ago there were ${depths.at(-1 - GROWING_MINUTES)}`,
      );
    }
  }
  return reasons;
}

function unroutableText(nowhere: readonly Unroutable[]): string {
  const named = nowhere.slice(0, MOST_NAMED).map(({ cqrsId, count }) => `${cqrsId} (${count})`);
  const others = nowhere.length > MOST_NAMED ? [`${nowhere.length - MOST_NAMED} others`] : [];
  return `changes went to no queue, since none is bound for ${[...named, ...others].join(', ')}: is the exchange the one of the replicas, and does a worker run? Then run cqrs reconcile`;
}

/** What the counters of entities say of it. */
export function unroutableOf(
  entities: Iterable<readonly [cqrsId: string, EntityCounters]>,
  now: number,
): readonly Unroutable[] {
  return [...entities].flatMap(([cqrsId, { unroutable, lastUnroutableAt }]) =>
    lastUnroutableAt === null
      ? []
      : [{ cqrsId, count: unroutable, agoMs: Math.max(0, now - Date.parse(lastUnroutableAt)) }],
  );
}

/** More in each of the last minutes than in the one before, and by so many in all. */
export function isGrowing(depths: readonly (number | null)[], atLeast: number): boolean {
  const last = depths.slice(-1 - GROWING_MINUTES);
  if (last.length <= GROWING_MINUTES || !last.every((depth) => depth !== null)) return false;
  return last.every((depth, index) => index === 0 || depth > last[index - 1]!) && last.at(-1)! - last[0]! >= atLeast;
}

function stuck({ name, busyMs, since }: Signs['busy'][number]): Reason {
  const where = name === 'relay' ? 'relay' : 'replica';
  return { code: 'stuck', severity: 'dead', where, text: `the ${name} has not moved for ${span(busyMs)}`, since };
}

function notStarted(role: ProcessRole): Reason {
  return {
    code: 'not-started',
    severity: 'degraded',
    where: placeOf(role),
    text: `it does not work as ${role} yet, or is about to end`,
    since: null,
  };
}

/** Where the work of a role is missed. */
export function placeOf(role: ProcessRole | undefined): Place {
  if (role === 'relay') return 'relay';
  return role === 'worker' ? 'replica' : 'process';
}

/** A length of time in words. */
export function span(milliseconds: number): string {
  const seconds = milliseconds / 1_000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
