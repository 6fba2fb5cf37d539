import { setTimeout } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { pause } from '../../kernel/service.js';
import { countHeld } from './held-messages.js';
import { countLive, countWaiting, takeFailures, type Tables } from './outbox.js';
import { Pace } from './pace.js';

/** Messages that were put into the outbox together. */
export interface HandedPage {
  readonly outboxIds: readonly string[];
}

/** Resolves when the next page may be made; with false when there is to be none. */
export type Turn = () => Promise<boolean>;

/** A look at one message, while nothing else is to be done before it has left. */
const LOOK_EVERY_MS = 5;
/** A look at what waits beside the page: others' messages, which it must not hold up. */
const LOOK_FOR_LIVE_EVERY_MS = 20;
/** So many live messages in the outbox are the next moment's work of a relay, and no backlog. */
const FEW_LIVE = 100;
/** After an abort the page in hand has so long to leave. */
const LAST_PAGE_MS = 5_000;

/**
 * Follows messages from the outbox to the broker, page by page, so that who sends many knows when they have left.
 *
 *   make a page ─▶ wake the relay ─▶ until the page before has left ─▶ until pace and live messages allow ─▶ make the next …
 *
 * While the broker takes one page the next one is made: at most two are in the outbox, which is what a live change can
 * have before it. As long as live messages wait there it is one, and none is added to more than a few of them.
 */
export class Drain {
  constructor(
    private readonly parts: {
      readonly client: () => Promise<Kysely<never>>;
      readonly tables: Tables;
      readonly wake: () => void;
    },
  ) {}

  /**
   * Resolves when all pages have left, or, once the signal is aborted, the ones in hand; if these do not leave within
   * some seconds they stay in the outbox, and `onRelayed` is not told of them.
   * @param pages makes them; it waits for its turn before each.
   * @param options.rate so many messages a second at most; default: as fast as they go.
   * @param options.onRelayed is told of each page that has left, how many of its messages no queue would take, and how
   *   many the broker refuses: these are held, and not waited for.
   */
  async run<P extends HandedPage>(
    pages: (turn: Turn) => AsyncIterable<P>,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly rate?: number | undefined;
      readonly onRelayed: (page: P, unroutable: number, refused: number) => void;
    },
  ): Promise<void> {
    const { signal = new AbortController().signal, rate = Infinity, onRelayed } = options;
    const pace = new Pace(rate, performance.now());
    let last: P | undefined;
    const turn = async (): Promise<boolean> => {
      if (last) {
        await pause(pace.wait(last.outboxIds.length, performance.now()), signal);
        await this.#untilLiveHasLeft(last, signal);
      }
      return !signal.aborted;
    };
    let leaving = Promise.resolve(true);
    for await (const page of pages(turn)) {
      last = page;
      this.parts.wake();
      if (!(await leaving)) return;
      leaving = this.#untilRelayed(page, signal, onRelayed);
      leaving.catch(() => {}); // told by the await that follows
    }
    await leaving;
  }

  /** @returns whether it has left. */
  async #untilRelayed<P extends HandedPage>(
    page: P,
    signal: AbortSignal,
    onRelayed: (page: P, unroutable: number, refused: number) => void,
  ): Promise<boolean> {
    const table = this.parts.tables.outbox;
    for (let abortedAt: number | undefined; ;) {
      const client = await this.parts.client();
      if ((await this.#countWaiting(client, page)) === 0) {
        const refused = await countHeld(client, this.parts.tables.held, page.outboxIds);
        onRelayed(page, await takeFailures(client, table, page.outboxIds), refused);
        return true;
      }
      if (signal.aborted) abortedAt ??= performance.now();
      if (abortedAt !== undefined && performance.now() - abortedAt > LAST_PAGE_MS) return false;
      await setTimeout(LOOK_EVERY_MS);
    }
  }

  /** Above 0 while some are there. As long as its last one is, as a rule, the others need not be looked for. */
  async #countWaiting(client: Kysely<never>, { outboxIds }: HandedPage): Promise<number> {
    const table = this.parts.tables.outbox;
    return (await countWaiting(client, table, outboxIds.slice(-1))) || countWaiting(client, table, outboxIds);
  }

  async #untilLiveHasLeft(page: HandedPage, signal: AbortSignal): Promise<void> {
    const table = this.parts.tables.outbox;
    const { outboxIds } = page;
    while (!signal.aborted) {
      const client = await this.parts.client();
      const live = await countLive(client, table, { beside: outboxIds, most: FEW_LIVE + 1 });
      if (live === 0 || (live <= FEW_LIVE && (await this.#countWaiting(client, page)) === 0)) return;
      await pause(LOOK_FOR_LIVE_EVERY_MS, signal);
    }
  }
}
