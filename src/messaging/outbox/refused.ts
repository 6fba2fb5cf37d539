import type { MessageRefusedError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { backoffMilliseconds } from '../../kernel/retrying.js';
import { keyTextOfJson } from '../../wire/key-text.js';
import type { Settings } from '../../kernel/settings.js';
import { findBehind, type HeldRow, hold, type Hold, holdAgain, isAnyHeld, promote, readDue } from './held-messages.js';
import type { Executor, OutboxRow, Tables } from './outbox.js';

/** A message that the broker does not take, and why. */
export interface RefusedRow {
  readonly row: OutboxRow;
  readonly error: MessageRefusedError;
  /** How long it may wait for a queue that is gone; null: it is not that. */
  readonly giveUpInMs: number | null;
}

/** What ends by itself is tried again soon, what somebody has to mend seldom. */
const BACKOFF = { passing: { base: 1_000, max: 60_000 }, lasting: { base: 5_000, max: 300_000 } } as const;
/** How often it is looked for what is due, and for what other relays may have left behind. */
const LOOK_EVERY_MS = { any: 1_000, none: 10_000 } as const;

/**
 * What a relay does with refused messages. They are attempted again in two lanes, those that wait for something to pass and
 * those that somebody has to mend, so that one kind does not hold up the other. A lane begins with one message; as long as
 * the broker takes all it carries twice as many each time, and after a refusal one again.
 */
export class Refused {
  readonly #lanes = { passing: 1, lasting: 1 };
  #nextLook = 0;

  constructor(
    private readonly parts: { readonly tables: Tables; readonly settings: Settings; readonly events: Events },
  ) {}

  /** After how long it wants to look. */
  get lookInMs(): number {
    return Math.max(0, this.#nextLook - performance.now());
  }

  /** Puts messages whose key is held behind it; answers with the others. */
  async holdBack(transaction: Executor, rows: readonly OutboxRow[]): Promise<OutboxRow[]> {
    if (rows[0]?.anyHeld !== true) return [...rows];
    this.#lookSoon();
    const behind = await findBehind(transaction, this.parts.tables.held, rows);
    if (behind.size > 0) await this.hold(transaction, { refused: [], behind: rows.filter(({ id }) => behind.has(id)) });
    return rows.filter(({ id }) => !behind.has(id));
  }

  /** Takes messages out of the outbox, and says so. */
  async hold(
    transaction: Executor,
    { refused, behind }: { refused: readonly RefusedRow[]; behind: readonly OutboxRow[] },
  ): Promise<void> {
    if (refused.length + behind.length === 0) return;
    const holds = refused.map((one) => this.#holdOf(one, 0));
    await hold(transaction, this.parts.tables, { refused: holds, behind: behind.map(({ id }) => id) });
    this.#lookSoon();
    this.#report(refused, holds);
    if (behind.length > 0) {
      const cqrsIds = [...new Set(behind.map(({ cqrsId }) => cqrsId))];
      this.parts.events.emit('cqrs.relay.held', { count: behind.length, cqrsIds });
    }
  }

  /** What is due in one of the lanes. */
  async due(transaction: Executor, buckets: readonly number[], passing: boolean): Promise<HeldRow[]> {
    const limit = this.#lanes[passing ? 'passing' : 'lasting'];
    return readDue(transaction, this.parts.tables.held, { buckets, passing, limit });
  }

  /** Whether it is time to look, and something is held. */
  async isTime(transaction: Executor): Promise<boolean> {
    if (this.lookInMs > 0) return false;
    const any = await isAnyHeld(transaction, this.parts.tables.held);
    this.#nextLook = performance.now() + LOOK_EVERY_MS[any ? 'any' : 'none'];
    return any;
  }

  /** Notes what became of those that were due. @param found how many there were */
  async attempted(
    transaction: Executor,
    passing: boolean,
    { rows, refused }: { rows: readonly HeldRow[]; refused: readonly RefusedRow[] },
  ): Promise<void> {
    const lane = passing ? 'passing' : 'lasting';
    const most = this.parts.settings.relay.batchSize;
    const holds = refused.map((one) => this.#holdOf(one, (one.row as HeldRow).attempts));
    if (holds.length > 0) await holdAgain(transaction, this.parts.tables.held, holds);
    if (rows.length > 0) await promote(transaction, this.parts.tables.held, rows);
    this.#report(refused, holds);
    const isFull = rows.length >= this.#lanes[lane];
    this.#lanes[lane] = refused.length > 0 ? 1 : Math.min(most, this.#lanes[lane] * 2);
    // The broker takes them again, and there may be more.
    if (refused.length === 0 && isFull) this.#nextLook = 0;
  }

  #lookSoon(): void {
    this.#nextLook = Math.min(this.#nextLook, performance.now() + LOOK_EVERY_MS.any);
  }

  #holdOf({ row, error, giveUpInMs }: RefusedRow, attempts: number): Hold {
    const waits = error.passing || this.parts.settings.relay.onRefused === 'block-key';
    const retryInMs = waits ? backoffMilliseconds(attempts, BACKOFF[error.passing ? 'passing' : 'lasting']) : null;
    return { id: row.id, reason: error.message, passing: error.passing, retryInMs, giveUpInMs };
  }

  #report(refused: readonly RefusedRow[], holds: readonly Hold[]): void {
    refused.forEach(({ row, error }, index) => {
      this.parts.events.emit('cqrs.relay.refused', {
        cqrsId: row.cqrsId,
        signalType: row.signalType,
        instancePk: keyTextOfJson(row.key),
        queue: row.queue,
        outboxId: row.id,
        bytes: Buffer.byteLength(row.body),
        reason: error.message,
        passing: error.passing,
        retryInMs: holds[index]!.retryInMs,
      });
    });
  }
}
