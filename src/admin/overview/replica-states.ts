import type { Activity } from '../../activity/read-activity.js';
import type { Handle } from '../http/call.js';
import type { ReplicaState } from '../contract.js';

/** How far each replica is. */

function lastComparison(events: Activity['events'], cqrsId: string): ReplicaState['lastComparison'] {
  const found = events.find((noted) => noted.event === 'cqrs.replica.compared' && noted.cqrsId === cqrsId);
  return found ? { at: found.at, text: found.text } : null;
}

export const replicas: Handle<'replicas'> = async ({ cqrs, measures }) => {
  const activity = await cqrs.activity({
    seconds: cqrs.settings.activity.retentionSeconds,
    periodSeconds: 86_400,
    events: 500,
  });
  const lag = activity.history.at(-1)?.applyLagMs ?? null;
  const states = [...cqrs.replicas].map(async (definition): Promise<ReplicaState> => {
    const { cqrsId, path, meta } = definition;
    const counters = activity.entities[cqrsId];
    const reasons = (event: string, total: number): Record<string, number> => {
      const found: Record<string, number> = {};
      for (const noted of activity.events) {
        if (noted.event !== event || noted.cqrsId !== cqrsId) continue;
        const reason = noted.reason ?? 'other';
        found[reason] = (found[reason] ?? 0) + 1 + noted.more;
      }
      const known = Object.values(found).reduce((sum, count) => sum + count, 0);
      // Of those long past only the number is kept, not the reason.
      return known < total ? { ...found, earlier: total - known } : found;
    };
    return {
      cqrsId,
      entity: meta.className,
      path,
      ...(await measures.measure(definition)),
      lastApplied: counters?.lastAppliedAt ?? null,
      lagMs: counters?.lastAppliedAt ? lag : null,
      applied: counters?.applied ?? 0,
      skipped: reasons('cqrs.inbox.skipped', counters?.skipped ?? 0),
      retried: reasons('cqrs.inbox.retried', counters?.retried ?? 0),
      lastComparison: lastComparison(activity.events, cqrsId),
      deadLettered: reasons('cqrs.inbox.dead-lettered', counters?.deadLettered ?? 0),
    };
  });
  return { replicas: (await Promise.all(states)).toSorted((one, other) => one.cqrsId.localeCompare(other.cqrsId)) };
};
