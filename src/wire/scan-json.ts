/** What has to be known of a JSON text before it is parsed. */
export interface JsonTraits {
  /** It may hold a number that a double does not keep. Strings that look alike count too: it only costs time. */
  readonly longNumbers: boolean;
  /** How many brackets it opens, which is at least how deep it is nested. */
  readonly brackets: number;
}

const ZERO = 48;
const NINE = 57;
const DOT = 46;

/**
 * A double keeps every 15 digits, and 16 of a whole number below 9·10^15, as incarnations have; exponents of three
 * digits may be too large for it.
 */
export function scanJson(text: string): JsonTraits {
  return {
    longNumbers: hasLongRun(text) || LONG_EXPONENT.test(text),
    brackets: count(text, '[') + count(text, '{'),
  };
}

const LONG_EXPONENT = /[\d.][eE][+-]?\d{3}/;
const RUN = 16;

/** Steps from digit to digit: a run of 16 covers every sixteenth place of the text somewhere. */
function hasLongRun(text: string): boolean {
  for (let at = RUN - 1; at < text.length; at += RUN) {
    if (!isDigit(text, at)) continue;
    let from = at;
    while (isDigit(text, from - 1)) from--;
    while (isDigit(text, at + 1)) at++;
    const length = at + 1 - from;
    if (length > RUN) return true;
    if (length === RUN && (text.charCodeAt(from) === NINE || /[eE]/.test(text.charAt(at + 1)))) return true;
  }
  return false;
}

// NaN, which is no digit, outside of the text
function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return (code >= ZERO && code <= NINE) || code === DOT;
}

function count(text: string, bracket: string): number {
  let found = 0;
  for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) found++;
  return found;
}
