import { type Nested, readArray } from './array-text.js';
import { InvalidPayloadError } from '../kernel/errors.js';
import { bareNonFinite, markNonFinite, quoteNonFinite, unmarkNonFinite } from './non-finite.js';
import { scanJson } from './scan-json.js';
import { formatMicroseconds, pythonDatetime, withOffset, toUtcText } from './times.js';

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
  if (!Number.isFinite(value)) return false;
  // Fifteen digits are kept, but not of what is nearly zero.
  const enough = digits(source).length <= 15 && (digits(source) === '' || Math.abs(value) > SMALLEST);
  return enough || digits(source) === digits(String(value));
}

/** Below it a double has fewer digits. */
const SMALLEST = 2 ** -1022;

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

// `__proto__` or `prototype`, written out or with some of its letters escaped.
function mayReachPrototype(text: string): boolean {
  return text.includes('proto') || text.includes('\\u00');
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
  const { name, array } = bareType(columnType);
  const kind = KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? 'text';
  return array ? `${kind}[]` : kind;
}

/** The name of a column type without length, precision and brackets, in lower case. */
export function bareType(columnType: string): { readonly name: string; readonly array: boolean } {
  const bare = withoutCollation(columnType)
    .toLowerCase()
    .replace(/\(.*?\)/, '')
    .replace(/\s+/g, ' ')
    .trim();
  const name = bare.replace(/(\[\])+$/, '');
  return { name, array: name !== bare };
}

/** `varchar(20) collate "C"` → `varchar(20)`: a declaration may say how a column sorts. */
export function withoutCollation(columnType: string): string {
  return columnType.replace(/\s+collate\s.*$/is, '');
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
  return `a ${typeof value === 'bigint' ? 'number' : typeof value}`;
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
  return listJson(readArray(text, (item) => textToJson(element, item)));
}

function listJson(items: readonly Nested<string>[]): string {
  return `[${items.map((item) => (Array.isArray(item) ? listJson(item) : item)).join(',')}]`;
}
