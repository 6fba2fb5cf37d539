import type { Kysely } from 'kysely';
import type { Events } from '../core/events.js';
import { failPoint } from '../core/fail-points.js';
import { Header } from '../core/headers.js';
import { stampExpires } from '../core/payload.js';
import { backoffMilliseconds, pause, Service } from '../core/service.js';
import type { Settings } from '../core/settings.js';
import type { OutgoingMessage, PublishResult, Transport } from '../transport/transport.js';
import { claim, fail, settle, type OutboxRow } from './outbox.js';

/**
 * Carries messages from the outbox to the broker, in order per key.
 *
 *   begin ─▶ claim (locks key buckets, reads the oldest) ─▶ publish (pipelined) ─▶ settle (delete what is confirmed) ─▶ commit
 *                                                              └─ anything not confirmed: stays, tried again
 *
 * The buckets are locked by the transaction itself, so any number of relays may run: each takes what is free, none
 * overtakes another within a key, and a relay that dies gives its buckets back with its connection. A message is
 * published at least once: a crash between `publish` and `commit` sends the batch again.
 *
 * It sleeps until a commit of this process wakes it, and looks by itself every `pollIntervalMs` for the messages of
 * other processes.
 */
export class Relay extends Service {
  readonly owner = `relay-${process.pid}`;
  #loop: Promise<void> = Promise.resolve();
  #wake?: () => void;
  #woken = false;

  constructor(
    private readonly parts: {
      /** The database's client; asked for when the relay starts, since MikroORM connects late. */
      readonly client: () => Promise<Kysely<never>>;
      readonly table: string;
      readonly transport: Pick<Transport, 'publish'>;
      /** Makes sure that the transport is connected; called before every batch. */
      readonly connect: () => Promise<void>;
      readonly settings: Settings;
      readonly events: Events;
    },
  ) {
    super();
  }

  /** Says that something was committed. Cheap; may be called at any time. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  protected override async onStart(): Promise<void> {
    this.parts.events.emit('cqrs.relay.started', { owner: this.owner });
    this.#loop = this.#run();
  }

  protected override async onStop(): Promise<void> {
    this.#wake?.();
    await this.#loop;
    this.parts.events.emit('cqrs.relay.stopped', { owner: this.owner });
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.signal.aborted;) {
      this.#woken = false;
      try {
        const published = await this.#relayBatch();
        failures = 0;
        if (published < this.parts.settings.relay.batchSize) await this.#sleep();
      } catch (error) {
        if (this.signal.aborted) return;
        const retryInMs = backoffMilliseconds(failures++, { base: 200, max: 10_000 });
        this.parts.events.emit('cqrs.relay.failed', { error: error as Error, retryInMs });
        await pause(retryInMs, this.signal);
      }
    }
  }

  /** One round; answers how many messages it took. Rejects when some of them could not be handed over. */
  async #relayBatch(): Promise<number> {
    const { settings, events, table, transport } = this.parts;
    const client = await this.parts.client();
    await this.parts.connect();
    let failure: Error | undefined;
    const batch = await client.transaction().execute(async (transaction) => {
      const rows = await claim(transaction, table, settings.relay.batchSize);
      if (rows.length === 0) return rows;
      await failPoint(events, 'relay.before-publish');
      const results = await transport.publish(rows.map((row) => this.#toMessage(row)));
      await failPoint(events, 'relay.after-confirm');
      failure = results.map(failureOf).find((error) => error !== undefined);
      const done = rows.filter((_, index) => failureOf(results[index]!) === undefined);
      const lost = done.filter((row) => row.queue !== null && results[rows.indexOf(row)] === 'unroutable');
      rows.forEach((row, index) => {
        if (results[index] === 'unroutable') events.emit('cqrs.relay.unroutable', describe(row));
      });
      if (lost.length > 0) await fail(transaction, table, ids(lost), 'unroutable');
      await failPoint(events, 'relay.before-settle');
      await settle(transaction, table, ids(done.filter((row) => !lost.includes(row))));
      await failPoint(events, 'relay.before-commit');
      return done;
    });
    if (batch.length > 0) {
      const lagMs = Math.max(0, Date.now() - Math.min(...batch.map((row) => row.committedAtMs)));
      events.emit('cqrs.relay.published', { count: batch.length, lagMs });
    }
    if (failure) throw failure;
    return batch.length;
  }

  #toMessage(row: OutboxRow): OutgoingMessage {
    const ttl = this.parts.settings.master.messageTtlSeconds;
    // Stamped now, not at commit: an outage longer than the time to live loses nothing.
    const expires = ttl === null ? null : new Date(Date.now() + ttl * 1000);
    return {
      route: { cqrsId: row.cqrsId, queue: row.queue },
      body: stampExpires(row.body, expires),
      headers: { [Header.committedAt]: Math.round(row.committedAtMs) },
    };
  }

  async #sleep(): Promise<void> {
    if (this.#woken || this.signal.aborted) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await pause(this.parts.settings.relay.pollIntervalMs, AbortSignal.any([woken.signal, this.signal]));
    this.#wake = undefined;
  }
}

function failureOf(result: PublishResult): Error | undefined {
  return typeof result === 'object' ? result.failed : undefined;
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
