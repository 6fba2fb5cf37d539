import type { Activity } from '../activity/read-activity.js';
import type { Cqrs } from '../cqrs.js';
import type { ReplicaDefinition } from '../replica/replica-definition.js';
import { ApiProblem } from './api-problem.js';
import type { AdminParts, Handle } from './call.js';
import type { ReplicaState } from './contract.js';
import { readSession } from './read-session.js';
import { conditionsOf } from './row-conditions.js';
import { countRows } from './rows.js';
import type { BrowsableTable } from './tables.js';
import { isoTimeOrNull } from './times.js';

/** How far each replica is. */

const TIMEOUT_MS = 1_500;
/** Counting a large table again and again would cost more than it tells. */
const FRESH_MS = 10_000;

type Measured = Pick<ReplicaState, 'rows' | 'lastUpdated'>;

export class ReplicaMeasures {
  readonly #known = new Map<string, { readonly at: number; readonly measured: Promise<Measured> }>();

  constructor(private readonly parts: Pick<AdminParts, 'cqrs' | 'tables'>) {}

  measure(definition: ReplicaDefinition): Promise<Measured> {
    const known = this.#known.get(definition.cqrsId);
    if (known && performance.now() - known.at < FRESH_MS) return known.measured;
    const measured = this.#measure(definition);
    measured.catch(() => this.#known.delete(definition.cqrsId));
    this.#known.set(definition.cqrsId, { at: performance.now(), measured });
    return measured;
  }

  async #measure({ cqrsId, path }: ReplicaDefinition): Promise<Measured> {
    const { cqrs, tables } = this.parts;
    const table = await tables.replica(cqrsId);
    if (path === 'none' || table.whyNoRows !== null) return { rows: { count: null, exact: false }, lastUpdated: null };
    return { rows: await countRows(cqrs, table, {}), lastUpdated: await newest(cqrs, table) };
  }
}

async function newest(cqrs: Cqrs, table: BrowsableTable): Promise<string | null> {
  try {
    return await readSession(cqrs, TIMEOUT_MS, async ({ session }) => {
      const { text, parameters } = conditionsOf(table, {});
      const [row] = await session.run({
        text: `select max(cqrs_updated)::text as last from ${table.name} t where ${text}`,
        parameters,
      });
      return isoTimeOrNull(row?.['last']);
    });
  } catch (error) {
    if (error instanceof ApiProblem && error.code === 'timeout') return null;
    throw error;
  }
}

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
