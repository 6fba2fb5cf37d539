import { jsonToText, type WireKind, type WireValue } from '../../../wire/values.js';
import { isArrayType, type Room, roomOf } from './column-room.js';

/**
 * Whether a column stores less than a message brings, without an error. @param text what PostgreSQL reads.
 * @param value what it was made of.
 */
export type LossCheck = (text: string, value: WireValue) => boolean;

export interface CheckedType {
  /** The type that texts are read as, as declared. */
  readonly declared: string;
  /** The type of the column; of a domain, what is under it. */
  readonly actual: string;
  /** Whether it is a domain, and declared as such: a cast to it cuts what an assignment refuses. */
  readonly cast: boolean;
  readonly kind: WireKind;
}

/**
 * Made once a column, from its type in the catalogue: undefined where nothing can be lost in silence, so that such columns
 * cost nothing. What PostgreSQL refuses by itself (out of range, too long) is none of its business.
 */
export function lossCheck({ declared, actual, cast, kind }: CheckedType): LossCheck | undefined {
  const [from, to] = [roomOf(declared), roomOf(actual)];
  const checks = [
    from.kind === to.kind ? undefined : ofRoom(unlimited(from), { cast: false, from: undefined }),
    ofRoom(to, { cast, from }),
  ];
  const [first, second] = checks.filter((check) => check !== undefined);
  const check: LossCheck | undefined =
    first && second ? (text, value) => first(text, value) || second(text, value) : first;
  return check && isArrayType(actual) ? ofElements(check, kind) : check;
}

/** A cast to the declared type leaves its length out. */
function unlimited(room: Room): Room {
  switch (room.kind) {
    case 'numeric':
      return { ...room, digits: Infinity, scale: Infinity };
    case 'text':
    case 'padded':
      return { ...room, length: Infinity };
    case 'moment':
    case 'time':
    case 'interval':
      return { ...room, precision: 6 };
    default:
      return room;
  }
}

function ofRoom(room: Room, { cast, from }: { cast: boolean; from: Room | undefined }): LossCheck | undefined {
  switch (room.kind) {
    case 'integer':
      // A text that is no integer is refused; a number that was read as another type is rounded.
      return from && from.kind !== 'integer' && from.kind !== 'other' ? (text) => exceedsScale(text, 0) : undefined;
    case 'numeric':
      if (room.scale === Infinity || (from?.kind === 'integer' && room.scale >= 0)) return undefined;
      return (text) => exceedsScale(text, room.scale);
    case 'float':
      return room.bits === 24 ? losesInSingle : losesInDouble;
    case 'text':
      return room.length === Infinity ? undefined : (text) => exceedsLength(text, room.length, cast);
    case 'padded':
      return (text) => text.endsWith(' ') || (cast && exceedsLength(text, room.length, cast));
    case 'bytes':
      return (text) => text.length * 3 > room.length && Buffer.byteLength(text) > room.length;
    case 'moment':
      return (text) => exceedsFraction(text, room.precision);
    case 'time':
      return (text) => exceedsFraction(text, room.precision) || hasDate(text) || (!room.zoned && hasZone(text));
    case 'interval':
      return (text) => exceedsSeconds(text, room.precision);
    case 'date':
      return (text) => text.length > 10 && hasTime(text);
    default:
      return undefined;
  }
}

/** Values of an array, which may be of several dimensions. */
function ofElements(check: LossCheck, kind: WireKind): LossCheck {
  const element = kind.endsWith('[]') ? (kind.slice(0, -2) as WireKind) : 'text';
  const anyLoses = (value: WireValue): boolean => {
    if (Array.isArray(value)) return value.some(anyLoses);
    const text = jsonToText(element, value);
    return text !== null && check(text, value);
  };
  return (_, value) => anyLoses(value);
}

const NUMBER = /^\s*[+-]?(\d*)\.?(\d*)(?:e([+-]?\d+))?\s*$/i;

/** Whether a number has digits other than 0 that stand further right than its column keeps. */
function exceedsScale(text: string, scale: number): boolean {
  if (scale >= 0 && !/[.e]/i.test(text)) return false;
  const parts = NUMBER.exec(text);
  // NaN, Infinity, and what PostgreSQL refuses.
  if (!parts) return false;
  const [, whole = '', fraction = '', exponent = '0'] = parts;
  const digits = (whole + fraction).replace(/0+$/, '');
  if (digits === '' || /^0*$/.test(digits)) return false;
  const lastPlace = digits.length - whole.length - Number(exponent);
  return lastPlace > scale;
}

/** Up to six digits always come back from `real`, up to fifteen from `double precision`. */
const SAFE = /^-?(?:\d{1,6}|(?=[\d.]{3,7}$)\d+\.\d+)$/;

function losesInSingle(text: string): boolean {
  if (SAFE.test(text)) return false;
  const double = Number(text);
  if (!Number.isFinite(double)) return false;
  const single = Math.fround(double);
  // Out of range PostgreSQL refuses it.
  if (!Number.isFinite(single) || (single === 0 && double !== 0)) return false;
  if (single === double) return losesInDouble(text, null);
  // What PostgreSQL prints of it: the shortest number that is read as the same `real`.
  for (let precision = 6; precision <= 9; precision++) {
    const printed = Number(single.toPrecision(precision));
    if (Math.fround(printed) === single) return printed !== double;
  }
  return true;
}

function losesInDouble(text: string, value: WireValue): boolean {
  // A number of JSON that JavaScript reads whole was a double before.
  if (typeof value === 'number' || text.length <= 15) return false;
  const double = Number(text);
  if (!Number.isFinite(double)) return false;
  return significant(text) !== significant(String(double));
}

/** A number without its sign, its point, and zeros at either end: what two spellings of one number have in common. */
function significant(text: string): string {
  const [digits = ''] = text.toLowerCase().split('e');
  return digits.replace(/[^\d]/g, '').replace(/^0+|0+$/g, '');
}

/** Characters, not code units. An assignment drops nothing but blanks; a cast drops whatever there is. */
function exceedsLength(text: string, length: number, cast: boolean): boolean {
  if (text.length <= length) return false;
  const characters = Array.from(text);
  return characters.length > length && (cast || characters.slice(length).every((character) => character === ' '));
}

function exceedsFraction(text: string, precision: number): boolean {
  const point = text.indexOf('.');
  if (point < 0) return false;
  for (let at = point + 1; ; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return false;
    if (digit > 0 && at - point > precision) return true;
  }
}

const ZERO = 48;

/** Of seconds: fractions of days and hours become smaller units. */
function exceedsSeconds(text: string, precision: number): boolean {
  const fraction = /\.(\d+)\s*(?:s|sec|secs|second|seconds)?(?:\s+ago|\s*$)/i.exec(text)?.[1];
  return fraction !== undefined && /[1-9]/.test(fraction.slice(precision));
}

function hasDate(text: string): boolean {
  return /^\s*\d{4,}-\d\d-\d\d/.test(text);
}

function hasTime(text: string): boolean {
  const time = /[T ](\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?)/i.exec(text)?.[1];
  return time !== undefined && /[1-9]/.test(time);
}

function hasZone(text: string): boolean {
  return /:\d\d(?:\.\d+)?\s*(?:[+-]\d|z)/i.test(text);
}
