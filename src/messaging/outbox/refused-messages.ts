import type { Kysely } from 'kysely';
import type { Events } from '../../kernel/events.js';
import {
  CHANGED_AT_ONCE,
  changeRefused,
  hastenWaits,
  listRefused,
  type RefusedMessage,
  type RefusedSelection,
} from './held-messages.js';
import type { Tables } from './outbox.js';
import { forgetRoutes } from './routes.js';

/** Messages of a service that the broker refuses, in an operator's hands; a service without masters has none. */
export class RefusedMessages {
  constructor(
    private readonly parts: {
      readonly client: () => Promise<Kysely<never>>;
      /** Undefined: the service has none. */
      readonly tables: () => Tables | undefined;
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
    const tables = this.parts.tables();
    if (tables === undefined) return [];
    return listRefused(await this.parts.client(), tables.held, selection, { limit: 100, ...page });
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

  /** @internal For `cqrs retire`: changes whose entity has no queue any more are settled, and told as unroutable. */
  async endWaits(): Promise<void> {
    const tables = this.parts.tables();
    if (tables === undefined) return;
    const client = await this.parts.client();
    await forgetRoutes(client, tables.routes);
    while ((await hastenWaits(client, tables.held)) > 0);
    this.parts.wake();
  }

  async #change(action: 'retry' | 'drop', selection: RefusedSelection): Promise<number> {
    const { client, events, wake } = this.parts;
    const tables = this.parts.tables();
    if (tables === undefined) return 0;
    let count = 0;
    for (let after: string | undefined; ;) {
      const options = { action, selection, after };
      const own = (await client()).transaction().setIsolationLevel('read committed');
      const ids = await own.execute((transaction) => changeRefused(transaction, tables.held, options));
      count += ids.length;
      if (ids.length < CHANGED_AT_ONCE) break;
      after = ids.at(-1);
    }
    if (count > 0) events.emit('cqrs.relay.resolved', { action, count, cqrsId: selection.cqrsId ?? null });
    wake();
    return count;
  }
}
