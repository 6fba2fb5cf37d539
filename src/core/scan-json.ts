/** What has to be known of a JSON text before it is parsed, found in one walk over it. */
export interface JsonTraits {
  /** It may hold a number that a double does not keep. Strings that look alike count too: it only costs time. */
  readonly longNumbers: boolean;
  /** How many brackets it opens, which is at least how deep it is nested. */
  readonly brackets: number;
}

const ZERO = 48;
const NINE = 57;
const DOT = 46;
const UPPER_E = 69;
const LOWER_E = 101;
const SQUARE = 91;
const CURLY = 123;

/**
 * A double keeps every 15 digits, and 16 of a whole number below 9·10^15, as incarnations have; exponents of three
 * digits may be too large for it.
 */
export function scanJson(text: string): JsonTraits {
  let longNumbers = false;
  let brackets = 0;
  let run = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if ((code >= ZERO && code <= NINE) || code === DOT) {
      run++;
      if (run >= 17 || (run === 16 && text.charCodeAt(index - 15) === NINE)) longNumbers = true;
    } else {
      if (code === SQUARE || code === CURLY) brackets++;
      else if (run > 0 && (code === LOWER_E || code === UPPER_E))
        longNumbers ||= run >= 16 || hasLongExponent(text, index);
      run = 0;
    }
  }
  return { longNumbers, brackets };
}

function hasLongExponent(text: string, index: number): boolean {
  return /^e[+-]?\d{3}/i.test(text.slice(index, index + 5));
}
