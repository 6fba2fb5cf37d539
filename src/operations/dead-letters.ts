import { createHash } from 'node:crypto';
import { describeError } from '../kernel/describe-error.js';
import { ConfigurationError, InvalidPayloadError } from '../kernel/errors.js';
import { Header, headersOfOthers } from '../messaging/headers.js';
import { deadLetterQueueOf } from '../kernel/queue-names.js';
import { keyText } from '../wire/key-text.js';
import { TransportPayload } from '../wire/payload.js';
import { type WireValue } from '../wire/values.js';
import type { Cqrs } from '../cqrs.js';
import type { Outcome } from '../messaging/inbox/handler.js';
import { notesIn, withoutNotes } from '../messaging/inbox/own-notes.js';
import type { DeadLetter, DeadLetterOptions, DeadLetters } from '../messaging/transport/transport.js';

/** One dead letter as an operator sees it. Only `body` holds row data. */
export interface Letter {
  /** Twelve characters that stand for the body; equal bodies have the same. */
  readonly id: string;
  readonly cqrsId: string | null;
  readonly signalType: string | null;
  /** The key of the row, as the message names it. */
  readonly instancePk: string | null;
  readonly retries: number;
  /**
   * The name of the rule that made it a dead letter, or of the limit by which the broker itself took it out of the queue
   * (`delivery-limit`, `message-ttl`, `max-length`); null when its sender (django-cqrs) does not say. */
  readonly reason: string | null;
  /** What went wrong, if it was told. */
  readonly error: string | null;
  /** When it became a dead letter; if nobody noted that, when its row was changed. */
  readonly since: Date | null;
  readonly body: string;
  /** Undefined when the body cannot be read; then `error` says why. */
  readonly payload: TransportPayload | undefined;
}

/** Which letters; all conditions must hold. */
export interface LetterSelection {
  /** Ids of letters, or their beginnings. */
  readonly ids?: readonly string[] | undefined;
  readonly cqrsIds?: readonly string[] | undefined;
  /** Keys of rows, as the list shows them. */
  readonly keys?: readonly string[] | undefined;
  /** A piece of the reason or of the error, in any case. */
  readonly reason?: string | undefined;
  /** Those that died at least this long ago; a letter that says nothing of its time is never meant. */
  readonly olderThanSeconds?: number | undefined;
  /** Those that died at most this long ago. */
  readonly newerThanSeconds?: number | undefined;
}

/** The dead letters of one queue. */
export interface LetterPlace {
  /** Default: the service's. */
  readonly queue?: string | undefined;
}

const PAGE = 100;

/**
 * The letters that are selected, oldest first, each with what can be done to it. None when there is no such queue.
 * Letters that were looked at are hidden from others until the loop ends. Ends at the last letter that was there when it
 * began, so that a letter which is put back and dies again is not met a second time, or when the signal is aborted.
 */
export async function* selectLetters(
  cqrs: Cqrs,
  selection: LetterSelection & LetterPlace = {},
  signal?: AbortSignal,
): AsyncGenerator<{ letter: Letter; hand: DeadLetter }> {
  await using letters = await openLetters(cqrs, selection);
  for (let left = letters?.count ?? 0; left > 0 && !signal?.aborted;) {
    const page = await letters!.take(Math.min(PAGE, left));
    if (page.length === 0) return;
    left -= page.length;
    for (const hand of page) {
      const letter = readLetter(hand);
      if (isSelected(letter, selection, Date.now())) yield { letter, hand };
      if (signal?.aborted) return;
    }
  }
}

/** Purges every letter at once; answers how many. */
export async function purgeLetters(cqrs: Cqrs, place: LetterPlace = {}): Promise<number> {
  await using letters = await openLetters(cqrs, place);
  return letters ? letters.purge() : 0;
}

/**
 * Puts a letter back to its queue, as new: no retries, and its whole time to live ahead of it if it had one.
 * @throws InvalidPayloadError when its body cannot be read: no consumer could read it either.
 */
export async function putBack(
  { settings }: Cqrs,
  { letter, hand }: { letter: Letter; hand: DeadLetter },
  now = new Date(),
): Promise<void> {
  if (!letter.payload) throw new InvalidPayloadError(letter.error ?? 'it cannot be read');
  const committedAt = hand.headers[Header.committedAt];
  const known = typeof committedAt === 'number' || typeof committedAt === 'string';
  const body = revived(letter.payload, settings.master.messageTtlSeconds, now).toMessage();
  await hand.putBack(body, {
    ...(known ? { [Header.committedAt]: committedAt } : {}),
    ...headersOfOthers(hand.headers),
  });
}

