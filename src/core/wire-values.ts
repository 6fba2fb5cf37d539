import { InvalidPayloadError } from './errors.js';
import { bareNonFinite, markNonFinite, quoteNonFinite, unmarkNonFinite } from './non-finite.js';
import { scanJson } from './scan-json.js';

/**
 * One value between three forms, without loss:
 *
 *   PostgreSQL text  ⇄  JSON on the wire  ⇄  JavaScript
 *
 * PostgreSQL's own text is what masters read (`column::text`) and what replicas write (`$1::text[]`), so that
 * microseconds, decimals and 64-bit integers never pass through a JavaScript `Date` or `number`.
 */

/** A number with more digits than a double holds, exactly as it stood in the JSON text (`JSON.rawJSON`). */
export interface ExactNumber {
  readonly rawJSON: string;
}

/** Anything a body can hold. Integers beyond 2^53 are bigint, longer decimals `ExactNumber`, `NaN` is a number. */
export type WireValue = null | boolean | number | bigint | string | ExactNumber | WireValue[] | WireObject;
export interface WireObject {
  [key: string]: WireValue;
}

declare global {
  interface JSON {
    rawJSON(text: string): ExactNumber;
    isRawJSON(value: unknown): value is ExactNumber;
  }
}

// ---------------------------------------------------------------------------------------------------------------
// JSON text ⇄ JavaScript
// ---------------------------------------------------------------------------------------------------------------

const ZERO = 48;
const PROTOTYPE_KEYS = ['__proto__', 'prototype'];
const MAX_DEPTH = 200;
/** More than PostgreSQL's `numeric` holds; to read a number takes longer than its length alone would say. */
const MAX_NUMBER_LENGTH = 150_000;

/**
 * Reads JSON as django-cqrs's ujson writes it: all digits are kept, and the bare tokens `NaN`, `Infinity` and
 * `-Infinity` are numbers.
 * @throws InvalidPayloadError when the text is not JSON, is nested deeper than 200 levels, holds a number of more
 *   than 150 000 characters, or a key that could reach an object's prototype.
 */
export function parseJson(text: string): WireValue {
  // The slower reader is used only for bodies that hold a long number.
  const { longNumbers, brackets } = scanJson(text);
  let value: WireValue;
  try {
    value = (longNumbers ? JSON.parse(text, reviveExactly) : JSON.parse(text)) as WireValue;
  } catch (error) {
    if (error instanceof InvalidPayloadError) throw error;
    value = parseNonFinite(text, error);
  }
  if (brackets > MAX_DEPTH || mayReachPrototype(text)) check(value, 0);
  return value;
}

/** Writes JSON: bigint as a bare integer, `NaN` and infinities as bare tokens, dates in Python's layout, bytes base64. */
export function stringifyJson(value: unknown): string {
  let nonFinite = false;
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key, serialized: unknown) {
    const original = this[key];
    if (typeof serialized === 'bigint') return JSON.rawJSON(String(serialized));
    if (Object.is(serialized, -0)) return JSON.rawJSON('-0.0');
    if (typeof serialized === 'number' && !Number.isFinite(serialized)) {
      nonFinite = true;
      return markNonFinite(serialized);
    }
    if (original instanceof Date) return formatMicroseconds(original.getTime() * 1000);
    if (original instanceof Uint8Array) return Buffer.from(original).toString('base64');
    return serialized;
  });
  if (text === undefined) throw new TypeError('undefined and functions cannot travel');
  return nonFinite ? bareNonFinite(text) : text;
}

function reviveExactly(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined) return value;
  const source = context.source;
  if (source.length > MAX_NUMBER_LENGTH) {
    throw new InvalidPayloadError(`a number is longer than ${MAX_NUMBER_LENGTH} characters`);
  }
  if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value) ? value : BigInt(source);
  return isExact(source, value) ? value : JSON.rawJSON(source);
}

// A decimal is exact when its significant digits are those that the double prints.
function isExact(source: string, value: number): boolean {
  const digits = (text: string): string =>
    withoutLastZeros(text.replace(/e.*$/i, '').replace(/[-.]/g, '').replace(/^0+/, ''));
  return Number.isFinite(value) && (digits(source) === digits(String(value)) || digits(source).length <= 15);
}

// A regular expression would try every run of zeros inside.
function withoutLastZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits.charCodeAt(end - 1) === ZERO) end--;
  return digits.slice(0, end);
}

