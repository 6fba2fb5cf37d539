/** Where things wait between coming one by one and being taken in batches. One taker at a time. */
export class Mailbox<T> {
  readonly #items: T[] = [];
  /** When each of them came, where that counts. */
  readonly #arrivals: number[] = [];
  #notify: (() => void) | undefined;

  constructor(
    private readonly limits: {
      /** The most that is taken at once. */
      readonly batchSize: number;
      /** How long the first of a batch waits for company. */
      readonly waitMs: number;
    },
  ) {}

  put(value: T): void {
    this.#items.push(value);
    if (this.limits.waitMs > 0) this.#arrivals.push(performance.now());
    this.#notify?.();
  }

  /**
   * The next batch, as soon as it is full or its first item has waited long enough; what gathered while nobody took
   * anything has waited already. Empty once the signal is aborted, whatever is still inside.
   */
  async take(signal: AbortSignal): Promise<T[]> {
    const { batchSize, waitMs } = this.limits;
    while (this.#items.length === 0 && !signal.aborted) await this.#change(signal);
    const deadline = (this.#arrivals[0] ?? 0) + waitMs;
    while (this.#items.length < batchSize && !signal.aborted) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) break;
      await this.#change(signal, leftMs);
    }
    if (signal.aborted) return [];
    this.#arrivals.splice(0, batchSize);
    return this.#items.splice(0, batchSize);
  }

  #change(signal: AbortSignal, atMostMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#notify = undefined;
        resolve();
      };
      const timer = atMostMs === undefined ? undefined : setTimeout(done, atMostMs);
      signal.addEventListener('abort', done, { once: true });
      this.#notify = done;
    });
  }
}
