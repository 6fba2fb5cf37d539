interface Item<T> {
  readonly value: T;
  readonly arrivedAt: number;
}

/** Where things wait between coming one by one and being taken in batches. One taker at a time. */
export class Mailbox<T> {
  #items: Item<T>[] = [];
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
    this.#items.push({ value, arrivedAt: this.limits.waitMs > 0 ? performance.now() : 0 });
    this.#notify?.();
  }

  /**
   * The next batch, as soon as it is full or its first item has waited long enough; what gathered while nobody took
   * anything has waited already. Empty once the signal is aborted, whatever is still inside.
   */
  async take(signal: AbortSignal): Promise<T[]> {
    const { batchSize, waitMs } = this.limits;
    while (this.#items.length === 0 && !signal.aborted) await this.#change(signal);
    const deadline = (this.#items[0]?.arrivedAt ?? 0) + waitMs;
    while (this.#items.length < batchSize && !signal.aborted) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) break;
      await this.#change(signal, leftMs);
    }
    return signal.aborted ? [] : this.#items.splice(0, batchSize).map((item) => item.value);
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
