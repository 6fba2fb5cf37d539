import type { Kysely } from 'kysely';
import { MessageRefusedError } from '../../kernel/errors.js';
import type { Events } from '../../kernel/events.js';
import { failPoint } from '../../kernel/fail-points.js';
import { Header } from '../headers.js';
import { stampExpires } from '../../wire/payload.js';
import { Heartbeat } from '../../kernel/heartbeat.js';
import { pause, Service } from '../../kernel/service.js';
import { backoffMilliseconds } from '../../kernel/retrying.js';
import type { Settings } from '../../kernel/settings.js';
import type { OutgoingMessage, PublishResult, Transport } from '../transport/transport.js';
import { BUCKETS, claim, type Executor, fail, type OutboxRow, readWaiting, settle, type Tables } from './outbox.js';
import { readOrigin } from './origin.js';
import { Refused, type RefusedRow } from './refused.js';
import { sequenceOf } from './incarnations.js';
import { forgetRoutes, Routes } from './routes.js';
import { settleAndKeep } from './sent-messages.js';
import { SequenceLift } from './sequence-lift.js';

/** One transaction carries at most so many batches: what a crash sends once more. */
const MOST_BATCHES = 4;
/** So many of them are at the broker at once, which stores one while the other comes in. */
const MOST_IN_FLIGHT = 2;
/** A relay at work says nothing to the database for as long as the broker takes for two batches. */
const LEASE_FACTOR = 3;
/** What PostgreSQL can count. */
const MOST_LEASE_MS = 2 ** 31 - 1;

/**
 * Carries messages from the outbox to the broker, in order per key.
 *
 *   begin ─▶ claim (locks key buckets, reads the oldest) ─▶ publish (pipelined) ─▶ settle (delete what is confirmed) ─▶ commit
 *                                                              ├─ refused by the broker: held (`refused.ts`), and
 *                                                              │  what follows of its key; the others go on
 *                                                              └─ anything else not confirmed: stays, tried again
 *
 * Of a backlog two batches are at the broker at once. What comes behind a message that has failed, in its batch or the next,
 * is published once more behind it.
 *
 * The buckets are locked by the transaction itself, so any number of relays may run: each takes what is free, none
 * overtakes another within a key, and a relay that dies gives its buckets back with its connection. One that is paused,
 * or cut off without a word, loses them when it was silent for too long; what it then does is rolled back. A message is
 * published at least once: a crash between `publish` and `commit` sends the batch again.
 *
 * Beside it `sequence-lift.ts` keeps the sequence of incarnations ahead of the clock, every second, idle or not.
 *
 * It sleeps until a commit of this process wakes it, and looks by itself every `pollIntervalMs` for the messages of
 * other processes.
 */
export class Relay extends Service {
  readonly owner = `relay-${process.pid}`;
  readonly #heartbeat: Heartbeat;
  readonly #refused: Refused;
  readonly #routes: Routes;
  readonly #lift: SequenceLift;
  #loop: Promise<void> = Promise.resolve();
  #wake?: () => void;
  #woken = false;
  /** Names the database of this outbox; empty when it does not tell. */
  #origin?: string;
  /** Whether the last claim had every key bucket. */
  #alone = true;

  constructor(
    private readonly parts: {
      /** The database's client; asked for when the relay starts, since MikroORM connects late. */
      readonly client: () => Promise<Kysely<never>>;
      readonly tables: Tables;
      /** Where what has been sent is remembered; default: nowhere. */
      readonly sentTable?: string | undefined;
      readonly transport: Pick<Transport, 'publish'>;
      /** Makes messages of what is captured and has none yet; answers whether there is more. Default: there is nothing. */
      readonly make?: (() => Promise<boolean>) | undefined;
      /** Makes sure that the transport is connected; called before every batch. */
      readonly connect: () => Promise<void>;
      readonly settings: Settings;
      readonly events: Events;
      /** Tells whether it moves; default: one that nobody asks. */
      readonly heartbeat?: Heartbeat;
    },
  ) {
    super();
    this.#heartbeat = parts.heartbeat ?? new Heartbeat('relay');
    this.#refused = new Refused(parts);
    this.#routes = new Routes(parts.tables.routes);
    this.#lift = new SequenceLift({ ...parts, sequence: sequenceOf(parts.tables.outbox) });
  }

