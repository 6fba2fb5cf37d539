import type { Events } from './events.js';

/**
 * The durable boundaries on a message's way, where a test may let a fault happen. Each is named for what is safe already:
 * what comes before it has happened, what comes after it has not.
 *
 * Without a test they cost one look-up in an empty map, a batch or a message. A test reaches them by the `events` of its
 * Cqrs, which every station has already: no option, no environment variable and no export of the package arms them.
 */
export const FAIL_POINTS = [
  /** The rows are written, their messages are not. */
  'master.before-outbox-insert',
  /** The messages are handed to the transaction; it is not committed. */
  'master.after-outbox-insert',
  /** Committed; neither the caller nor the relay knows. */
  'master.after-commit',
  /** A batch is claimed. */
  'relay.before-publish',
  /** The broker has answered for the whole batch. */
  'relay.after-confirm',
  /** The results are weighed; the batch is still in the outbox. */
  'relay.before-settle',
  /** The batch is deleted from the outbox, in a transaction that is not committed. */
  'relay.before-commit',
  /** A batch is read; nothing is begun. */
  'inbox.after-receive',
  /** The rows are written, in a transaction that is not committed. */
  'replica.before-commit',
  /** The rows are committed; the broker does not know. */
  'replica.after-commit',
  /** A message has come to its end, or has a copy elsewhere; the broker was not told. */
  'inbox.before-ack',
  /** The copy that waits for its retry is confirmed; the original is still in the queue. */
  'inbox.while-requeueing',
  /** The dead letter is confirmed; the original is still in the queue. */
  'inbox.while-dead-lettering',
] as const;

export type FailPoint = (typeof FAIL_POINTS)[number];

/** Returns to let the work go on, rejects to fail it, or never answers. */
export type FailPointHook = (name: FailPoint) => Promise<void>;

const armed = new WeakMap<Events, FailPointHook>();

/** For tests: what happens at the fail points of one Cqrs. */
export function armFailPoints(events: Events, hook: FailPointHook): void {
  armed.set(events, hook);
}

/** Nothing, unless a test has armed it. */
export function failPoint(events: Events, name: FailPoint): Promise<void> | undefined {
  return armed.get(events)?.(name);
}