// Only bodies that JSON.parse refuses come here: the three tokens are put in quotes, everything else stays refused.
function parseNonFinite(text: string, cause: unknown): WireValue {
  const quoted = quoteNonFinite(text);
  if (quoted !== undefined) {
    try {
      return JSON.parse(quoted, (key, value: unknown, context?: { source?: string }) => {
        if (unmarkNonFinite(key) !== undefined) throw new SyntaxError('a key is no string');
        return unmarkNonFinite(value) ?? reviveExactly(key, value, context);
      }) as WireValue;
    } catch (error) {
      if (error instanceof InvalidPayloadError) throw error;
      // reported below with the first error, which speaks of the sender's own text
    }
  }
  throw new InvalidPayloadError('the body is not JSON', {}, { cause: withoutContent(cause) });
}

// V8 quotes the text around a syntax error: row data that must not reach a log.
function withoutContent(cause: unknown): Error {
  return new SyntaxError(cause instanceof RangeError ? 'nested too deeply' : 'unexpected token');
}

/**
 * Whether `parseJson` would have to look closely at a text that is JSON for certain. False, as nearly always, means that
 * it accepts it.
 */
export function mayBeRefused(text: string): boolean {
  if (text.length > MAX_NUMBER_LENGTH || mayReachPrototype(text)) return true;
  return text.length > 2 * MAX_DEPTH && scanJson(text).brackets > MAX_DEPTH;
}

// Written out, or with some of its letters escaped.
function mayReachPrototype(text: string): boolean {
  return text.includes('\\u00') || PROTOTYPE_KEYS.some((key) => text.includes(key));
}

// `constructor` alone is a name like any other; code that copies objects member by member is harmed by what is below it.
function check(value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw new InvalidPayloadError(`nested deeper than ${MAX_DEPTH} levels`);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__' || (key === 'constructor' && hasPrototype(inner))) {
      throw new InvalidPayloadError(`the key '${key}' is not allowed`, { key });
    }
    check(inner, depth + 1);
  }
}

function hasPrototype(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype');
}

// ---------------------------------------------------------------------------------------------------------------
// PostgreSQL text ⇄ wire, by column type
// ---------------------------------------------------------------------------------------------------------------

/** How a column type travels; `integer[]` is an array of integers. `unsupported` is reported at start. */
export type WireKind = ScalarKind | `${ScalarKind}[]`;
type ScalarKind =
  | 'integer'
  | 'float'
  | 'decimal'
  | 'boolean'
  | 'datetime'
  | 'datetime-utc'
  | 'json'
  | 'binary'
  | 'text'
  | 'unsupported';

const KINDS: readonly [RegExp, ScalarKind][] = [
  [/^(smallint|int2?|int4|int8|integer|bigint|smallserial|serial|bigserial|oid)$/, 'integer'],
  [/^(real|float4?|float8|double precision)$/, 'float'],
  [/^(numeric|decimal)$/, 'decimal'],
  [/^bool(ean)?$/, 'boolean'],
  [/^(timestamptz|timestamp with time zone)$/, 'datetime'],
  [/^(timestamp|timestamp without time zone)$/, 'datetime-utc'],
  [/^jsonb?$/, 'json'],
  [/^bytea$/, 'binary'],
  [/^(tsvector|tsquery|xml|pg_lsn|point|line|lseg|box|path|polygon|circle|void)$/, 'unsupported'],
];

/** The way a PostgreSQL column type (`numeric(12,2)`, `timestamptz(6)`, `text[]`) travels; enums and the rest as text. */
export function wireKind(columnType: string): WireKind {
  const bare = columnType
    .toLowerCase()
    .replace(/\(.*?\)/, '')
    .replace(/\s+/g, ' ')
    .trim();
  const scalar = bare.replace(/(\[\])+$/, '');
  const kind = KINDS.find(([pattern]) => pattern.test(scalar))?.[1] ?? 'text';
  return scalar === bare ? kind : `${kind}[]`;
}

/** A column read as `::text` → the JSON fragment of the wire. Decimals become strings, so that nothing is rounded. */
export function textToJson(kind: WireKind, text: string | null): string {
  if (text === null) return 'null';
  switch (kind) {
    case 'integer':
      return text;
    case 'json':
      return text;
    case 'float':
      // without a fraction Python reads an integer, which has no sign at zero
      return text === '-0' ? '-0.0' : text;
    case 'boolean':
      return text === 't' || text === 'true' ? 'true' : 'false';
    case 'datetime':
      return JSON.stringify(pythonDatetime(text));
    case 'datetime-utc':
      return JSON.stringify(pythonDatetime(`${text}+00`));
    case 'binary':
      return JSON.stringify(Buffer.from(text.slice(2), 'hex').toString('base64'));
    default: {
      const element = elementKind(kind);
      return element ? arrayToJson(element, text) : JSON.stringify(text);
    }
  }
}

const INTEGER = /^\s*[+-]?\d{1,100}\s*$/;
const NUMBER = /^\s*[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)\s*$/i;

