import type { CqrsEventName, CqrsEvents, Events } from '../kernel/events.js';
import { WORDS } from '../observability/log-lines.js';
import type { NoteRecord } from './records.js';

/** A note with the time at which it was taken. */
export interface Note extends NoteRecord {
  readonly at: string;
}

/** What is worth a look later. What happens to every message is counted only; skipped ones are kept as samples. */
const NOTEWORTHY = [
  'cqrs.master.uncaptured',
  'cqrs.master.fields-changed',
  'cqrs.master.set-aside',
  'cqrs.relay.started',
  'cqrs.relay.stopped',
  'cqrs.relay.unroutable',
  'cqrs.relay.refused',
  'cqrs.relay.resolved',
  'cqrs.relay.failed',
  'cqrs.relay.recovered',
  'cqrs.relay.clock-back',
  'cqrs.relay.lift-failed',
  'cqrs.transport.connected',
  'cqrs.transport.disconnected',
  'cqrs.transport.blocked',
  'cqrs.transport.unblocked',
  'cqrs.consumer.started',
  'cqrs.consumer.stopped',
  'cqrs.inbox.gap',
  'cqrs.inbox.skipped',
  'cqrs.inbox.retried',
  'cqrs.inbox.dead-lettered',
  'cqrs.inbox.dead-letters-expiring',
  'cqrs.inbox.origin-changed',
  'cqrs.inbox.unreadable',
  'cqrs.inbox.end-refused',
  'cqrs.inbox.failed',
  'cqrs.inbox.recovered',
  'cqrs.replica.clock-distrusted',
  'cqrs.replica.order-doubted',
  'cqrs.replica.keys-held',
  'cqrs.replica.warned',
  'cqrs.replica.lossy-value',
  'cqrs.replica.query-timed-out',
  'cqrs.replica.compared',
] as const satisfies readonly CqrsEventName[];

/** Of notes alike, so many are kept between two writes; of all together so many. */
const MOST_ALIKE = 3;
const MOST = 50;
const MOST_TEXT = 500;

/** Keeps a bounded number of noteworthy events between two writes. */
export class Notes {
  #notes: Mutable<Note>[] = [];
  #alike = new Map<string, { count: number; last: Mutable<Note> | undefined }>();
  readonly #off: readonly (() => void)[];

  constructor(events: Events) {
    this.#off = NOTEWORTHY.map((name) => events.on(name, (fields) => this.#take(name, fields)));
  }

  /** The notes since the last call, oldest first. */
  take(): readonly Note[] {
    const notes = this.#notes;
    this.#notes = [];
    this.#alike = new Map();
    return notes;
  }

  close(): void {
    for (const off of this.#off) off();
  }

  #take<N extends CqrsEventName>(event: N, fields: CqrsEvents[N]): void {
    const { cqrsId = null, reason = null } = fields as { cqrsId?: string; reason?: string };
    const kind = `${event} ${cqrsId} ${reason}`;
    const alike = this.#alike.get(kind) ?? { count: 0, last: undefined };
    if (alike.count >= MOST_ALIKE || this.#notes.length >= MOST) {
      if (alike.last) alike.last.more++;
      return;
    }
    const words = WORDS[event](fields);
    if ('of' in words) return;
    const key = (fields as { instancePk?: string }).instancePk ?? null;
    const text = words.text.slice(0, MOST_TEXT);
    const note = { at: new Date().toISOString(), event, level: words.level, text, cqrsId, key, reason, more: 0 };
    this.#notes.push(note);
    this.#alike.set(kind, { count: alike.count + 1, last: note });
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
