import type { TransportPayload, Version } from '../../wire/payload.js';

/** A message that could be read, on its way to the handler of its id. */
export interface Received {
  readonly payload: TransportPayload;
  /** When its change was committed, if the sender said so. */
  readonly committedAt: Date | null;
  /** Sent to this queue alone: a targeted SYNC, a retry, a dead letter put back. */
  readonly direct: boolean;
  /** Its time was over when it came. Superseded it is dropped; newer than what is stored it still counts. */
  readonly expired: boolean;
}

/** The end of one message, by name. */
export type Outcome =
  | { readonly kind: 'applied'; readonly action: 'create' | 'update' | 'delete'; readonly version: Version }
  /**
   * Not needed; the reason is a rule's name (`stale`, `duplicate`, …). `superseded` means that a newer message of this
   * very batch made it needless: should any message of the batch fail, it is handled anew.
   */
  | { readonly kind: 'skipped'; readonly reason: string }
  /** Failed alone, without harm to the rest of its batch (a hook that threw): to be tried again. */
  | { readonly kind: 'failed'; readonly error: Error; readonly reason?: 'foreign-key' | 'keys-held' }
  /** Will never work as it is. */
  | { readonly kind: 'dead-letter'; readonly reason: string; readonly error?: Error };

/** How one id wants its failed messages treated; what is left out follows the settings. */
export interface RetryRules {
  /** Whether to try again after so many retries; replaces `settings.replica.maxRetries`. */
  shouldRetryCqrs?(retries: number, error: Error): boolean;
  /** Seconds to wait before the next attempt; replaces `settings.replica.retryDelaySeconds`. */
  getCqrsRetryDelay?(retries: number): number;
}

/**
 * What reacts to messages. The replica's applier is one; handlers for other kinds of message plug in beside it.
 * `handle` answers with one outcome a message, in the same order, after everything it did is durable. When it rejects,
 * nothing of the batch took place, or it knows what did once these messages are handed in again. It is never called again
 * before it has answered.
 */
export interface Handler {
  readonly cqrsIds: readonly string[];
  handle(batch: readonly Received[]): Promise<readonly Outcome[]>;
  /** The most messages in one call where one of them is of this id. Default: as many as a batch has. */
  atOnce?(cqrsId: string): number;
  retryRules?(cqrsId: string): RetryRules | undefined;
}