/**
 * A wire value → the text that PostgreSQL reads for a column of this kind; null stays null.
 * @throws TypeError when the value's JSON type cannot stand for such a column (an object for an integer, say), or a
 *   string for a number. Other text that looks wrong is left to PostgreSQL, which knows its types best.
 */
export function jsonToText(kind: WireKind, value: WireValue): string | null {
  if (value === null || value === undefined) return null;
  if (kind === 'json') return stringifyJson(value);
  const element = elementKind(kind);
  if (element) return formatArray(element, value);
  if (typeof value === 'object' && !JSON.isRawJSON(value)) throw new TypeError(`an object cannot be stored as ${kind}`);
  const text = typeof value === 'object' ? (value as ExactNumber).rawJSON : Object.is(value, -0) ? '-0' : String(value);
  switch (kind) {
    case 'boolean':
      if (value === 1 || value === 0) return value === 1 ? 'true' : 'false';
      if (typeof value !== 'boolean') throw new TypeError(`${jsonType(value)} cannot be stored as boolean`);
      return text;
    case 'integer':
    case 'float':
    case 'decimal':
      if (typeof value === 'boolean') throw new TypeError(`a boolean cannot be stored as ${kind}`);
      if (typeof value === 'string' && !(kind === 'integer' ? INTEGER : NUMBER).test(value)) {
        throw new TypeError(`a string that is no number cannot be stored as ${kind}`);
      }
      return text;
    case 'datetime':
    case 'datetime-utc':
      if (typeof value !== 'string') throw new TypeError(`${jsonType(value)} cannot be stored as a date`);
      return kind === 'datetime-utc' ? toUtcText(value) : withOffset(value);
    case 'binary':
      if (typeof value !== 'string') throw new TypeError(`${jsonType(value)} cannot be stored as bytes`);
      return `\\x${Buffer.from(value, 'base64').toString('hex')}`;
    default:
      return text;
  }
}

function jsonType(value: WireValue): string {
  if (JSON.isRawJSON(value)) return 'a number';
  return value === null ? 'null' : `a ${typeof value === 'bigint' ? 'number' : typeof value}`;
}

// ---------------------------------------------------------------------------------------------------------------
// Times
// ---------------------------------------------------------------------------------------------------------------

const DATETIME =
  /^(\d{4,6})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?$/i;

/** As far off as a `Date` reaches, in milliseconds. */
const MAX_DATE = 8.64e15;

/**
 * A date and time in Python's, ISO's or PostgreSQL's layout → microseconds since 1970; undefined when unreadable.
 * Without an offset the time is taken as UTC.
 */
export function parseMicroseconds(value: unknown): number | undefined {
  const usual = typeof value === 'string' ? parseUsual(value) : undefined;
  if (usual !== undefined) return usual;
  const instant = parseInstant(value);
  const micros = instant && instant.milliseconds * 1000 + instant.microseconds;
  return Number.isSafeInteger(micros) ? micros : undefined;
}

// Nearly every one: in UTC with all six digits, on a day that every month has. Undefined for all others.
function parseUsual(text: string): number | undefined {
  if (text.length !== 32 || text.charCodeAt(19) !== DOT || !text.endsWith('+00:00')) return undefined;
  if (text.charCodeAt(4) !== MINUS || text.charCodeAt(7) !== MINUS || text.charCodeAt(10) !== SPACE) return undefined;
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return undefined;
  const century = twoDigits(text, 0);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  if (
    !(century > 0 && month >= 1 && month <= 12 && day >= 1 && day <= 28 && hour <= 23 && minute <= 59 && second <= 59)
  ) {
    return undefined;
  }
  const seconds = Date.UTC(century * 100 + twoDigits(text, 2), month - 1, day, hour, minute, second) / 1000;
  const micros = seconds * 1_000_000 + twoDigits(text, 20) * 10_000 + twoDigits(text, 22) * 100 + twoDigits(text, 24);
  return Number.isSafeInteger(micros) ? micros : undefined;
}

const [SPACE, MINUS, DOT, COLON] = [32, 45, 46, 58];

/** NaN where there are none. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - ZERO;
  const ones = text.charCodeAt(at + 1) - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : NaN;
}

/** The same as a `Date`, cut to milliseconds, for times as far off as a `Date` reaches. */
export function parseDate(value: unknown): Date | undefined {
  const instant = parseInstant(value);
  return instant && new Date(instant.milliseconds);
}

