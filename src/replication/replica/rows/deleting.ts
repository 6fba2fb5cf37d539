import type { EntityManager } from '@mikro-orm/core';
import { toError } from '../../../kernel/describe-error.js';
import { isViolated, type KnownCycles } from '../table/cyclic-references.js';
import { clearColumns } from './cyclic-statements.js';
import { type RowPlan, type Settle, SUPPRESSED } from './row-path.js';
import { inSavepointOf, SqlSession } from './sql-session.js';
import { readStates } from './stored-states.js';
import type { TimeLimits } from '../time-limits.js';
import { bury } from './tombstones.js';

export interface DeletingParts {
  /** The quoted table of `Tombstone`. */
  readonly tombstones: string;
  readonly limits: TimeLimits;
  readonly settle: Settle;
}

/** Deletes the rows of plans and buries their keys, in the order of the plans: children first. */
export async function deleteRows(
  session: SqlSession,
  plans: readonly RowPlan[],
  { limits, ...parts }: DeletingParts,
): Promise<void> {
  for (const plan of plans) await limits.watch('deleting', plan.definition, deletePlanned(session, plan, parts));
}

/**
 * The same where rows refer to each other: those that are to go take their references with them first, or each would hold up
 * the other. A deletion that is still held up, by a row that is to stay or whose own deletion has not come, waits; only one
 * that is alone in its batch, or nobody could tell whose fault it is.
 */
export async function deleteCyclic(
  em: EntityManager,
  plans: readonly RowPlan[],
  { cycles, alone, ...parts }: DeletingParts & { readonly cycles: KnownCycles; readonly alone: boolean },
): Promise<void> {
  const attempt = (): Promise<void> => inSavepointOf(em, (inner) => deleteRows(new SqlSession(inner), plans, parts));
  if (plans.every(({ deletes }) => deletes.length === 0)) return deleteRows(new SqlSession(em), plans, parts);
  try {
    return await attempt();
  } catch (error) {
    if (!isViolated(cycles, error)) throw error;
  }
  const session = new SqlSession(em);
  for (const { definition, deletes } of plans) {
    const columns = cycles.of(definition).flatMap(({ leftOut }) => leftOut);
    if (columns.length === 0 || deletes.length === 0) continue;
    await session.run(
      clearColumns(
        definition,
        columns,
        deletes.map(({ key }) => key.parts),
      ),
    );
  }
  try {
    await attempt();
  } catch (error) {
    const [only] = plans.flatMap(({ deletes }) => deletes);
    if (!alone || !only || !isViolated(cycles, error)) throw error;
    parts.settle(only.message, { kind: 'failed', reason: 'foreign-key', error: toError(error) });
  }
}

async function deletePlanned(
  session: SqlSession,
  plan: RowPlan,
  { tombstones, settle }: Omit<DeletingParts, 'limits'>,
): Promise<void> {
  const { definition, deletes, burials } = plan;
  if (deletes.length > 0) {
    const gone = await session.run(definition.table!.deleteRows(deletes.map(({ key }) => key.parts)));
    if (gone.length < deletes.length) await settleKept(session, plan, { tombstones, settle });
  }
  if (burials.length > 0) await session.run(bury(tombstones, definition.cqrsId, burials));
}

/** Some of these may have gone with others already. */
async function settleKept(
  session: SqlSession,
  { definition, deletes }: RowPlan,
  { tombstones, settle }: Omit<DeletingParts, 'limits'>,
): Promise<void> {
  const keys = deletes.map(({ key }) => key);
  const states = await readStates(session, definition, keys, tombstones);
  for (const { key, message } of deletes) {
    if (states.get(key.text)!.kind === 'row') settle(message, SUPPRESSED);
  }
}
