import { comparedValue } from '../../../wire/exact-texts.js';
import { quoted } from '../../../postgres/identifiers.js';
import type { WireKind, WireValue } from '../../../wire/values.js';
import type { ReplicaDefinition } from './replica-definition.js';

/** A field of the wire as a replica's table has it. */
export interface ContentColumn {
  readonly field: string;
  readonly kind: WireKind;
  /** In SQL; the table is called `t`. */
  readonly expression: string;
  /** The text of the expression → what would have been sent, as it is compared. */
  read(text: string | null): WireValue;
}

/** The columns behind these fields, undefined for those that the replica does not have. */
export function contentColumns(
  definition: ReplicaDefinition,
  fields: readonly string[],
): (ContentColumn | undefined)[] {
  return fields.map((field) => {
    const column = definition.columns.find(({ wire }) => wire.includes(field));
    if (!column) return undefined;
    const own = `t.${quoted(column.field)}`;
    return {
      field,
      kind: column.kind,
      // The cast of an inet adds a netmask that its own output leaves out.
      expression: column.cast === 'inet' ? `abbrev(${own})` : own,
      read: (text) => comparedValue(column.kind, text),
    };
  });
}
