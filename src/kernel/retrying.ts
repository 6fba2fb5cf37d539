import { pause } from './service.js';

export interface RetryOptions {
  /** Ends the attempts. */
  readonly signal: AbortSignal;
  /** Before the second attempt, in milliseconds; doubled before each that follows. Default 1,000. */
  readonly base?: number;
  /** At most, in milliseconds. Default 30,000. */
  readonly max?: number;
  /** Called for each attempt that failed, before the wait. What it throws ends the attempts. */
  readonly onFailure?: (error: unknown, retryInMs: number) => void;
}

/**
 * Tries until it succeeds, with longer and longer waits.
 * @param attempt is told how many attempts have failed before.
 * @returns its answer; undefined when the signal is aborted before there is one.
 * @throws what `onFailure` throws.
 * @example
 * const subscription = await retrying(() => transport.answer(queue, respond), { signal, onFailure: tell });
 */
export async function retrying<T>(
  attempt: (failures: number) => Promise<T>,
  { signal, base, max, onFailure }: RetryOptions,
): Promise<T | undefined> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      return await attempt(failures);
    } catch (error) {
      if (signal.aborted) return undefined;
      const retryInMs = backoffMilliseconds(failures, { base, max });
      onFailure?.(error, retryInMs);
      await pause(retryInMs, signal);
    }
  }
  return undefined;
}

/** 1 s, 2 s, 4 s … up to 30 s, each shortened at random by up to a third so that processes do not march in step. */
export function backoffMilliseconds(
  attempt: number,
  { base = 1_000, max = 30_000 }: { base?: number | undefined; max?: number | undefined } = {},
): number {
  const full = Math.min(max, base * 2 ** Math.min(attempt, 16));
  return Math.round(full * (1 - Math.random() / 3));
}
