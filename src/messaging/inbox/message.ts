import { describeError } from '../../kernel/describe-error.js';
import { InvalidPayloadError } from '../../kernel/errors.js';
import type { MessageFields } from '../../kernel/events.js';
import { Header, headersOfOthers } from '../headers.js';
import { keyText } from '../../wire/key-text.js';
import { TransportPayload } from '../../wire/payload.js';
import { type WireObject } from '../../wire/values.js';
import type { Delivery, OutgoingMessage } from '../transport/transport.js';
import type { Verdict } from './failure-policy.js';
import type { Received } from './handler.js';
import { notesIn, withNotes, withoutNotes } from './own-notes.js';

/**
 * A delivery that could be read. What waits in thousands is of a class: V8 learns of object literals how long they live, and
 * would make these in its old space, where they keep all they hold until the next full collection.
 */
export class Message implements Received {
  readonly committedAt: Date | null;
  /** When the row of its foreign key was first found missing. */
  readonly waitingSince: Date | null;
  readonly direct: boolean;
  readonly expired: boolean;
  /** As its sender has sent it: without notes of ours. */
  readonly payload: TransportPayload;

  constructor(
    readonly delivery: Delivery,
    payload: TransportPayload,
    now: number,
  ) {
    const { headers, direct } = delivery;
    const notes = notesIn(payload.meta);
    this.payload = notes ? payload.with({ meta: withoutNotes(payload.meta) }) : payload;
    this.committedAt = toDate(headers[Header.committedAt]);
    this.waitingSince = toDate(headers[Header.waitingSince] ?? notes?.['waitingSince']);
    this.direct = direct;
    this.expired = payload.isExpired(now);
  }
}

/** What is sent on in place of the message that came. */
export interface Reissue {
  readonly body: string;
  readonly headers: NonNullable<OutgoingMessage['headers']>;
}

/** A delivery, read if it can be. */
export type Opened = Message | { readonly delivery: Delivery; readonly unreadable: unknown };

export function open(delivery: Delivery, maxPayloadBytes: number): Opened {
  try {
    return openDelivery(delivery, Date.now(), maxPayloadBytes);
  } catch (error) {
    return { delivery, unreadable: error };
  }
}

/** @throws InvalidPayloadError when the body breaks the wire contract, or is too long to be read at all. */
export function openDelivery(delivery: Delivery, now: number, maxPayloadBytes: number): Message {
  const bytes = delivery.body.byteLength;
  if (bytes > maxPayloadBytes) {
    const reason = `it has ${bytes} bytes, more than maxPayloadBytes (${maxPayloadBytes})`;
    throw new InvalidPayloadError(reason, { bytes, maxPayloadBytes });
  }
  return new Message(delivery, TransportPayload.fromMessage(delivery.body), now);
}

/** The message as it waits in the broker: one retry more if this one counted, and since when it lacks a foreign key. */
export function reissueForRetry(message: Message, verdict: Extract<Verdict, { kind: 'retry' }>): Reissue {
  const { payload } = message;
  const waitingSince = verdict.waitingSince?.getTime();
  return {
    body: payload
      .with({
        retries: Math.min(payload.retries + (verdict.countsAsRetry ? 1 : 0), Number.MAX_SAFE_INTEGER),
        meta: waitingSince === undefined ? payload.meta : withNotes(payload.meta, { waitingSince }),
      })
      .toMessage(),
    headers: {
      ...carriedHeaders(message),
      [Header.reason]: verdict.reason,
      ...(waitingSince === undefined ? {} : { [Header.waitingSince]: waitingSince }),
      ...headersOfOthers(message.delivery.headers),
    },
  };
}

/** The message as it ends: what came, and in `meta.cqrs` why and when it failed. A later revival starts all waits anew. */
export function reissueAsDeadLetter(
  message: Message,
  verdict: Extract<Verdict, { kind: 'dead-letter' }>,
  now: Date,
): Reissue {
  const { payload } = message;
  const error: WireObject = verdict.error ? { error: describeError(verdict.error) } : {};
  return {
    body: payload
      .with({ meta: withNotes(payload.meta, { reason: verdict.reason, ...error, failedAt: now.toISOString() }) })
      .toMessage(),
    headers: {
      ...carriedHeaders(message),
      [Header.reason]: verdict.reason,
      ...headersOfOthers(message.delivery.headers),
    },
  };
}

/** What every event about this message says of it. */
export function fieldsOf({ payload }: Message, queue: string): MessageFields {
  return {
    queue,
    cqrsId: payload.cqrsId,
    signalType: payload.signalType,
    instancePk: shortened(keyText(payload.instancePk) ?? ''),
    retries: payload.retries,
  };
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}

function carriedHeaders({ committedAt }: Message): Record<string, number> {
  return committedAt === null ? {} : { [Header.committedAt]: committedAt.getTime() };
}

function toDate(milliseconds: unknown): Date | null {
  const number = typeof milliseconds === 'string' ? Number.parseInt(milliseconds, 10) : milliseconds;
  if (typeof number !== 'number' || !Number.isFinite(number)) return null;
  const date = new Date(number);
  return Number.isNaN(date.getTime()) ? null : date;
}