/** What would become of a letter if it were put back now: applied and taken back again. */
export async function dryRunLetter(
  cqrs: Cqrs,
  { letter, hand }: { letter: Letter; hand: DeadLetter },
): Promise<Outcome> {
  if (!letter.payload) return { kind: 'dead-letter', reason: 'unreadable' };
  if (!cqrs.replicas.find(letter.payload.cqrsId)) return { kind: 'dead-letter', reason: 'unknown-cqrs-id' };
  const payload = revived(letter.payload, cqrs.settings.master.messageTtlSeconds, new Date());
  const committedAt = toDate(hand.headers[Header.committedAt]);
  const received = { payload, committedAt, direct: true, expired: false };
  try {
    const [outcome] = await cqrs.replicaRuntime.handle([received], { dryRun: true });
    return outcome!;
  } catch (error) {
    return { kind: 'failed', error: error instanceof Error ? error : new Error(describeError(error)) };
  }
}

async function openLetters(cqrs: Cqrs, place: LetterPlace): Promise<DeadLetters | undefined> {
  const options = letterQueues(cqrs, place);
  await cqrs.connect();
  return cqrs.transport.openDeadLetters(options);
}

/** @throws ConfigurationError when no queue is named. */
export function letterQueues(
  { settings }: Cqrs,
  { queue = settings.queue ?? undefined }: LetterPlace,
): DeadLetterOptions {
  if (queue === undefined) {
    throw new ConfigurationError([
      {
        where: 'settings.queue',
        what: 'it names no queue whose dead letters to look at.',
        cure: 'Name it, or pass --queue.',
      },
    ]);
  }
  return { queue, deadLetterQueue: deadLetterQueueOf(settings, queue) };
}

/** A body and its headers → what an operator sees. */
export function readLetter({
  body,
  headers,
  cqrsId,
  dropped,
}: Pick<DeadLetter, 'body' | 'headers' | 'cqrsId' | 'dropped'>): Letter {
  const text = new TextDecoder().decode(body);
  const common = { id: createHash('sha256').update(body).digest('hex').slice(0, 12), body: text };
  const said = headers[Header.reason];
  // The broker's is the last word: what a worker puts there has nothing of it.
  const reason = dropped?.reason ?? (typeof said === 'string' ? said : null);
  let payload: TransportPayload;
  try {
    payload = TransportPayload.fromMessage(body);
  } catch (error) {
    const unknown = { signalType: null, instancePk: null, retries: 0, since: null, payload: undefined };
    return { ...common, ...unknown, cqrsId, reason: reason ?? 'unreadable', error: describeError(error) };
  }
  const notes = notesIn(payload.meta);
  return {
    ...common,
    cqrsId: payload.cqrsId,
    signalType: payload.signalType,
    instancePk: keyText(payload.instancePk),
    retries: payload.retries,
    reason: dropped?.reason ?? textOf(notes?.['reason']) ?? reason,
    error: dropped ? DROPPED_BY_BROKER : textOf(notes?.['error']),
    since: dropped?.at ?? toDate(textOf(notes?.['failedAt'])) ?? new Date(payload.version.updated / 1000),
    payload,
  };
}

const DROPPED_BY_BROKER =
  'No worker rejected it: the broker took it out of the queue, by an argument or policy of the queue. See: cqrs doctor';

/** @see LetterSelection */
export function isSelected(letter: Letter, selection: LetterSelection, now: number): boolean {
  const { ids, cqrsIds, keys, reason, olderThanSeconds, newerThanSeconds } = selection;
  const ageSeconds = letter.since === null ? undefined : (now - letter.since.getTime()) / 1000;
  const said = `${letter.reason ?? ''} ${letter.error ?? ''}`.toLowerCase();
  return (
    (ids === undefined || ids.some((id) => letter.id.startsWith(id.toLowerCase()))) &&
    (cqrsIds === undefined || cqrsIds.includes(letter.cqrsId ?? '')) &&
    (keys === undefined || keys.includes(letter.instancePk ?? '')) &&
    (reason === undefined || said.includes(reason.toLowerCase())) &&
    (olderThanSeconds === undefined || (ageSeconds !== undefined && ageSeconds >= olderThanSeconds)) &&
    (newerThanSeconds === undefined || (ageSeconds !== undefined && ageSeconds <= newerThanSeconds))
  );
}

/** As django-cqrs does it, and without our notes on its death, as it came from its sender. */
function revived(payload: TransportPayload, ttlSeconds: number | null, now: Date): TransportPayload {
  const renewed = ttlSeconds === null ? null : new Date(now.getTime() + ttlSeconds * 1000);
  return payload.with({ retries: 0, expires: payload.expires && renewed, meta: withoutNotes(payload.meta) });
}

function textOf(value: WireValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function toDate(value: unknown): Date | null {
  if (value === null || value === undefined) return null;
  const date = new Date(typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : (value as string | number));
  return Number.isNaN(date.getTime()) ? null : date;
}
