import { createHash } from 'node:crypto';
import { parseMicroseconds } from '../../wire/times.js';
import { stringifyJson, type WireObject, type WireValue } from '../../wire/values.js';

/**
 * Sixteen characters for the content of some fields, the same on both ends however their columns are declared: `12.50`
 * of a numeric is `12.5` of a double, a time is the same in every layout, the keys of JSON have no order.
 */
export function checksum(data: Readonly<WireObject>, fields: readonly string[]): string {
  return hash(fields.map((field) => canonical(data[field] ?? null))).slice(0, 16);
}

/** How many characters `fieldChecksums` has for each field. */
const EACH = 8;

/** Eight characters for each field, one after the other: as good as `checksum` to see that something differs, and it says what. */
export function fieldChecksums(data: Readonly<WireObject>, fields: readonly string[]): string {
  return fields.map((field) => hash(canonical(data[field] ?? null)).slice(0, EACH)).join('');
}

/** The fields that differ between two of `fieldChecksums`. */
export function differentFields(one: string, other: string, fields: readonly string[]): string[] {
  const part = (text: string, index: number): string => text.slice(index * EACH, (index + 1) * EACH);
  return fields.filter((_, index) => part(one, index) !== part(other, index));
}

function hash(value: WireValue): string {
  return createHash('sha256').update(stringifyJson(value)).digest('base64url');
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;

function canonical(value: WireValue): WireValue {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return number(String(value));
  if (typeof value === 'string') {
    if (NUMBER.test(value)) return number(value);
    const time = parseMicroseconds(value);
    return time === undefined ? value : `@${time}`;
  }
  if (JSON.isRawJSON(value)) return number(value.rawJSON);
  if (Array.isArray(value)) return value.map(canonical);
  const sorted = Object.keys(value).toSorted();
  return Object.fromEntries(sorted.map((key) => [key, canonical(value[key]!)]));
}

// A number and its text are one: a decimal travels as a string, and a double as a number.
function number(text: string): string {
  if (!NUMBER.test(text)) return Number.isFinite(Number(text)) ? plain(Number(text)) : text;
  const short = text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  return short === '-0' ? '0' : short;
}

// `1e21` and `1e-7`, written out so that a numeric column says the same.
function plain(value: number): string {
  const [digits = '', exponent] = String(value).split('e');
  if (exponent === undefined) return number(digits);
  const sign = digits.startsWith('-') ? '-' : '';
  const [whole = '', fraction = ''] = digits.replace('-', '').split('.');
  const shift = Number(exponent);
  if (shift < 0) return number(`${sign}0.${'0'.repeat(-shift - 1)}${whole}${fraction}`);
  return number(`${sign}${(whole + fraction).padEnd(1 + shift, '0')}`);
}
