/**
 * Message headers of ours. They are comforts, never needed for correctness: a Python replica that puts a message back
 * drops them, so whatever must survive travels in the body as well.
 */
export const Header = {
  /** When the change was committed, in milliseconds since 1970: the age of a message is counted from here. */
  committedAt: 'x-cqrs-committed-at',
  /** Which database announced the change: two under one CQRS_ID are a mistake. A text that says nothing else. */
  origin: 'x-cqrs-origin',
  /** When a foreign key was first found missing, in milliseconds since 1970. */
  waitingSince: 'x-cqrs-waiting-since',
  /** Why a message was put back or became a dead letter. */
  reason: 'x-cqrs-reason',
} as const;

/** Ours, and what a broker notes of the ways that a message has gone: of a message that is sent on they say nothing. */
const NOT_OF_OTHERS = /^x-(?:cqrs-|death$|first-death-|last-death-|delivery-count$|acquired-count$|stream-|opt-)/;

/**
 * What a message carries beside ours, wherever it goes: `traceparent`, `baggage`, any header whose value is a text, a
 * number or a truth value.
 */
export function headersOfOthers(
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string | number | boolean>> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      (header): header is [string, string | number | boolean] => !NOT_OF_OTHERS.test(header[0]) && isPlain(header[1]),
    ),
  );
}

export function isPlain(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value);
}
