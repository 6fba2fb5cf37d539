/**
 * The forms of a time that python-dateutil reads and the usual reader does not. Python prints times in many: `isoformat()` in short,
 * `ctime()`, `strftime('%c')`, those of mail and HTTP headers. Read field by field, in whatever order they come:
 *
 *   Wed, 02 Jan 2030 03:04:05 +0200     20300102T030405Z     01/02/2030 3:04 PM     2030-01-02
 *
 * As in dateutil: without an offset it is UTC here, without a time midnight, of `01/02` the first is the month unless it
 * cannot be one. What is left over makes it no time.
 */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const NAMES =
  'january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec';
const DAYS = /\b(?:mon|tue|wed|thu|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b[,.]?/i;
const OFFSET = /(?:(?<zone>utc|gmt|z)|(?<sign>[+-])(?<hours>\d\d):?(?<minutes>\d\d)?(?::?(?<seconds>\d\d))?)$/i;
const CLOCK = /(?<![\d:])(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([ap]m)?(?![\d:])/i;
const COMPACT = /^(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(\d\d)?(?:[.,](\d{1,9}))?)?$/i;
const NUMERIC = /^(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?:[T ](\d\d))?$/i;
const NAMED = [
  new RegExp(`^(?<day>\\d{1,2})[ -](?<month>${NAMES})[ ,-]+(?<year>\\d{2,4})$`, 'i'),
  new RegExp(`^(?<month>${NAMES})[ .]+(?<day>\\d{1,2})[ ,]+(?<year>\\d{4})$`, 'i'),
];
/** Two digits of a year mean one that is less than so far ahead. */
const CENTURY_AHEAD = 50;
/** Nobody prints a time as long. */
const LONGEST = 64;

interface Calendar {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}
interface Clock {
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly fraction: string;
}

/** A time in any of these forms, to the millisecond; undefined when it is none. @param now what a short year is near. */
export function parseExpiry(text: string, now = new Date()): Date | undefined {
  if (text.length > LONGEST) return undefined;
  let rest = text.trim().replace(DAYS, '').trim();
  const compact = COMPACT.exec(rest.replace(OFFSET, '').trim());
  const offset = hasClock(rest) || compact ? OFFSET.exec(rest) : null;
  const shift = offset ? offsetOf(offset.groups!) : 0;
  if (shift === undefined) return undefined;
  if (offset) rest = rest.slice(0, offset.index).trim();
  if (compact) {
    const [, year, month, day, hour, minute, second, fraction] = compact;
    return instant({ year: +year!, month: +month!, day: +day! }, clockOf(hour, minute, second, fraction), shift);
  }
  const found = CLOCK.exec(rest);
  let clock = clockOf();
  if (found) {
    const [, hour, minute, second, fraction, half] = found;
    clock = clockOf(hour, minute, second, fraction);
    if (half) {
      if (clock.hour < 1 || clock.hour > 12) return undefined;
      clock = { ...clock, hour: (clock.hour % 12) + (half.toLowerCase() === 'pm' ? 12 : 0) };
    }
    const [before, after] = [rest.slice(0, found.index), rest.slice(found.index + found[0].length)];
    // `Wed Jan  2 03:04:05 2030` has its date around the time.
    rest = `${before.replace(/[T ,]+$/i, '')} ${after.trim()}`.trim();
  }
  const numeric = NUMERIC.exec(rest);
  if (numeric?.[5] !== undefined) {
    if (found) return undefined;
    clock = clockOf(numeric[5], '0');
  }
  const date = numeric ? numericDate(numeric, now) : namedDate(rest.replaceAll(/\s+/g, ' '), now);
  return date && instant(date, clock, shift);
}

function hasClock(text: string): boolean {
  return CLOCK.test(text) || /[T ]\d\d(?:z|[+-]\d\d:?\d\d)$/i.test(text);
}

function offsetOf({ zone, sign, hours, minutes = '0', seconds = '0' }: Record<string, string>): number | undefined {
  if (zone) return 0;
  const shift = +hours! * 3_600 + +minutes * 60 + +seconds;
  if (+minutes > 59 || shift >= 86_400) return undefined;
  return sign === '-' ? -shift : shift;
}

function clockOf(hour = '0', minute = '0', second = '0', fraction = ''): Clock {
  return { hour: +hour, minute: +minute, second: +second, fraction };
}

function numericDate([, first, , second, third]: RegExpExecArray, now: Date): Calendar | undefined {
  if (first!.length === 4) return { year: +first!, month: +second!, day: +third! };
  const [one, two] = [+first!, +second!];
  const year = yearOf(third!, now);
  if (year === undefined) return undefined;
  return one > 12 ? { year, month: two, day: one } : { year, month: one, day: two };
}

function namedDate(text: string, now: Date): Calendar | undefined {
  for (const form of NAMED) {
    const { day, month, year } = form.exec(text)?.groups ?? {};
    const known = year && yearOf(year, now);
    if (known) return { year: known, month: MONTHS.indexOf(month!.slice(0, 3).toLowerCase()) + 1, day: +day! };
  }
  return undefined;
}

function yearOf(text: string, now: Date): number | undefined {
  if (text.length === 4) return +text;
  if (text.length !== 2) return undefined;
  const present = now.getUTCFullYear();
  const year = present - (present % 100) + +text;
  if (year >= present + CENTURY_AHEAD) return year - 100;
  return year < present - CENTURY_AHEAD ? year + 100 : year;
}

function instant({ year, month, day }: Calendar, clock: Clock, shift: number): Date | undefined {
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month - 1, day);
  if (year < 1 || midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return undefined;
  const { hour, minute, second, fraction } = clock;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const seconds = hour * 3_600 + minute * 60 + second - shift;
  return new Date(midnight.getTime() + seconds * 1_000 + Number(fraction.padEnd(3, '0').slice(0, 3)));
}
