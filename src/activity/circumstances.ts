import { describeError } from '../core/describe-error.js';
import { TransportError } from '../core/errors.js';
import type { Events } from '../core/events.js';
import type { Conditions } from './records.js';

/**
 * What a process can know of its broker from what happens to it:
 *
 *   well ──a connection lost, an attempt failed──▶ away ──connected, something went through──▶ well
 *   well ──blocked──▶ blocked ──unblocked, connected anew──▶ well
 *
 * Of the database it is told by whoever asks it regularly (`databaseAnswered`, `databaseFailed`).
 */
export class Circumstances {
  #brokerAwaySince: string | null = null;
  #databaseAwaySince: string | null = null;
  #blocked: { readonly since: string; readonly reason: string } | null = null;
  #lastError: { readonly at: string; readonly text: string } | null = null;
  readonly #off: readonly (() => void)[];

  constructor(events: Events) {
    const failed = ({ error }: { error: Error }): void => {
      this.#noteError(error);
      if (error instanceof TransportError) this.#brokerAwaySince ??= now();
    };
    const well = (): void => void (this.#brokerAwaySince = null);
    this.#off = [
      events.on('cqrs.transport.connected', () => {
        well();
        this.#blocked = null;
      }),
      events.on('cqrs.transport.disconnected', ({ error }) => {
        if (!error) return; // closed by us
        this.#noteError(error);
        this.#brokerAwaySince ??= now();
      }),
      events.on('cqrs.transport.blocked', ({ reason }) => void (this.#blocked ??= { since: now(), reason })),
      events.on('cqrs.transport.unblocked', () => void (this.#blocked = null)),
      events.on('cqrs.relay.failed', failed),
      events.on('cqrs.inbox.failed', failed),
      events.on('cqrs.relay.published', well),
      events.on('cqrs.inbox.batch-applied', well),
      events.on('cqrs.inbox.dead-lettered', ({ error }) => error && this.#noteError(error)),
      events.on('cqrs.inbox.retried', ({ error }) => error && this.#noteError(error)),
    ];
  }

  get conditions(): Conditions {
    return {
      brokerAwaySince: this.#brokerAwaySince,
      databaseAwaySince: this.#databaseAwaySince,
      blockedSince: this.#blocked?.since ?? null,
      blockedReason: this.#blocked?.reason ?? null,
    };
  }

  get lastError(): { readonly at: string; readonly text: string } | null {
    return this.#lastError;
  }

  databaseAnswered(): void {
    this.#databaseAwaySince = null;
  }

  databaseFailed(error: unknown): void {
    this.#databaseAwaySince ??= now();
    this.#noteError(error);
  }

  close(): void {
    for (const off of this.#off) off();
  }

  #noteError(error: unknown): void {
    this.#lastError = { at: now(), text: describeError(error) };
  }
}

function now(): string {
  return new Date().toISOString();
}
