import { type EntityMetadata, ReferenceKind } from '@mikro-orm/core';
import type { CqrsEvents } from '../../../kernel/events.js';

/** Many-to-many relations that masters own, whose pivot tables are no masters: nobody is told what is in them. */
export function pivotTables(
  masters: readonly EntityMetadata[],
  isMaster: (entity: unknown) => boolean,
): CqrsEvents['cqrs.master.uncaptured'][] {
  // Under inheritance several classes have the same relation.
  const found = new Map<string, CqrsEvents['cqrs.master.uncaptured']>();
  for (const meta of masters) {
    for (const { kind, owner, name, pivotTable, pivotEntity } of meta.relations) {
      if (kind !== ReferenceKind.MANY_TO_MANY || !owner || found.has(pivotTable) || isMaster(pivotEntity)) continue;
      found.set(pivotTable, {
        entity: meta.className,
        reason: `its relation '${name}' is kept in the pivot table "${pivotTable}", which does not travel`,
        cure: 'Declare an entity for the pivot, name it as pivotEntity of the relation, and make it a master.',
      });
    }
  }
  return [...found.values()];
}
