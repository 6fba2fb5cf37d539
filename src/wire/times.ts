/** Times between Python's, ISO's and PostgreSQL's layouts, to the microsecond. */

const ZERO = 48;
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
  const shift = offsetSeconds(offset);
  if (+hour! > 23 || +minute! > 59 || +second! > 60 || Math.abs(shift) >= 86_400) return undefined;
  const digits = fraction.padEnd(6, '0');
  const seconds = +hour! * 3600 + +minute! * 60 + +second! - shift;
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
export function pythonDatetime(text: string): string {
  // nearly every one: a time in UTC with all six digits
  if (text.length === 29 && text.charCodeAt(19) === 46 && text.endsWith('+00')) return `${text}:00`;
  const match = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d)(:\d\d)?$/.exec(text);
  if (!match) return text;
  const [, seconds, fraction, hours, minutes = ':00'] = match;
  return `${seconds}${fraction ? `.${fraction.padEnd(6, '0')}` : ''}${hours}${minutes}`;
}

// A time without an offset means UTC on the wire, whatever the session's time zone is.
export function withOffset(text: string): string {
  if (text.endsWith('+00:00')) return text;
  const match = DATETIME.exec(text);
  return match && match[8] === undefined ? `${text}+00` : text;
}

const PRINTED = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?([+-]\d\d(?::\d\d(?::\d\d)?)?)( BC)?$/;

/**
 * A time as PostgreSQL prints it in a session of any zone → the same as it prints it in UTC. Infinity and what lies beyond
 * a `Date` (the year 275760) stay as they are.
 */
export function inUtc(text: string): string {
  const match = PRINTED.exec(text);
  if (!match) return text;
  const [, year, month, day, hour, minute, second, fraction = '', offset, before] = match;
  const seconds = offsetSeconds(offset!);
  if (seconds === 0) return text;
  const local = new Date(0);
  local.setUTCFullYear(before ? 1 - +year! : +year!, +month! - 1, +day!);
  local.setUTCHours(+hour!, +minute!, +second! - seconds);
  if (Number.isNaN(local.getTime())) return text;
  const era = local.getUTCFullYear();
  const printedYear = String(era > 0 ? era : 1 - era).padStart(4, '0');
  // ISO's year has a sign and zeros in front.
  const rest = local
    .toISOString()
    .replace(/^[+-]?\d+-/, '')
    .slice(0, 14)
    .replace('T', ' ');
  return `${printedYear}-${rest}${fraction}+00${era > 0 ? '' : ' BC'}`;
}

export function toUtcText(text: string): string {
  const instant = parseInstant(text);
  if (!instant) return text;
  // Beyond four digits of a year ISO has a sign and zeros in front, which PostgreSQL does not read.
  const iso = new Date(instant.milliseconds).toISOString().replace(/^\+0*/, '');
  return `${iso.slice(0, -1).replace('T', ' ')}${String(instant.microseconds).padStart(3, '0')}`;
}
