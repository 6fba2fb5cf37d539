/** A time without an offset, in Python's, ISO's or PostgreSQL's layout: Python calls it naive. */
const NAIVE = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?$/;

const DAY_MS = 86_400_000;

export function isNaive(value: unknown): value is string {
  return typeof value === 'string' && NAIVE.test(value);
}

/** Whether there is a time zone of that name, as `Europe/Madrid` is one. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

/** The clocks of one place. */
export class TimeZone {
  readonly #format: Intl.DateTimeFormat;
  /** The rows of a batch are of a few minutes. */
  #last: { readonly minutes: string; readonly offset: string } | undefined;

  /** @throws RangeError when there is no such zone. */
  constructor(readonly name: string) {
    this.#format = new Intl.DateTimeFormat('en', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /**
   * A naive time with the offset that clocks here have then; anything else as it is. When clocks are put back a time
   * comes twice: then its first one is meant, as in Python.
   */
  place(text: string): string {
    const match = NAIVE.exec(text);
    if (!match) return text;
    const minutes = text.slice(0, 16);
    if (this.#last?.minutes !== minutes) this.#last = { minutes, offset: this.#offsetText(match) };
    return `${text}${this.#last.offset}`;
  }

  #offsetText(match: RegExpExecArray): string {
    const [year, month, day, hour, minute] = match.slice(1).map(Number);
    const wall = utc(year!, month!, day!, hour!, minute!, 0);
    const before = this.#offsetAt(wall - DAY_MS);
    const after = this.#offsetAt(wall + DAY_MS);
    const fits = (offset: number): boolean => this.#offsetAt(wall - offset) === offset;
    return formatOffset(!fits(before) && fits(after) ? after : before);
  }

  /** In milliseconds, at a moment since 1970. */
  #offsetAt(moment: number): number {
    const parts = Object.fromEntries(
      this.#format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]),
    );
    const { year, month, day, hour, minute, second } = parts as Record<string, number>;
    return utc(year!, month!, day!, hour!, minute!, second!) - Math.floor(moment / 1000) * 1000;
  }
}

// Not Date.UTC, which takes the years 0 to 99 for those of the last century.
function utc(year: number, month: number, day: number, hour: number, minute: number, second: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.setUTCHours(hour, minute, second);
}

function formatOffset(milliseconds: number): string {
  const seconds = Math.abs(milliseconds) / 1000;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const rest = seconds % 60 === 0 ? '' : `:${two(seconds % 60)}`;
  return `${milliseconds < 0 ? '-' : '+'}${two(seconds / 3600)}:${two((seconds / 60) % 60)}${rest}`;
}
