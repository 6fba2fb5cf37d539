import { randomBytes } from 'node:crypto';

/**
 * `NaN`, `Infinity` and `-Infinity` stand bare in the JSON that Python writes, which `JSON.parse` refuses and
 * `JSON.stringify` cannot write. In between they are strings with a mark that no sender can guess.
 */
const MARK = `\u0000${randomBytes(9).toString('hex')}:`;
const MARKED = new RegExp(`"${JSON.stringify(MARK).slice(1, -1).replace('\\', '\\\\')}(-?\\w+)"`, 'g');
const TOKENS = ['NaN', 'Infinity', '-Infinity'] as const;
const QUOTE = 34;
const BACKSLASH = 92;

export function markNonFinite(value: number): string {
  return MARK + String(value);
}

/** The number that a marked string stands for; undefined for any other value. */
export function unmarkNonFinite(value: unknown): number | undefined {
  return typeof value === 'string' && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : undefined;
}

/** JSON with marked strings → the same with bare tokens. */
export function bareNonFinite(text: string): string {
  return text.replaceAll(MARKED, '$1');
}

/**
 * The tokens outside of strings, marked; undefined when there are none. By hand, since a regular expression for strings
 * takes the square of the length of a body that is made for it.
 */
export function quoteNonFinite(text: string): string | undefined {
  let result = '';
  let copied = 0;
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) === QUOTE) {
      index = endOfString(text, index);
      continue;
    }
    const token = TOKENS.find((one) => text.startsWith(one, index));
    if (token === undefined) continue;
    result += `${text.slice(copied, index)}${JSON.stringify(MARK + token)}`;
    copied = index + token.length;
    index = copied - 1;
  }
  return copied === 0 ? undefined : result + text.slice(copied);
}

/** The place of the closing quote, or the end of the text. */
function endOfString(text: string, opening: number): number {
  let index = opening + 1;
  while (index < text.length && text.charCodeAt(index) !== QUOTE) {
    index += text.charCodeAt(index) === BACKSLASH ? 2 : 1;
  }
  return index;
}
