import * as z from 'zod';
import { InvalidPayloadError } from '../kernel/errors.js';
import type { ExactTexts } from './exact-texts.js';
import { parseExpiry } from './expiry-times.js';
import { parseDate, parseMicroseconds } from './times.js';
import { parseJson, stringifyJson, type WireObject, type WireValue } from './values.js';

/**
 * The message that travels between services, in the wire format of django-cqrs.
 *
 * - **payload**: one state of one row, or its end.
 * - **revision**: counts the changes of one row, starting at 0 when it is created.
 * - **incarnation**: numbers the incarnations of one key: a row deleted and created again gets a greater one. Python masters
 *   do not send it; then it is null and `cqrs_updated` helps out (see `replication/replica/rules/revision-rules.ts`).
 * - **instance data**: the columns of the row under their wire names, always with `cqrs_revision` and `cqrs_updated`.
 * - **previous data**: tracked fields as they were before the transaction.
 * - **texts**: PostgreSQL's own text of the fields whose JSON says less (see `exact-texts.ts`).
 *
 * Only this file and `values.ts` know the snake_case keys of the body.
 */

/** What happened to the row. Creation and change are both SAVE; SYNC repeats the present state on request. */
export const SignalType = { SAVE: 'SAVE', DELETE: 'DELETE', SYNC: 'SYNC' } as const;
export type SignalType = (typeof SignalType)[keyof typeof SignalType];

/** The order of a row's states: incarnation first, then revision, then `updated` (microseconds since 1970). */
export interface Version {
  readonly incarnation: number | null;
  readonly revision: number;
  readonly updated: number;
}

/** The constructor's argument; everything but the first three has a default. */
export interface TransportPayloadInit {
  signalType: SignalType;
  cqrsId: string;
  instanceData: WireObject;
  /** For people and logs only; the key that counts is in the instance data. Default null. */
  instancePk?: WireValue;
  /** The one queue a SYNC is meant for; it travels as the routing key, never in the body. Default: all replicas. */
  queue?: string | null;
  previousData?: WireObject | null;
  correlationId?: WireValue;
  /** When the message stops being worth delivering; null = never. */
  expires?: Date | null;
  /** How often a replica has already tried. */
  retries?: number;
  meta?: WireValue;
  /** The incarnation of the key this state belongs to, below 2^53; null when the sender does not number incarnations. */
  incarnation?: number | null;
  /** PostgreSQL's texts of fields whose JSON says less, by name and kind. Default null: the instance data say it all. */
  texts?: ExactTexts | null;
}

const MAX_ID_LENGTH = 255;

const bodySchema = z.object({
  signal_type: z.enum(SignalType),
  // No routing key could hold a longer one, and no log line should.
  cqrs_id: z.string().min(1).max(MAX_ID_LENGTH),
  instance_data: z.custom<WireObject>(isPlainObject, 'expected an object'),
  instance_pk: z.custom<WireValue>(() => true).nullish(),
  previous_data: z.custom<WireObject>(isPlainObject, 'expected an object').nullish(),
  correlation_id: z.custom<WireValue>(() => true).nullish(),
  retries: z.int().min(0).nullish(),
  expires: z.string().nullish(),
  meta: z.custom<WireValue>(() => true).nullish(),
  cqrs_incarnation: z.int().min(0).nullish(),
  cqrs_texts: z.custom<ExactTexts>(isTexts, 'expected an object of objects').nullish(),
});

/**
 * One message. Built by the serializer on a master, by `fromMessage` on a replica, or by hand in tests.
 * The ten fields are those of django-cqrs's dataclass of the same name; `incarnation` and `texts` are ours.
 */
export class TransportPayload {
  readonly signalType: SignalType;
  readonly cqrsId: string;
  readonly instanceData: WireObject;
  readonly instancePk: WireValue;
  readonly queue: string | null;
  readonly previousData: WireObject | null;
  readonly correlationId: WireValue;
  readonly expires: Date | null;
  readonly retries: number;
  readonly meta: WireValue;
  readonly incarnation: number | null;
  readonly texts: ExactTexts | null;
  #version: Version | undefined;

  constructor(init: TransportPayloadInit) {
    this.signalType = init.signalType;
    this.cqrsId = init.cqrsId;
    this.instanceData = init.instanceData;
    this.instancePk = init.instancePk ?? null;
    this.queue = init.queue ?? null;
    this.previousData = init.previousData ?? null;
    this.correlationId = init.correlationId ?? null;
    this.expires = init.expires ?? null;
    this.retries = init.retries ?? 0;
    this.meta = init.meta === undefined ? {} : init.meta;
    this.incarnation = init.incarnation ?? null;
    this.texts = init.texts ?? null;
  }

