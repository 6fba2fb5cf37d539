import type { MikroORM } from '@mikro-orm/core';
import { describeError, sqlState, toError } from '../../../kernel/describe-error.js';
import type { Events } from '../../../kernel/events.js';
import { backoffMilliseconds } from '../../../kernel/retrying.js';
import type { Settings } from '../../../kernel/settings.js';
import { append, type Executor } from '../../../messaging/outbox/outbox.js';
import { keyTextOfJson } from '../../../wire/key-text.js';
import type { Announcer } from '../announce/announcer.js';
import { CapturedImages } from './captured-images.js';
import { claimMaking, type NotedChange, readNoted, removeNoted, setAside } from './captured-changes.js';
import type { MasterTable } from '../definition/master-table.js';
import type { CapturedDriver, SqlConnection } from '../mikro-orm-internals.js';

/** A change of which no message can be made is tried again, more and more seldom: a new release may make it. */
const BACKOFF = { base: 5_000, max: 300_000 };
/** A transaction of ours may be silent for so many publications of the broker. */
const LEASE_FACTOR = 3;
const MOST_LEASE_MS = 2 ** 31 - 1;

/**
 * Makes messages of the changes that triggers have captured, by the same serializer and filters as driver capture, and puts
 * them into the outbox. The relay calls it before it looks there.
 *
 *   begin ─▶ claim (one process at a time) ─▶ read the oldest ─▶ make ─▶ outbox, remove ─▶ commit
 *                                                                 └ one fails: rolled back, then each alone;
 *                                                                   the one at fault is set aside, its key waits
 */
export class MessageMaker {
  readonly #images: CapturedImages;
  readonly #sources: readonly string[];

  constructor(
    private readonly parts: {
      readonly orm: MikroORM;
      readonly settings: Settings;
      readonly events: Events;
      readonly announcer: Announcer;
      readonly tables: readonly MasterTable[];
      /** As SQL names them. */
      readonly captured: string;
      readonly outbox: string;
    },
  ) {
    this.#images = new CapturedImages(parts.tables, (table) => this.#driver.getTableName(table.root, {}));
    this.#sources = parts.tables.map(({ name }) => name);
  }

  /** Makes some messages. @returns whether more may wait */
  async make(): Promise<boolean> {
    const { batchSize } = this.parts.settings.relay;
    let read: readonly NotedChange[] = [];
    try {
      await this.#transaction(batchSize, (noted) => void (read = noted));
      // Behind one that had been set aside are others, which were not read.
      return read.length === batchSize || read.some(({ attempts }) => attempts > 0);
    } catch (error) {
      if (read.length === 0 || isOfDatabase(error)) throw error;
      return this.#oneByOne(read.length);
    }
  }

  /** Messages of the oldest changes, each alone: one of them is at fault. */
  async #oneByOne(most: number): Promise<boolean> {
    for (let done = 0; done < most; done++) {
      let change: NotedChange | undefined;
      try {
        if ((await this.#transaction(1, ([only]) => void (change = only))) === 0) return false;
      } catch (error) {
        if (!change || isOfDatabase(error)) throw error;
        await this.#setAside(change, toError(error));
      }
    }
    return true;
  }

  /** @returns how many changes were read */
  async #transaction(limit: number, reading: (noted: readonly NotedChange[]) => void): Promise<number> {
    const { captured, outbox, announcer, settings } = this.parts;
    const leaseMs = Math.min(LEASE_FACTOR * settings.relay.publishTimeoutMs, MOST_LEASE_MS);
    let committed = (): void => {};
    const read = await this.#connection.transactional(
      async (transaction) => {
        const executor = transaction as unknown as Executor;
        if (!(await claimMaking(executor, leaseMs))) return 0;
        const noted = await readNoted(executor, captured, { sources: this.#sources, limit });
        if (noted.length === 0) return 0;
        reading(noted);
        const changes = noted.map((change) => this.#images.changeOf(change));
        const entries = await announcer.entriesOf(transaction, changes, (one) => this.#images.definitionFor(one));
        if (entries.length > 0) await append(executor, outbox, entries);
        const ids = noted.map(({ id }) => id);
        await removeNoted(executor, captured, ids);
        committed = () => announcer.tell(entries);
        return noted.length;
      },
      { isolationLevel: 'read committed' },
    );
    committed();
    return read;
  }

  async #setAside(change: NotedChange, error: Error): Promise<void> {
    const { captured, events } = this.parts;
    const retryInMs = backoffMilliseconds(change.attempts, BACKOFF);
    const { table, key } = this.#images.changeOf(change);
    const reason = describeError(error);
    await this.#connection.transactional(async (transaction) =>
      setAside(transaction as unknown as Executor, captured, { id: change.id, reason, retryInMs }),
    );
    events.emit('cqrs.master.set-aside', {
      entity: table.root.className,
      instancePk: keyTextOfJson(key),
      reason,
      error,
      retryInMs,
    });
  }

  get #driver(): CapturedDriver {
    return this.parts.orm.driver as unknown as CapturedDriver;
  }

  get #connection(): SqlConnection {
    return this.#driver.getConnection('write');
  }
}

/** Not of the change at hand: the connection, a conflict with others, a full disk, a server that goes down. */
function isOfDatabase(error: unknown): boolean {
  return /^(?:08|25|40|53|55|57|58)/.test(sqlState(error) ?? '');
}