  /** Says that something was committed. Cheap; may be called at any time. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  protected override async onStart(): Promise<void> {
    this.parts.events.emit('cqrs.relay.started', { owner: this.owner });
    this.#loop = this.#run();
    await this.#lift.start();
  }

  protected override async onStop(): Promise<void> {
    this.#wake?.();
    await Promise.all([this.#loop, this.#lift.stop()]);
    this.parts.events.emit('cqrs.relay.stopped', { owner: this.owner });
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.signal.aborted;) {
      this.#woken = false;
      try {
        this.#heartbeat.beat();
        const more = await this.#relaySome();
        this.#heartbeat.rest();
        if (failures > 0) this.parts.events.emit('cqrs.relay.recovered', { failures });
        failures = 0;
        if (!more) await this.#sleep();
      } catch (error) {
        this.#heartbeat.rest();
        if (this.signal.aborted) return;
        const retryInMs = backoffMilliseconds(failures++, { base: 200, max: 10_000 });
        this.parts.events.emit('cqrs.relay.failed', { error: error as Error, retryInMs });
        await pause(retryInMs, this.signal);
      }
    }
  }

  /** One transaction; answers whether more may wait. Rejects when some messages could not be handed over. */
  async #relaySome(): Promise<boolean> {
    const { settings, events, tables } = this.parts;
    const startedAt = performance.now();
    const client = await this.parts.client();
    this.#origin ??= (await readOrigin(client, tables.outbox)) ?? '';
    const more = (await this.parts.make?.()) ?? false;
    await this.parts.connect();
    const { batchSize } = settings.relay;
    const done: OutboxRow[] = [];
    const inFlight: Sent[] = [];
    const keys = new StoppedKeys();
    const routes: RoutesSeen = { found: new Set(), lost: new Set() };
    let failure: Error | undefined;
    let full = false;
    const own = client.transaction().setIsolationLevel('read committed');
    await own.execute(async (transaction) => {
      const take = async (rows: OutboxRow[]): Promise<OutboxRow[]> => {
        full = rows.length === batchSize;
        return this.#refused.holdBack(transaction, rows);
      };
      const leaseMs = Math.min(LEASE_FACTOR * settings.relay.publishTimeoutMs, MOST_LEASE_MS);
      const claimed = await claim(transaction, tables, { leaseMs, limit: batchSize, alone: this.#alone });
      const { buckets } = claimed;
      this.#alone = buckets.length === BUCKETS;
      let next = await take(claimed.rows);
      let batches = 0;
      try {
        while (next.length > 0 || inFlight.length > 0) {
          this.#heartbeat.beat();
          if (next.length > 0) {
            batches++;
            const results = this.#send(next);
            results.catch(() => {}); // told by the await that follows
            inFlight.push({ rows: next, results });
            next = [];
          }
          if (full && batches < MOST_BATCHES && !failure) {
            // While the broker stores these, the database forgets the former and finds the next: whatever is there, since
            // a lower id may have been committed meanwhile.
            const inHand = inFlight.flatMap(({ rows }) => ids(rows));
            next = await take(await readWaiting(transaction, tables, { buckets, inHand, limit: batchSize }));
            if (next.length > 0 && inFlight.length < MOST_IN_FLIGHT) continue;
          }
          const published = await this.#judge(transaction, inFlight[0]!.rows, await inFlight[0]!.results, {
            keys,
            routes,
          });
          inFlight.shift();
          await failPoint(events, 'relay.before-settle');
          if (published.lost.length > 0) await fail(transaction, tables.outbox, ids(published.lost), 'unroutable');
          await this.#refused.hold(transaction, published);
          if (published.confirmed.length > 0) await this.#settle(transaction, tables.outbox, published);
          await failPoint(events, 'relay.before-commit');
          done.push(...published.confirmed, ...published.lost);
          failure ??= published.failure;
          if (failure) next = [];
        }
        if (!failure && buckets.length > 0 && (await this.#refused.isTime(transaction))) {
          failure = await this.#retry(transaction, buckets, { done, routes });
        }
      } finally {
        // Nothing is under way any more when the buckets are free for others.
        await Promise.allSettled(inFlight.map(({ results }) => results));
      }
    });
    await this.#routes.note(client, routes.found);
    if (routes.lost.size > 0) await forgetRoutes(client, tables.routes, [...routes.lost]);
    if (done.length > 0) {
      const lagMs = Math.max(
        0,
        Date.now() - done.reduce((oldest, row) => Math.min(oldest, row.committedAtMs), Infinity),
      );
      const durationMs = Math.round(performance.now() - startedAt);
      events.emit('cqrs.relay.published', { count: done.length, lagMs, durationMs });
    }
    if (failure) throw failure;
    return full || more;
  }

