import { MappingError } from '../../../kernel/errors.js';
import type { Events } from '../../../kernel/events.js';
import type { Settings } from '../../../kernel/settings.js';
import type { Outcome } from '../../../messaging/inbox/handler.js';
import type { MappedRow } from '../definition/field-mapping.js';
import type { KnownTables } from './known-tables.js';
import type { LossCheck } from './lossy-text.js';
import type { ReplicaColumn } from '../definition/replica-columns.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';

/** Why a message is a dead letter whose value a column would round or cut. */
export const LOSSY_VALUE = 'lossy-value';

/**
 * Values that a column rounds or cuts: dead letters, or applied and told, once a column and process. That they are is seen
 * on the texts of the message, before they are sent.
 */
export class LossyValues {
  readonly #told = new Set<ReplicaColumn>();

  constructor(
    private readonly parts: { readonly settings: Settings; readonly events: Events; readonly tables: KnownTables },
  ) {}

  /** One a column, in their order; undefined for columns that lose nothing in silence. */
  checksOf(definition: ReplicaDefinition): readonly (LossCheck | undefined)[] | undefined {
    return this.parts.tables.of(definition)?.checks;
  }

  /** How a message ends of which something would be lost; undefined where nothing is, or where that may be. */
  verdict(definition: ReplicaDefinition, { lossy }: MappedRow): Outcome | undefined {
    if (lossy === undefined || this.parts.settings.replica.lossyValues === 'apply') return undefined;
    const [column] = lossy;
    const field = column!.wire[0]!;
    const type = this.#typeOf(definition, column!);
    const reason = `'${field}' holds more than its column ${column!.field} (${type}) stores without rounding or cutting`;
    return { kind: 'dead-letter', reason: LOSSY_VALUE, error: new MappingError(definition.cqrsId, reason, { field }) };
  }

  /** Tells of a row that was stored. */
  report(definition: ReplicaDefinition, { lossy }: Pick<MappedRow, 'lossy'>): void {
    for (const column of lossy ?? []) {
      if (this.#told.has(column)) continue;
      this.#told.add(column);
      this.parts.events.emit('cqrs.replica.lossy-value', {
        cqrsId: definition.cqrsId,
        field: column.wire[0]!,
        table: definition.table!.name,
        column: column.field,
        columnType: this.#typeOf(definition, column),
      });
    }
  }

  #typeOf(definition: ReplicaDefinition, { field, type }: ReplicaColumn): string {
    return this.parts.tables.of(definition)?.found.columns.find(({ name }) => name === field)?.type ?? type;
  }
}
