import { MappingError } from '../../../kernel/errors.js';
import { type ExactTexts, givenText } from '../../../wire/exact-texts.js';
import type { TransportPayload } from '../../../wire/payload.js';
import { jsonToText, type WireObject, type WireValue } from '../../../wire/values.js';
import type { LossCheck } from '../table/lossy-text.js';
import type { ReplicaColumn } from './replica-columns.js';
import type { ReplicaDefinition } from './replica-definition.js';

/** A SAVE or SYNC as columns: those that the message has, with the texts that PostgreSQL reads. */
export class MappedRow {
  constructor(
    readonly columns: readonly ReplicaColumn[],
    readonly values: readonly (string | null)[],
    /** Those of the columns that store less than the message brings; undefined where there is none. */
    readonly lossy?: readonly ReplicaColumn[],
  ) {}
}

/**
 * The data of a SAVE or SYNC → columns. Fields that the replica does not know are ignored.
 * @param key what `mapKey` made of the same message. @param texts those of the message. @param checks one a column.
 * @throws MappingError when a field is missing that the mapping names or no row can do without, or is of a JSON type
 *   that cannot stand for its column.
 */
export function mapRow(
  definition: ReplicaDefinition,
  data: WireObject,
  key: readonly string[],
  {
    texts,
    checks,
  }: { readonly texts: ExactTexts | null; readonly checks?: readonly (LossCheck | undefined)[] | undefined },
): MappedRow {
  const { columns, keyColumns } = definition;
  let complete = true;
  let lossy: ReplicaColumn[] | undefined;
  const values = columns.map((column, index) => {
    const name = nameIn(data, column);
    if (name === undefined) {
      if (column.required) throw missing(definition, column);
      complete = false;
      return undefined;
    }
    const at = keyColumns.indexOf(column);
    if (at >= 0) return key[at]!;
    const value = data[name]!;
    const text = toText(definition, column, value, givenText(texts, name, column.kind));
    const check = checks?.[index];
    if (check !== undefined && text !== null && check(text, value)) (lossy ??= []).push(column);
    return text;
  });
  if (complete) return new MappedRow(columns, values as (string | null)[], lossy);
  const present = columns.filter((_, index) => values[index] !== undefined);
  return new MappedRow(
    sharedSet(definition, present),
    values.filter((text) => text !== undefined),
    lossy,
  );
}

// Messages of one kind lack the same columns; rows that share their set are written together.
const lastSets = new WeakMap<ReplicaDefinition, readonly ReplicaColumn[]>();

function sharedSet(definition: ReplicaDefinition, set: readonly ReplicaColumn[]): readonly ReplicaColumn[] {
  const last = lastSets.get(definition);
  if (last?.length === set.length && set.every((column, index) => column === last[index])) return last;
  lastSets.set(definition, set);
  return set;
}

/**
 * The parts of the key, as PostgreSQL reads them: from the columns of a SAVE or SYNC, from `id` of a DELETE (an array
 * when there are several).
 * @throws MappingError when it is missing, null, rounded or cut, or has another number of parts.
 */
export function mapKey(
  definition: ReplicaDefinition,
  payload: Pick<TransportPayload, 'signalType' | 'instanceData'>,
  checks?: readonly (LossCheck | undefined)[],
): string[] {
  const { keyColumns, columns } = definition;
  const data = payload.instanceData;
  const id = payload.signalType === 'DELETE' ? data['id'] : undefined;
  const parts = id === undefined ? undefined : keyColumns.length === 1 ? [id] : id;
  if (parts !== undefined && (!Array.isArray(parts) || parts.length !== keyColumns.length)) {
    throw new MappingError(definition.cqrsId, `'id' is not an array of ${keyColumns.length} key parts`);
  }
  return keyColumns.map((column, index) => {
    const name = nameIn(data, column);
    const value = parts ? parts[index]! : name === undefined ? undefined : data[name]!;
    if (value === undefined) throw missing(definition, column);
    const text = toText(definition, column, value);
    if (text === null)
      throw new MappingError(definition.cqrsId, `the key '${column.wire[0]}' is null`, { field: column.wire[0] });
    // Blanks at the end mean nothing to such a key; all else would make one row of two.
    if (column.cast !== 'bpchar' && checks?.[columns.indexOf(column)]?.(text, value)) {
      const reason = `the key '${column.wire[0]}' holds more than its column ${column.field} stores without rounding or cutting`;
      throw new MappingError(definition.cqrsId, reason, { field: column.wire[0] });
    }
    return text;
  });
}

/** The key under which the data have a column's value. */
function nameIn(data: WireObject, { wire }: ReplicaColumn): string | undefined {
  for (const spelling of wire) if (Object.hasOwn(data, spelling)) return spelling;
  return undefined;
}

/** A wire value as the text of its column. @param given the text that the message has for it. @throws MappingError */
export function toText(
  { cqrsId }: ReplicaDefinition,
  column: ReplicaColumn,
  value: WireValue,
  given?: string,
): string | null {
  let text: string | null;
  try {
    text = given ?? jsonToText(column.kind, value);
  } catch (error) {
    // The cause speaks of types only; it never quotes the value.
    throw new MappingError(
      cqrsId,
      `'${column.wire[0]}' does not fit ${column.type}`,
      { field: column.wire[0] },
      { cause: error },
    );
  }
  if (text === null || (given === undefined && (typeof value === 'number' || typeof value === 'boolean'))) return text;
  if (text.includes('\u0000')) {
    throw new MappingError(cqrsId, `'${column.wire[0]}' holds U+0000, which PostgreSQL cannot store`, {
      field: column.wire[0],
    });
  }
  if (!text.isWellFormed()) {
    throw new MappingError(cqrsId, `'${column.wire[0]}' holds half a character (a lone surrogate)`, {
      field: column.wire[0],
    });
  }
  return text;
}

function missing({ cqrsId }: ReplicaDefinition, column: ReplicaColumn): MappingError {
  return new MappingError(cqrsId, `'${column.wire[0]}' is missing`, { field: column.wire[0] });
}