  /**
   * Reads a body as it came from the broker, of our own masters or of django-cqrs (pika and kombu alike).
   * Missing optional keys get their defaults, unknown keys are ignored, numbers keep all their digits.
   * @throws InvalidPayloadError when the body is not JSON, lacks a mandatory key or holds a wrong type.
   */
  static fromMessage(body: string | Uint8Array): TransportPayload {
    const json = parseJson(decodeUtf8(body));
    const wire = isBody(json) ? json : explainedBody(json);
    const expires = wire.expires == null ? null : readExpires(wire.expires);
    if (expires === undefined) throw new InvalidPayloadError("'expires' is not a date", { key: 'expires' });
    const payload = new TransportPayload({
      signalType: wire.signal_type,
      cqrsId: wire.cqrs_id,
      instanceData: wire.instance_data,
      instancePk: wire.instance_pk,
      previousData: wire.previous_data,
      correlationId: wire.correlation_id,
      retries: wire.retries ?? 0,
      expires,
      meta: wire.meta ?? {},
      incarnation: wire.cqrs_incarnation,
      texts: wire.cqrs_texts,
    });
    payload.#version = payload.#readVersion(); // a body without a readable version has its defined end here, not deep in the applier
    return payload;
  }

  /**
   * Where this state stands in the row's history.
   * @throws InvalidPayloadError when `cqrs_revision` or `cqrs_updated` is missing or unreadable.
   */
  get version(): Version {
    return (this.#version ??= this.#readVersion());
  }

  #readVersion(): Version {
    return readVersion(this.cqrsId, this.instanceData, this.incarnation);
  }

  /** Whether the message's time is over at `now` (a `Date` or milliseconds since 1970; default: the present). Null never expires. */
  isExpired(now: Date | number = Date.now()): boolean {
    return this.expires !== null && this.expires.getTime() <= Number(now);
  }

  /** @internal Puts other data in the place of what came, before anybody has looked at it. */
  replaceData(instanceData: WireObject, previousData: WireObject | null): void {
    Object.assign(this, { instanceData, previousData });
    this.#version = undefined;
  }

  /** The body as a plain object, with the wire's key names, in django-cqrs's order. */
  toDict(): WireObject {
    return {
      signal_type: this.signalType,
      cqrs_id: this.cqrsId,
      instance_data: this.instanceData,
      previous_data: this.previousData,
      instance_pk: this.instancePk,
      correlation_id: this.correlationId,
      retries: this.retries,
      expires: this.expires === null ? null : formatExpires(this.expires),
      meta: this.meta,
      ...(this.incarnation === null ? {} : { cqrs_incarnation: this.incarnation }),
      ...(this.texts === null ? {} : { cqrs_texts: this.texts as WireObject }),
    };
  }

  /** The body as it travels. */
  toMessage(): string {
    return stringifyJson(this.toDict());
  }

  /** A copy with some fields replaced, e.g. one more retry. */
  with(changes: Partial<TransportPayloadInit>): TransportPayload {
    const { signalType, cqrsId, instanceData, instancePk, queue } = this;
    const { previousData, correlationId, expires, retries, meta, incarnation, texts } = this;
    const head = { signalType, cqrsId, instanceData, instancePk, queue };
    const rest = { previousData, correlationId, expires, retries, meta, incarnation, texts };
    return new TransportPayload({ ...head, ...rest, ...changes });
  }
}

// A class for the reason that `messaging/inbox/message.ts` gives.
class ReadVersion implements Version {
  constructor(
    readonly incarnation: number | null,
    readonly revision: number,
    readonly updated: number,
  ) {}
}

/**
 * Where a state stands in its row's history.
 * @throws InvalidPayloadError as `TransportPayload.version` does.
 */
export function readVersion(cqrsId: string, instanceData: WireObject, incarnation: number | null): Version {
  const revision = instanceData['cqrs_revision'];
  if (!Number.isSafeInteger(revision) || (revision as number) < 0) {
    throw new InvalidPayloadError("'instance_data.cqrs_revision' is not a whole number", { cqrsId });
  }
  const updated = parseMicroseconds(instanceData['cqrs_updated']);
  if (updated === undefined) {
    throw new InvalidPayloadError("'instance_data.cqrs_updated' is not a date", { cqrsId });
  }
  return new ReadVersion(incarnation, revision as number, updated);
}

