import { describeError } from '../../kernel/describe-error.js';
import { InvalidPayloadError, MappingError } from '../../kernel/errors.js';
import type { TransportPayload } from '../../wire/payload.js';
import type { Settings } from '../../kernel/settings.js';
import { faultOf } from './faults.js';
import type { Outcome, RetryRules } from './handler.js';

/** What is to become of a message that failed. */
export type Verdict =
  | {
      readonly kind: 'retry';
      readonly reason: string;
      readonly delayMs: number;
      /** Whether this attempt is used up: the message comes back with `retries` + 1. */
      readonly countsAsRetry: boolean;
      /** When its foreign key was first found missing; travels with the message, so that the wait has an end. */
      readonly waitingSince: Date | null;
      readonly error: Error;
    }
  | { readonly kind: 'dead-letter'; readonly reason: string; readonly error?: Error };

/** All that counts for the verdict. */
export interface Failure {
  readonly payload: TransportPayload;
  readonly outcome: Extract<Outcome, { kind: 'failed' | 'dead-letter' }>;
  /** When its foreign key was first found missing, if that happened before. */
  readonly waitingSince: Date | null;
  readonly rules: RetryRules | undefined;
  readonly settings: Settings['replica'];
  readonly now: Date;
}

/** The longest a broker can be asked to hold a message back: AMQP counts milliseconds in 32 bits, signed in places. */
const MAX_DELAY_MS = 2 ** 31 - 1;
/** A message waiting for its foreign key looks again at most this many retry delays later. */
const MAX_WAIT_FACTOR = 32;

/**
 * | failed because                     | then                                                                          |
 * |------------------------------------|-------------------------------------------------------------------------------|
 * | it can never work (body, mapping)  | dead letter at once                                                           |
 * | the row of a foreign key is absent | retry within `foreignKeyWaitSeconds` of the first time, not counted           |
 * | another worker holds its key       | retry, not counted                                                            |
 * | deadlock, serialization failure    | retry, not counted: the message is not to blame                               |
 * | anything else                      | retry while attempts are left, `maxRetries` + 1 in all, counted; the entity's |
 * |                                    | own rules come first. Retried for ever means: until the message expires       |
 *
 * A database that is away never comes here: then the whole batch waits in the consumer. So it does where a query has no
 * answer in the driver's own time, for a few tries; if it never has one, the message is to blame. A connection that fails
 * inside a hook is the hook's own affair and counts.
 */
export function decide(failure: Failure): Verdict {
  const { outcome } = failure;
  if (outcome.kind === 'dead-letter') return { kind: 'dead-letter', reason: outcome.reason, error: outcome.error };
  const { error } = outcome;
  if (error instanceof InvalidPayloadError || error instanceof MappingError) {
    return { kind: 'dead-letter', reason: error.code, error };
  }
  const fault = outcome.reason ?? faultOf(error);
  if (fault === 'foreign-key') return awaitForeignKey(failure, error);
  if (fault === 'keys-held') return again(failure, error, 'keys-held', { countsAsRetry: false });
  if (fault === 'conflict') return again(failure, error, 'conflict', { countsAsRetry: false });
  return retryWhileAllowed(failure, error);
}

function awaitForeignKey(failure: Failure, error: Error): Verdict {
  const { settings, now } = failure;
  // A sender's note that lies in the future would make the wait endless.
  const since = failure.waitingSince !== null && failure.waitingSince < now ? failure.waitingSince : now;
  const waitedMs = now.getTime() - since.getTime();
  const leftMs = settings.foreignKeyWaitSeconds * 1000 - waitedMs;
  if (leftMs <= 0) return { kind: 'dead-letter', reason: 'foreign-key', error };
  return {
    kind: 'retry',
    reason: 'foreign-key',
    delayMs: foreignKeyDelay(settings.retryDelaySeconds * 1000, waitedMs),
    countsAsRetry: false,
    waitingSince: since,
    error,
  };
}

// Doubled as the wait grows, and always a doubling of the one delay: a broker may need a queue for each delay.
function foreignKeyDelay(delayMs: number, waitedMs: number): number {
  let factor = 1;
  while (factor < MAX_WAIT_FACTOR && delayMs * factor * 2 <= waitedMs) factor *= 2;
  return Math.min(Math.round(delayMs * factor), MAX_DELAY_MS);
}

function retryWhileAllowed(failure: Failure, error: Error): Verdict {
  const { payload, rules, settings, now } = failure;
  let allowed: boolean;
  try {
    allowed = rules?.shouldRetryCqrs?.(payload.retries, error) ?? allowedBySettings(settings.maxRetries, payload, now);
  } catch (hookError) {
    const blame = new Error(`shouldRetryCqrs threw: ${describeError(hookError)}`, { cause: error });
    if (allowedBySettings(settings.maxRetries, payload, now)) return again(failure, blame, 'failed');
    return { kind: 'dead-letter', reason: 'max-retries', error: blame };
  }
  if (allowed) return again(failure, error, 'failed');
  const expired = settings.maxRetries === null && payload.isExpired(now);
  return { kind: 'dead-letter', reason: expired ? 'expired' : 'max-retries', error };
}

function allowedBySettings(maxRetries: number | null, payload: TransportPayload, now: Date): boolean {
  return maxRetries === null ? !payload.isExpired(now) : payload.retries < maxRetries;
}

function again(failure: Failure, error: Error, reason: string, { countsAsRetry = true } = {}): Verdict {
  return {
    kind: 'retry',
    reason,
    delayMs: retryDelayMs(failure),
    countsAsRetry,
    waitingSince: failure.waitingSince,
    error,
  };
}

// A rule that throws or answers with no time to wait leaves the delay to the settings: the failure itself is what is
// reported, and the message must not be lost or spin because of a slip in its delay.
function retryDelayMs({ payload, rules, settings }: Failure): number {
  let seconds: number | undefined;
  try {
    seconds = rules?.getCqrsRetryDelay?.(payload.retries);
  } catch {
    seconds = undefined;
  }
  const usable = typeof seconds === 'number' && seconds >= 0 ? seconds : settings.retryDelaySeconds;
  return Math.min(Math.round(usable * 1000), MAX_DELAY_MS);
}
