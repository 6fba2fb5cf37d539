import type { Kysely } from 'kysely';
import { pause } from '../core/service.js';
import { countWaiting, takeFailures } from './outbox.js';

/** Messages that were put into the outbox together. */
export interface HandedPage {
  readonly outboxIds: readonly string[];
}

const LOOK_EVERY_MS = 20;

/**
 * Follows messages from the outbox to the broker, page by page, so that who sends many knows when they have left.
 *
 *   make a page ─▶ wake the relay ─▶ until the page before has left ─▶ make the next …
 *
 * While the broker takes one page the next one is made: at most two are in the outbox.
 */
export class HandOver {
  constructor(
    private readonly parts: {
      readonly client: () => Promise<Kysely<never>>;
      readonly table: string;
      readonly wake: () => void;
    },
  ) {}

  /**
   * Resolves when all pages have left, or, once the signal is aborted, the one in hand.
   * @param options.onRelayed is told of each page that has left, and how many of its messages no queue would take.
   */
  async run<P extends HandedPage>(
    pages: AsyncIterable<P>,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly onRelayed: (page: P, unroutable: number) => void;
    },
  ): Promise<void> {
    let leaving: Promise<void> = Promise.resolve();
    for await (const page of pages) {
      this.parts.wake();
      await leaving;
      leaving = this.#untilRelayed(page.outboxIds, options.signal).then((unroutable) =>
        options.onRelayed(page, unroutable),
      );
      leaving.catch(() => {}); // told by the await that follows
      if (options.signal?.aborted) break;
    }
    await leaving;
  }

  async #untilRelayed(ids: readonly string[], signal = new AbortController().signal): Promise<number> {
    const client = await this.parts.client();
    const { table } = this.parts;
    while ((await countWaiting(client, table, ids)) > 0 && !signal.aborted) await pause(LOOK_EVERY_MS, signal);
    return takeFailures(client, table, ids);
  }
}
