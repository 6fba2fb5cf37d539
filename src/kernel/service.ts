/**
 * One lifecycle for everything that runs: the relay, the consumer, the purge of tombstones.
 *
 *   idle ──start──▶ running ──stop──▶ stopping ──▶ stopped
 *
 * `start` and `stop` may be called any number of times, from any state, side by side: each call of `start` answers
 * with the same start, each call of `stop` with the same end. What has stopped is not started again: make another one.
 */
export abstract class Service {
  #started?: Promise<void>;
  #stopped?: Promise<void>;
  readonly #abort = new AbortController();

  /** Aborted when `stop` is called; loops and waits listen to it. */
  protected get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves when the part is ready to work; rejects when it cannot start. */
  start(): Promise<void> {
    return (this.#started ??= this.onStart());
  }

  /** Finishes what is in hand, gives everything back, and resolves. Never rejects because of a failed start. */
  stop(): Promise<void> {
    return (this.#stopped ??= (async () => {
      this.#abort.abort();
      if (!this.#started) return;
      await this.#started.catch(() => {});
      await this.onStop();
    })());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  protected abstract onStart(): Promise<void>;
  protected abstract onStop(): Promise<void>;
}

/** Waits for the given time, or until the signal is aborted; it never rejects. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** The promise's value, or undefined as soon as the signal is aborted; `discard` takes a value that comes after that. */
export function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  discard: (late: T) => void,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stopped = (): void => resolve(undefined);
    signal.addEventListener('abort', stopped, { once: true });
    promise
      .then((value) => (signal.aborted ? discard(value) : resolve(value)), reject)
      .finally(() => signal.removeEventListener('abort', stopped));
  });
}