  /** Sends what is due of the held messages. @returns why some could not be handed over */
  async #retry(
    transaction: Executor,
    buckets: readonly number[],
    { done, routes }: { done: OutboxRow[]; routes: RoutesSeen },
  ): Promise<Error | undefined> {
    for (const passing of [true, false]) {
      const rows = await this.#refused.due(transaction, buckets, passing);
      if (rows.length === 0) continue;
      this.#heartbeat.beat();
      const keys = new StoppedKeys();
      const published = await this.#judge(transaction, rows, await this.#send(rows), { keys, routes });
      if (published.confirmed.length > 0) await this.#settle(transaction, this.parts.tables.held, published);
      const lost = published.lost.map((row): RefusedRow => {
        const error = new MessageRefusedError(`there is no queue ${row.queue}`, false, { queue: row.queue });
        return { row, error, giveUpInMs: null };
      });
      const refused = [...published.refused, ...lost];
      if (!published.failure) await this.#refused.attempted(transaction, passing, { rows, refused });
      done.push(...published.confirmed);
      if (published.failure) return published.failure;
    }
    return undefined;
  }

  #settle(transaction: Executor, from: string, { confirmed, unroutable }: Published): Promise<void> {
    const { sentTable, settings } = this.parts;
    const { sentRetentionSeconds } = settings.relay;
    if (sentTable === undefined || sentRetentionSeconds === null) return settle(transaction, from, ids(confirmed));
    const tables = { outbox: from, sent: sentTable };
    return settleAndKeep(transaction, tables, { rows: confirmed, unroutable }, sentRetentionSeconds);
  }

  async #send(rows: readonly OutboxRow[]): Promise<readonly PublishResult[]> {
    const { events, transport } = this.parts;
    await failPoint(events, 'relay.before-publish');
    const results = await transport.publish(rows.map((row) => this.#toMessage(row)));
    await failPoint(events, 'relay.after-confirm');
    return results;
  }

  /**
   * What became of each: confirmed, refused by the broker, lost for good (a SYNC to a queue that is not there), or to be
   * tried again.
   * @param keys of this transaction's messages so far that were stopped; those of these are added.
   */
  async #judge(
    transaction: Executor,
    rows: readonly (OutboxRow & { readonly givenUp?: boolean })[],
    results: readonly PublishResult[],
    { keys, routes }: { keys: StoppedKeys; routes: RoutesSeen },
  ): Promise<Published> {
    const { events, settings } = this.parts;
    const giveUpInMs = settings.relay.unroutableWaitSeconds * 1_000;
    const nowhere = rows.filter((row, index) => results[index] === 'unroutable' && row.queue === null);
    const had = await this.#routes.known(transaction, [...new Set(nowhere.map(({ cqrsId }) => cqrsId))]);
    const published: Published = { confirmed: [], unroutable: new Set(), lost: [], refused: [], behind: [] };
    for (const [index, row] of rows.entries()) {
      const result = results[index];
      const key = `${row.cqrsId} ${row.key}`;
      // What came behind a stopped message of its row goes once more behind it, so that the row's last word stays last.
      if (keys.failed.has(key)) continue;
      if (keys.refused.has(key)) published.behind.push(row);
      else if (typeof result === 'object' && 'refused' in result) {
        keys.refused.add(key);
        published.refused.push({ row, error: result.refused, giveUpInMs: null });
      } else if (
        result === 'unroutable' &&
        row.queue === null &&
        giveUpInMs > 0 &&
        had.has(row.cqrsId) &&
        !row.givenUp
      ) {
        keys.refused.add(key);
        const error = new MessageRefusedError(`no queue is bound for '${row.cqrsId}' any more`, true);
        published.refused.push({ row, error, giveUpInMs });
      } else if (result === 'confirmed' || result === 'unroutable') {
        if (result === 'unroutable') events.emit('cqrs.relay.unroutable', describe(row));
        if (row.queue === null && result === 'confirmed') routes.found.add(row.cqrsId);
        if (row.queue === null && had.has(row.cqrsId)) routes.lost.add(row.cqrsId);
        if (result === 'unroutable' && row.queue !== null) published.lost.push(row);
        else published.confirmed.push(row);
        if (result === 'unroutable') published.unroutable.add(row.id);
      } else {
        keys.failed.add(key);
        published.failure ??=
          result?.failed ?? new Error(`The transport answered ${results.length} times for ${rows.length} messages.`);
      }
    }
    return published;
  }

  #toMessage(row: OutboxRow): OutgoingMessage {
    const ttl = this.parts.settings.master.messageTtlSeconds;
    // Stamped now, not at commit: an outage longer than the time to live loses nothing.
    const expires = ttl === null ? null : new Date(Date.now() + ttl * 1000);
    return {
      route: { cqrsId: row.cqrsId, queue: row.queue },
      body: stampExpires(row.body, expires),
      headers: {
        [Header.committedAt]: Math.round(row.committedAtMs),
        ...(this.#origin ? { [Header.origin]: this.#origin } : {}),
      },
    };
  }

  async #sleep(): Promise<void> {
    if (this.#woken || this.signal.aborted) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const { pollIntervalMs } = this.parts.settings.relay;
    await pause(Math.min(pollIntervalMs, this.#refused.lookInMs), AbortSignal.any([woken.signal, this.signal]));
    this.#wake = undefined;
  }
}

/** A batch that the broker has not answered for yet. */
interface Sent {
  readonly rows: readonly OutboxRow[];
  readonly results: Promise<readonly PublishResult[]>;
}

interface Published {
  readonly confirmed: OutboxRow[];
  /** The ids of those among them that no queue took. */
  readonly unroutable: Set<string>;
  readonly lost: OutboxRow[];
  readonly refused: RefusedRow[];
  /** They wait behind a refused one of their key. */
  readonly behind: OutboxRow[];
  failure?: Error;
}

/** Ids that have a queue, and ids that have none. */
interface RoutesSeen {
  readonly found: Set<string>;
  readonly lost: Set<string>;
}

/** Keys of which a message of this transaction has not left. */
class StoppedKeys {
  readonly failed = new Set<string>();
  readonly refused = new Set<string>();
}

function ids(rows: readonly OutboxRow[]): string[] {
  return rows.map((row) => row.id);
}

function describe(row: OutboxRow): {
  cqrsId: string;
  signalType: OutboxRow['signalType'];
  queue: string | null;
  outboxId: string;
} {
  return { cqrsId: row.cqrsId, signalType: row.signalType, queue: row.queue, outboxId: row.id };
}
