import type { Kysely } from 'kysely';
import type { Events } from '../core/events.js';
import {
  CHANGED_AT_ONCE,
  changeRefused,
  listRefused,
  type RefusedMessage,
  type RefusedSelection,
} from './held-messages.js';

/** Messages of a service that the broker refuses, in an operator's hands; a service without masters has none. */
export class RefusedMessages {
  constructor(
    private readonly parts: {
      readonly client: () => Promise<Kysely<never>>;
      /** Where they are, as SQL names it; undefined: the service has none. */
      readonly table: () => string | undefined;
      readonly events: Events;
      readonly wake: () => void;
    },
  ) {}

  /**
   * Oldest first, at most `limit` (default 100); of each row the first one, which the others wait behind.
   * @param page.after begins behind the message with this `outboxId`
   */
  async list(
    selection: RefusedSelection = {},
    page: { readonly after?: string | undefined; readonly limit?: number } = {},
  ): Promise<RefusedMessage[]> {
    const table = this.parts.table();
    if (table === undefined) return [];
    return listRefused(await this.parts.client(), table, selection, { limit: 100, ...page });
  }

  /** Lets them be attempted now and not later. @returns how many there were */
  retry(selection: RefusedSelection = {}): Promise<number> {
    return this.#change('retry', selection);
  }

  /**
   * Drops them for good, so that those behind them leave. A relay that has some of them in hand is waited for.
   * @returns how many there were
   */
  drop(selection: RefusedSelection = {}): Promise<number> {
    return this.#change('drop', selection);
  }

  async #change(action: 'retry' | 'drop', selection: RefusedSelection): Promise<number> {
    const { client, events, wake } = this.parts;
    const table = this.parts.table();
    if (table === undefined) return 0;
    let count = 0;
    for (let after: string | undefined; ;) {
      const options = { action, selection, after };
      const own = (await client()).transaction().setIsolationLevel('read committed');
      const ids = await own.execute((transaction) => changeRefused(transaction, table, options));
      count += ids.length;
      if (ids.length < CHANGED_AT_ONCE) break;
      after = ids.at(-1);
    }
    if (count > 0) events.emit('cqrs.relay.resolved', { action, count, cqrsId: selection.cqrsId ?? null });
    wake();
    return count;
  }
}