/** `microseconds`: what is left beside the milliseconds, 0 to 999. */
function parseInstant(value: unknown): { milliseconds: number; microseconds: number } | undefined {
  if (typeof value !== 'string') return undefined;
  const match = DATETIME.exec(value);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = '', offset = 'Z'] = match;
  // Not Date.UTC of it all, which takes the years 0 to 99 for those of the last century.
  const midnight = new Date(0);
  midnight.setUTCFullYear(+year!, +month! - 1, +day!);
  if (midnight.getUTCMonth() !== +month! - 1 || midnight.getUTCDate() !== +day!) return undefined;
  if (+hour! > 23 || +minute! > 59 || +second! > 60) return undefined;
  const digits = fraction.padEnd(6, '0');
  const seconds = +hour! * 3600 + +minute! * 60 + +second! - offsetSeconds(offset);
  const milliseconds = midnight.getTime() + seconds * 1000 + Number(digits.slice(0, 3));
  if (Math.abs(milliseconds) > MAX_DATE) return undefined;
  return { milliseconds, microseconds: Number(digits.slice(3, 6)) };
}

// The rows of a batch are of a few seconds.
let lastSecond: { readonly milliseconds: number; readonly text: string } | undefined;

/** Microseconds since 1970 → Python's `str(datetime)` in UTC: `2021-04-30 11:50:05.164341+00:00`, no zero fraction. */
export function formatMicroseconds(micros: number): string {
  const fraction = ((micros % 1_000_000) + 1_000_000) % 1_000_000;
  const second = (micros - fraction) / 1000;
  if (lastSecond?.milliseconds !== second) {
    const iso = new Date(second).toISOString();
    lastSecond = { milliseconds: second, text: `${iso.slice(0, 10)} ${iso.slice(11, 19)}` };
  }
  const seconds = lastSecond.text;
  return fraction === 0 ? `${seconds}+00:00` : `${seconds}.${String(fraction).padStart(6, '0')}+00:00`;
}

function offsetSeconds(offset: string): number {
  if (offset === '+00:00' || /^z$/i.test(offset)) return 0;
  const [hours = 0, minutes = 0, seconds = 0] = offset.slice(1).match(/\d\d/g)!.map(Number);
  return (offset.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

// PostgreSQL drops trailing zeros of the fraction and minutes of the offset; Python prints both. Infinity and dates
// before Christ have no Python form and travel as PostgreSQL prints them.
function pythonDatetime(text: string): string {
  // nearly every one: a time in UTC with all six digits
  if (text.length === 29 && text.charCodeAt(19) === 46 && text.endsWith('+00')) return `${text}:00`;
  const match = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d)(:\d\d)?$/.exec(text);
  if (!match) return text;
  const [, seconds, fraction, hours, minutes = ':00'] = match;
  return `${seconds}${fraction ? `.${fraction.padEnd(6, '0')}` : ''}${hours}${minutes}`;
}

// A time without an offset means UTC on the wire, whatever the session's time zone is.
function withOffset(text: string): string {
  if (text.endsWith('+00:00')) return text;
  const match = DATETIME.exec(text);
  return match && match[8] === undefined ? `${text}+00` : text;
}

function toUtcText(text: string): string {
  const instant = parseInstant(text);
  if (!instant) return text;
  // Beyond four digits of a year ISO has a sign and zeros in front, which PostgreSQL does not read.
  const iso = new Date(instant.milliseconds).toISOString().replace(/^\+0*/, '');
  return `${iso.slice(0, -1).replace('T', ' ')}${String(instant.microseconds).padStart(3, '0')}`;
}

// ---------------------------------------------------------------------------------------------------------------
// Arrays
// ---------------------------------------------------------------------------------------------------------------

function elementKind(kind: WireKind): ScalarKind | undefined {
  return kind.endsWith('[]') ? (kind.slice(0, -2) as ScalarKind) : undefined;
}

function formatArray(element: ScalarKind, value: WireValue): string {
  if (!Array.isArray(value)) throw new TypeError(`${jsonType(value)} cannot be stored as an array`);
  const items = value.map((item): string => {
    if (item === null) return 'NULL';
    if (Array.isArray(item) && element !== 'json') return formatArray(element, item);
    return `"${jsonToText(element, item)!.replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${items.join(',')}}`;
}

function arrayToJson(element: ScalarKind, text: string): string {
  let at = text.indexOf('{');
  const read = (): string => {
    const items: string[] = [];
    at++;
    while (text[at] !== '}') {
      if (text[at] === ',') at++;
      else if (text[at] === '{') items.push(read());
      else if (text[at] === '"') {
        let item = '';
        for (at++; text[at] !== '"'; at++) item += text[at] === '\\' ? text[++at] : text[at];
        at++;
        items.push(textToJson(element, item));
      } else {
        const start = at;
        while (text[at] !== ',' && text[at] !== '}') at++;
        const item = text.slice(start, at);
        items.push(textToJson(element, item === 'NULL' ? null : item));
      }
    }
    at++;
    return `[${items.join(',')}]`;
  };
  return read();
}
