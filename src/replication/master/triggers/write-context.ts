import { CompiledQuery } from 'kysely';
import { InvalidPayloadError, UnsupportedWriteError } from '../../../kernel/errors.js';
import { withNext } from '../../../postgres/round-trips.js';
import { mayBeRefused, parseJson, stringifyJson, type WireValue } from '../../../wire/values.js';
import type { Executor } from '../../../messaging/outbox/outbox.js';

/**
 * What a transaction says of itself to the hooks of its messages: JSON that `master.contextFunction` answers at BEGIN.
 *
 *   driver capture     it stays with the transaction, in this process
 *   trigger capture    BEGIN ─▶ setting of the transaction ─trigger─▶ captured row ─relay─▶ hooks
 *
 * Both ways it is a text until a hook is shown it, so that hooks see the same.
 */

/** The setting that triggers read; other programs may set it, too. */
export const CONTEXT = 'cqrs.context';

/** Each captured row has a copy. */
export const MOST_CONTEXT_BYTES = 2_048;

/**
 * What the function answers now, as JSON; null for none.
 * @throws UnsupportedWriteError when it has no form in JSON, or is too long.
 */
export function contextText(answer: () => WireValue | undefined): string | null {
  const value = answer();
  if (value === undefined || value === null) return null;
  if (typeof (value as { then?: unknown }).then === 'function') throw refused('it is a promise', 'Answer at once.');
  let text: string;
  try {
    text = stringifyJson(value);
    if (mayBeRefused(text)) parseJson(text);
  } catch (error) {
    const why = error instanceof InvalidPayloadError ? error.reason : 'it has no form in JSON';
    throw refused(why, 'Answer with plain data.', { cause: error });
  }
  const bytes = Buffer.byteLength(text);
  if (bytes <= MOST_CONTEXT_BYTES) return text;
  throw refused(`it has ${bytes} bytes, and at most ${MOST_CONTEXT_BYTES} are allowed`, 'Answer with less.');
}

function refused(reason: string, cure: string, options?: ErrorOptions): UnsupportedWriteError {
  return new UnsupportedWriteError(
    'a master',
    `the answer of master.contextFunction is refused, ${reason}`,
    cure,
    {},
    options,
  );
}

/** Gives it to the triggers, until the transaction ends; it travels with the first statement. */
export async function tellTriggers(transaction: Executor, context: string): Promise<void> {
  const sql = withNext(`select set_config('${CONTEXT}', $1, true)`);
  await transaction.executeQuery(CompiledQuery.raw(sql, [context]));
}
