import { TransportError } from '../../kernel/errors.js';

/** One point in time that several waits share. */
export class Deadline {
  readonly #at: number;

  constructor(private readonly ms: number) {
    this.#at = performance.now() + ms;
  }

  get leftMs(): number {
    return Math.max(0, this.#at - performance.now());
  }

  /** @throws TransportError once the time is over. */
  check(broker: string, doing: string): void {
    if (this.leftMs === 0) throw this.#error(broker, doing);
  }

  /** The promise's value, or a TransportError once the time is over. */
  async cap<T>(promise: Promise<T>, broker: string, doing: string): Promise<T> {
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(this.#error(broker, doing)), this.leftMs);
    try {
      return await Promise.race([promise, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  #error(broker: string, doing: string): TransportError {
    return new TransportError(`${broker}: ${doing} took longer than ${Math.round(this.ms)} ms`, { broker });
  }
}
