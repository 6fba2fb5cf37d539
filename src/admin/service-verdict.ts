import type { Activity } from '../activity/read-activity.js';
import type { Overview, Verdict, Why } from './contract.js';

/** Whether a service is well, from its path and its processes. Pure. */

const OLD_MS = 60_000;
/** New dead letters trouble for so long; those that have been there are shown, and no alarm. */
const RECENT_MINUTES = 15;

export function decideVerdict(
  path: Omit<Overview, 'verdict'>,
  activity: Pick<Activity, 'enabled' | 'processes' | 'history' | 'now'>,
): Verdict {
  const why = [
    ...brokerReasons(path),
    ...processReasons(activity),
    ...outboxReasons(path),
    ...queueReasons(path),
    ...letterReasons(path, activity),
  ];
  // Everything else goes on by itself once what is missing is back.
  const dead = activity.enabled && hasOldChanges(path) && path.relay?.running === 0;
  if (dead)
    why.unshift({
      where: 'relay',
      text: 'No relay runs: nothing leaves the outbox.',
      cure: 'Start the service, or cqrs relay.',
    });
  return { state: dead ? 'dead' : why.length > 0 ? 'degraded' : 'healthy', why };
}

function hasOldChanges({ outbox }: Omit<Overview, 'verdict'>): boolean {
  return outbox?.oldestAgeMs != null && outbox.oldestAgeMs > OLD_MS;
}

function brokerReasons({ broker }: Omit<Overview, 'verdict'>): Why[] {
  if (broker.reachable) return [];
  return [
    {
      where: 'broker',
      text: `The broker cannot be reached: ${broker.error}`,
      cure: 'Nothing is lost: changes wait in the outbox and go on by themselves once it is back.',
    },
  ];
}

function processReasons({ processes }: Pick<Activity, 'processes'>): Why[] {
  const reasons = new Map<string, Why>();
  for (const { state, host, pid, roles, conditions } of processes) {
    const who = `${roles.join(' and ') || 'a process'} on ${host} (${pid})`;
    if (state !== 'running') continue;
    if (conditions.databaseAwaySince !== null) {
      reasons.set('database', {
        where: 'database',
        text: `The database has been away since ${conditions.databaseAwaySince}, says the ${who}.`,
      });
    }
    if (conditions.blockedSince !== null) {
      reasons.set('blocked', {
        where: 'broker',
        text: `The broker holds publishers back: ${conditions.blockedReason ?? 'it does not say why'}.`,
        cure: 'Free its memory or disk.',
      });
    }
    if (conditions.brokerAwaySince !== null) {
      reasons.set('broker', {
        where: 'broker',
        text: `The broker has been away since ${conditions.brokerAwaySince}, says the ${who}.`,
      });
    }
  }
  return [...reasons.values()];
}

function outboxReasons(path: Omit<Overview, 'verdict'>): Why[] {
  const { outbox } = path;
  if (!outbox) return [];
  const reasons: Why[] = [];
  if (hasOldChanges(path)) {
    const seconds = Math.round(outbox.oldestAgeMs! / 1_000);
    reasons.push({ where: 'outbox', text: `The oldest change has waited in the outbox for ${seconds} s.` });
  }
  if (outbox.failed > 0) {
    reasons.push({
      where: 'outbox',
      text: `${outbox.failed} messages for a single queue found no such queue.`,
      cure: 'See Outbox for which; sync the rows to a queue that there is.',
    });
  }
  return reasons;
}

function queueReasons({ queue, queues, broker }: Omit<Overview, 'verdict'>): Why[] {
  if (!broker.reachable) return [];
  const idle = [...(queue ? [queue] : []), ...queues].filter(
    ({ messages, consumers }) => messages !== null && messages > 0 && consumers === 0,
  );
  const missing = queues.filter(({ messages }) => messages === null);
  return [
    ...idle.map(({ name, messages }): Why => ({
      where: 'queue',
      text: `Nobody consumes ${name}, where ${messages} messages wait.`,
      cure: 'Start its consumer: cqrs consume.',
    })),
    ...missing.map(({ name }): Why => ({
      where: 'queue',
      text: `There is no queue ${name}, though the settings name it.`,
      cure: 'Start its consumer once; then sync what it has missed.',
    })),
  ];
}

function letterReasons({ deadLetters, at }: Omit<Overview, 'verdict'>, { history }: Pick<Activity, 'history'>): Why[] {
  const waiting = deadLetters?.messages ?? 0;
  const since = Date.parse(at) - RECENT_MINUTES * 60_000;
  const recent = history
    .filter((period) => Date.parse(period.at) > since)
    .reduce((sum, { deadLettered }) => sum + deadLettered, 0);
  if (waiting === 0 || recent === 0) return [];
  return [
    {
      where: 'dead-letters',
      text: `${recent} messages died within the last ${RECENT_MINUTES} minutes; ${waiting} dead letters wait.`,
      cure: 'See Dead letters for why.',
    },
  ];
}
