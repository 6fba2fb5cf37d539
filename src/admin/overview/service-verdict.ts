import type { Activity } from '../../activity/read-activity.js';
import type { Health, Reason } from '../../activity/verdict.js';
import type { Overview, Verdict, Why } from '../contract.js';

/** New dead letters trouble for so long; those that have been there are shown, and no alarm. */
const RECENT_MINUTES = 15;

/** What to do about it, where somebody can do something. */
const CURES: Partial<Readonly<Record<Reason['code'], string>>> = {
  'broker-away': 'Nothing is lost: changes wait in the outbox and go on by themselves once it is back.',
  'publish-refused': 'Mend what the broker says, then retry; or drop the messages: see Outbox.',
  unroutable:
    'Start the replica, on the same exchange; then run cqrs reconcile for what it has missed. While no replica is wanted: CQRS_PRODUCE = false, or health.unroutableSeconds = 0.',
  blocked: 'Free its memory or disk.',
  'clock-back': 'Nothing is lost: incarnations go on from their sequence. Set the clock right.',
  stuck: 'Start it again.',
};

/**
 * Whether a service is well: the verdict of `cqrs status`, and beside it what only this page looks at, the queues of other
 * services and dead letters. Pure.
 */
export function decideVerdict(path: Omit<Overview, 'verdict'>, health: Health, history: Activity['history']): Verdict {
  const why = [
    ...health.reasons.map(whyOf),
    ...failedReasons(path),
    ...queueReasons(path),
    ...letterReasons(path, history),
  ];
  return { state: health.state === 'healthy' && why.length > 0 ? 'degraded' : health.state, why };
}

function whyOf({ code, where, text }: Reason): Why {
  const cure = CURES[code];
  return {
    where: where === 'process' ? 'master' : where,
    text: `${text.charAt(0).toUpperCase()}${text.slice(1)}.`,
    ...(cure === undefined ? {} : { cure }),
  };
}

function failedReasons({ outbox }: Omit<Overview, 'verdict'>): Why[] {
  if (!outbox || outbox.failed === 0) return [];
  return [
    {
      where: 'outbox',
      text: `${outbox.failed} messages for a single queue found no such queue.`,
      cure: 'See Outbox for which; sync the rows to a queue that there is.',
    },
  ];
}

function queueReasons({ queues, broker }: Omit<Overview, 'verdict'>): Why[] {
  if (!broker.reachable) return [];
  const idle = queues.filter(({ messages, consumers }) => messages !== null && messages > 0 && consumers === 0);
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
      cure: 'Start its consumer once; then run cqrs reconcile on the master for what it has missed, deletions included.',
    })),
  ];
}

function letterReasons({ deadLetters, at }: Omit<Overview, 'verdict'>, history: Activity['history']): Why[] {
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
