import type { TransportPayload, Version } from '../core/payload.js';

/** A message that could be read, on its way to the handler of its id. */
export interface Received {
  readonly payload: TransportPayload;
  /** When its change was committed, if the sender said so. */
  readonly committedAt: Date | null;
}

/** The end of one message, by name. */
export type Outcome =
  | { readonly kind: 'applied'; readonly action: 'create' | 'update' | 'delete'; readonly version: Version }
  /** Not needed; the reason is a rule's name (`stale`, `duplicate`, `superseded`, …). */
  | { readonly kind: 'skipped'; readonly reason: string }
  /** Failed alone, without harm to the rest of its batch (a hook that threw): to be tried again. */
  | { readonly kind: 'failed'; readonly error: Error }
  /** Will never work as it is. */
  | { readonly kind: 'dead-letter'; readonly reason: string; readonly error?: Error };

/**
 * What reacts to messages. The replica's applier is one; handlers for other kinds of message plug in beside it.
 * `handle` answers with one outcome a message, in the same order, after everything it did is durable; when it rejects,
 * nothing of the batch took place.
 */
export interface Handler {
  readonly cqrsIds: readonly string[];
  handle(batch: readonly Received[]): Promise<readonly Outcome[]>;
}