/** @internal What the schema says, for the bodies that are right: a worker looks at thousands a second. */
export function isBody(json: WireValue): json is WireObject & z.infer<typeof bodySchema> {
  if (!isPlainObject(json)) return false;
  const { signal_type, cqrs_id, instance_data, previous_data, retries, expires, cqrs_incarnation, cqrs_texts } = json;
  return (
    (signal_type === 'SAVE' || signal_type === 'DELETE' || signal_type === 'SYNC') &&
    typeof cqrs_id === 'string' &&
    cqrs_id !== '' &&
    cqrs_id.length <= MAX_ID_LENGTH &&
    isPlainObject(instance_data) &&
    (previous_data == null || isPlainObject(previous_data)) &&
    (retries == null || isCount(retries)) &&
    (expires == null || typeof expires === 'string') &&
    (cqrs_incarnation == null || isCount(cqrs_incarnation)) &&
    (cqrs_texts == null || isTexts(cqrs_texts))
  );
}

/** @throws InvalidPayloadError that says what the schema has against it. */
function explainedBody(json: WireValue): z.infer<typeof bodySchema> {
  const parsed = bodySchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = issue?.path.join('.') ?? '';
  throw new InvalidPayloadError(key ? `'${key}' ${issue?.message}` : 'the body is not an object', { key });
}

/** Whether a value is one of `TransportPayload.texts`; a text that is none is passed over where it is looked for. */
export function isTexts(value: unknown): value is ExactTexts {
  return isPlainObject(value) && Object.values(value).every(isPlainObject);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A body that is put together from JSON texts, so that what PostgreSQL printed is not read and written once more. */
export interface BodyTexts {
  readonly signalType: SignalType;
  readonly cqrsId: string;
  readonly instanceData: string;
  readonly previousData: string;
  readonly instancePk: string;
  readonly correlationId: string;
  readonly meta: string;
  readonly incarnation: number | null;
  /** Undefined when there are none. */
  readonly texts?: string | undefined;
}

/** The body of a new message, all but `expires`, which `stampExpires` adds when it is published. */
export function bodyOf(texts: BodyTexts): string {
  return (
    `{"signal_type":"${texts.signalType}","cqrs_id":${JSON.stringify(texts.cqrsId)},` +
    `"instance_data":${texts.instanceData},"previous_data":${texts.previousData},"instance_pk":${texts.instancePk},` +
    `"correlation_id":${texts.correlationId},"retries":0,"meta":${texts.meta},"cqrs_incarnation":${texts.incarnation}` +
    `${texts.texts === undefined ? '' : `,"cqrs_texts":${texts.texts}`}}`
  );
}

/** @param body what `bodyOf` made. */
export function stampExpires(body: string, expires: Date | null): string {
  return `${body.slice(0, -1)},"expires":${expires === null ? 'null' : `"${formatExpires(expires)}"`}}`;
}

/** The revision of a body that `bodyOf` made; null when it cannot be read. */
export function revisionIn(body: string): number | null {
  try {
    const { instance_data } = parseJson(body) as { instance_data: WireObject };
    const revision = instance_data['cqrs_revision'];
    return isCount(revision) ? (revision as number) : null;
  } catch {
    return null;
  }
}

/**
 * Seconds precision and an explicit offset: the one form that every django-cqrs consumer survives. So is a year of four
 * digits: what lies beyond ends with it.
 */
export function formatExpires(expires: Date): string {
  const within = new Date(Math.min(Math.max(expires.getTime(), FIRST_DATE), LAST_DATE));
  return `${within.toISOString().slice(0, 19)}+00:00`;
}

const FIRST_DATE = Date.parse('0001-01-01T00:00:00Z');
const LAST_DATE = Date.parse('9999-12-31T23:59:59Z');

// One for all messages that left within the same second, and so in the same batch.
let lastExpires: { readonly text: string; readonly date: Date | undefined } | undefined;

function readExpires(text: string): Date | undefined {
  if (lastExpires?.text !== text) lastExpires = { text, date: parseDate(text) ?? parseExpiry(text) };
  return lastExpires.date;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(body: string | Uint8Array): string {
  if (typeof body === 'string') return body;
  try {
    return utf8.decode(body);
  } catch (error) {
    throw new InvalidPayloadError('the body is not UTF-8', {}, { cause: error });
  }
}

function isPlainObject(value: unknown): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}
