import type { CqrsEvents } from '../../../kernel/events.js';
import type { RelatedTable } from '../checks/related-tables.js';

/** Tables through which rows of a master are written past its triggers: those of a statement fire for the table that it names. */
export function partsWithoutTriggers(related: readonly RelatedTable[]): CqrsEvents['cqrs.master.uncaptured'][] {
  return related
    .filter(({ master, kind }) => master.capture === 'trigger' && (kind === 'part' || kind === 'whole'))
    .map(({ master, kind, name }) => ({
      entity: master.root.className,
      reason:
        kind === 'part'
          ? `its table is kept in parts, and a statement that names the part "${name}" is not captured`
          : `its table is a part of "${name}", and a statement that names that one is not captured`,
      cure: `Write by the table of ${master.root.className} alone.`,
    }));
}
