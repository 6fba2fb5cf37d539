import { describeError } from '../kernel/describe-error.js';
import { TransportError } from '../kernel/errors.js';
import type { CqrsEvents, Events } from '../kernel/events.js';
import type { Conditions } from './records.js';

/** So long after the last message that waited for keys it is taken for over. */
const HELD_MS = 60_000;
/** So long it is said, or until the clock is where it was. */
const CLOCK_BACK_MS = 900_000;

interface Trouble {
  readonly since: string;
  readonly with: 'broker' | 'database' | 'refused' | 'keys' | 'clock';
  readonly text: string;
  /** By the clock of `performance`. */
  until: number;
}

/**
 * What a process can know of its broker and its database from what happens to it:
 *
 *   broker    well ──a connection is lost──▶ away ──connected──▶ well
 *   broker    well ──it refuses what the relay publishes──▶ refused ──it works again──▶ well
 *   either    well ──relay or worker fails──▶ away ──it works again, or has ended──▶ well
 *   broker    well ──blocked──▶ blocked ──unblocked, connected anew──▶ well
 *   database  well ──keys are held by another worker──▶ held ──for a while no more──▶ well
 *   database  well ──its clock goes back──▶ back ──it is where it was, or a quarter of an hour later──▶ well
 *   database  well ──`databaseFailed`──▶ away ──`databaseAnswered`──▶ well
 */
export class Circumstances {
  /** A transport may have several connections. */
  #lostConnections = 0;
  #lostSince: string | null = null;
  #blocked: { readonly since: string; readonly reason: string } | null = null;
  readonly #troubles = new Map<string, Trouble>();
  #lastError: { readonly at: string; readonly text: string } | null = null;
  readonly #off: readonly (() => void)[];

  constructor(events: Events) {
    const failed = (who: string, error: Error): void => {
      const trouble = !(error instanceof TransportError) ? 'database' : isRefusal(error) ? 'refused' : 'broker';
      this.#begin(who, trouble, error);
    };
    const over = (who: string) => (): void => void this.#troubles.delete(who);
    this.#off = [
      events.on('cqrs.transport.connected', () => {
        this.#lostConnections = Math.max(0, this.#lostConnections - 1);
        if (this.#lostConnections === 0) this.#lostSince = null;
        this.#blocked = null;
      }),
      events.on('cqrs.transport.disconnected', ({ error }) => {
        if (!error) return; // closed by us
        this.#noteError(error);
        this.#lostConnections++;
        this.#lostSince ??= now();
      }),
      events.on('cqrs.transport.blocked', ({ reason }) => void (this.#blocked ??= { since: now(), reason })),
      events.on('cqrs.transport.unblocked', () => void (this.#blocked = null)),
      events.on('cqrs.relay.failed', ({ error }) => failed('relay', error)),
      events.on('cqrs.relay.recovered', over('relay')),
      events.on('cqrs.relay.stopped', over('relay')),
      events.on('cqrs.inbox.end-refused', ({ queue, error, retryInMs }) => {
        // Only its silence says that it is over: it is not known which message came back.
        this.#begin(`${queue} ends`, 'refused', error, performance.now() + 2 * retryInMs + LATE_MS);
      }),
      events.on('cqrs.replica.keys-held', ({ queue, holders }) => {
        // Only its silence says that it is over: the next messages may be of other keys.
        this.#set(`${queue} keys`, 'keys', holders.map(nameOf).join('; '), performance.now() + HELD_MS);
      }),
      events.on('cqrs.relay.clock-back', ({ behindMs }) => {
        const until = performance.now() + Math.min(behindMs, CLOCK_BACK_MS);
        this.#set('clock', 'clock', `${Math.round(behindMs / 1_000)} s`, until);
      }),
      events.on('cqrs.inbox.failed', ({ queue, error }) => failed(queue, error)),
      events.on('cqrs.inbox.recovered', ({ queue }) => over(queue)()),
      events.on('cqrs.consumer.stopped', ({ queue }) => over(queue)()),
      events.on('cqrs.inbox.dead-lettered', ({ error }) => error && this.#noteError(error)),
      events.on('cqrs.inbox.retried', ({ error }) => error && this.#noteError(error)),
    ];
  }

  get conditions(): Conditions {
    return {
      brokerAwaySince: earliest([this.#lostSince, ...this.#since('broker')]),
      databaseAwaySince: earliest(this.#since('database')),
      blockedSince: this.#blocked?.since ?? null,
      blockedReason: this.#blocked?.reason ?? null,
      publishRefusedSince: earliest(this.#since('refused')),
      publishRefusedReason: this.#textOf('refused'),
      keysHeldSince: earliest(this.#since('keys')),
      keysHeldBy: this.#textOf('keys'),
      clockBackSince: earliest(this.#since('clock')),
      clockBackBy: this.#textOf('clock'),
    };
  }

  get lastError(): { readonly at: string; readonly text: string } | null {
    return this.#lastError;
  }

  databaseAnswered(): void {
    this.#troubles.delete(PROBE);
  }

  databaseFailed(error: unknown): void {
    this.#begin(PROBE, 'database', error);
  }

  close(): void {
    for (const off of this.#off) off();
  }

  #begin(who: string, trouble: Trouble['with'], error: unknown, until = Infinity): void {
    this.#noteError(error);
    this.#set(who, trouble, describeError(error), until);
  }

  #set(who: string, trouble: Trouble['with'], text: string, until: number): void {
    const known = this.#present.find(([name]) => name === who)?.[1];
    if (known?.with === trouble) known.until = until;
    else this.#troubles.set(who, { since: now(), with: trouble, text, until });
  }

  get #present(): [string, Trouble][] {
    return [...this.#troubles].filter(([, { until }]) => performance.now() < until);
  }

  #textOf(wanted: Trouble['with']): string | null {
    return this.#present.find(([, trouble]) => trouble.with === wanted)?.[1].text ?? null;
  }

  #since(wanted: Trouble['with']): string[] {
    return this.#present
      .map(([, trouble]) => trouble)
      .filter((trouble) => trouble.with === wanted)
      .map(({ since }) => since);
  }

  #noteError(error: unknown): void {
    this.#lastError = { at: now(), text: describeError(error) };
  }
}

const LATE_MS = 10_000;

/** The broker is there, and says no. */
function isRefusal({ data }: TransportError): boolean {
  return data['replyCode'] === 403 || data['replyCode'] === 406;
}

/** A key that is no queue. */
const PROBE = ' probe';

function earliest(instants: readonly (string | null)[]): string | null {
  return instants.filter((instant) => instant !== null).toSorted()[0] ?? null;
}

function now(): string {
  return new Date().toISOString();
}

function nameOf({ pid, application, address }: CqrsEvents['cqrs.replica.keys-held']['holders'][number]): string {
  const who = [application, address].filter((part) => part !== '').join(' at ');
  return `PostgreSQL process ${pid}${who === '' ? '' : ` (${who})`}`;
}
