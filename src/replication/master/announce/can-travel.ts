import { InvalidPayloadError, UnsupportedWriteError } from '../../../kernel/errors.js';
import { losesInJson } from '../../../wire/exact-texts.js';
import { mayBeRefused, parseJson, stringifyJson } from '../../../wire/values.js';
import type { MasterDefinition, RowImage } from '../definition/master-table.js';

/**
 * What no replica would take fails while its transaction can still be rolled back, with an error that names the row and
 * never quotes it.
 */
interface State {
  readonly definition: MasterDefinition;
  readonly row: RowImage;
}

/** What user code has answered with, as JSON. @throws UnsupportedWriteError when JSON has no form for it. */
export function userJson(state: State, what: string, value: unknown): string {
  try {
    return stringifyJson(value);
  } catch (error) {
    throw refused(state, `the ${what} has no form in JSON`, 'Answer with plain data.', {}, error);
  }
}

/** @throws UnsupportedWriteError when replicas would refuse to read this. @param json JSON for certain. */
export function requireReadable(state: State, json: string): void {
  if (!mayBeRefused(json)) return;
  try {
    parseJson(json);
  } catch (error) {
    if (!(error instanceof InvalidPayloadError)) throw error;
    throw refused(state, `replicas would not read it: ${error.reason}`, 'Store it in another form.');
  }
}

/** @throws UnsupportedWriteError when the key has no form in JSON: replicas would take two rows for one. */
export function requireWholeKey(state: State): void {
  for (const { mayLose, kind, type, position, field } of state.definition.table.keyColumns) {
    if (!mayLose || !losesInJson(kind, type, state.row[position]!)) continue;
    throw refused(
      state,
      `its key ${field} has no form in JSON that says all of it`,
      'Use another value, or another key.',
    );
  }
}

/** @throws UnsupportedWriteError when the body is longer than `maxPayloadBytes`. */
export function requireShort(state: State, body: string, maxPayloadBytes: number): void {
  // No character takes more than three bytes.
  if (body.length * 3 <= maxPayloadBytes) return;
  const bytes = Buffer.byteLength(body);
  if (bytes <= maxPayloadBytes) return;
  throw refused(
    state,
    `its message has ${bytes} bytes, more than maxPayloadBytes (${maxPayloadBytes})`,
    'Keep large values elsewhere and send where they are, leave them out with CQRS_FIELDS, or raise the limit on both sides and in the broker.',
    { bytes, maxPayloadBytes },
  );
}

function refused(
  { definition: { meta, table, cqrsId }, row }: State,
  reason: string,
  cure: string,
  data: Readonly<Record<string, unknown>> = {},
  cause?: unknown,
): UnsupportedWriteError {
  const key = table.keyOf(row);
  return new UnsupportedWriteError(
    meta.className,
    `${cqrsId} ${key}: ${reason}`,
    cure,
    { cqrsId, key, ...data },
    { cause },
  );
}
