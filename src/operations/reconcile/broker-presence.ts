import { once } from 'node:events';
import type { Events } from '../../kernel/events.js';

/**
 * Steps that need the broker, done anew when it was lost meanwhile. Nothing is wrong then with whoever was asked, and as
 * long as the broker is away nobody's time for an answer runs.
 */
export class BrokerPresence implements Disposable {
  #losses = 0;
  #away = 0;
  #back = Promise.withResolvers<void>();
  readonly #offs: (() => void)[];

  constructor(
    events: Events,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#offs = [
      events.on('cqrs.transport.disconnected', () => {
        this.#losses++;
        this.#away++;
      }),
      events.on('cqrs.transport.connected', () => {
        if (this.#away === 0 || --this.#away > 0) return;
        this.#back.resolve();
        this.#back = Promise.withResolvers();
      }),
    ];
  }

  async steadily<T>(step: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.#present();
      const losses = this.#losses;
      try {
        return await step();
      } catch (error) {
        if (this.#losses === losses || this.signal?.aborted) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    for (const off of this.#offs) off();
  }

  /** Resolves when the broker is there, or when nobody waits for it any more. */
  async #present(): Promise<void> {
    if (this.#away === 0 || this.signal?.aborted) return;
    const given = new AbortController();
    const stopped = this.signal && once(this.signal, 'abort', { signal: given.signal });
    await Promise.race([this.#back.promise, ...(stopped ? [stopped] : [])]).finally(() => given.abort());
  }
}
