import { KEEP_PLANS_STEADY } from '../../../postgres/prepared-statements.js';
import type { Prepared } from '../prepare.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Stored } from '../rules/revision-rules.js';
import type { SqlSession } from './sql-session.js';
import { statesIn } from './stored-states.js';

/** Messages of one entity, and what is stored of their keys. */
export interface Look {
  readonly definition: ReplicaDefinition;
  readonly messages: readonly Prepared[];
  readonly states: ReadonlyMap<string, Stored>;
}

/**
 * A look at what is stored that takes its COMMIT along, and no lock: what is stale to a committed state stays so,
 * whoever writes meanwhile. Nothing else may be concluded from it.
 * @returns what it has seen, once the transaction is committed
 */
export async function lookWithCommit(
  session: SqlSession,
  byDefinition: readonly (readonly [ReplicaDefinition, readonly Prepared[]])[],
  tombstones: string,
): Promise<() => Look[]> {
  await session.hold({ text: KEEP_PLANS_STEADY, parameters: [], steady: true });
  const looks: (() => Look)[] = [];
  for (const [definition, messages] of byDefinition) {
    const keys = [...new Map(messages.map(({ key }) => [key.text, key])).values()];
    const rows = await session.holdForCommit(definition.table!.readStates(definition.cqrsId, keys, tombstones, false));
    looks.push(() => ({ definition, messages, states: statesIn(definition, keys, rows) }));
  }
  return () => looks.map((look) => look());
}
