/**
 * The tokens of an SQL text, by the rules of PostgreSQL with `standard_conforming_strings`: nested comments, strings with
 * and without escapes that go on in the next line, dollar quotes, quoted identifiers, Unicode escapes. Each character is
 * looked at a bounded number of times, whatever the text. What is never closed ends with the text: PostgreSQL refuses it.
 */
export class SqlTokens {
  /** `word`: an identifier or keyword without quotes; `end`: there are no more. */
  kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol' | 'end' = 'end';
  /** Where the token begins in the text. */
  start = 0;
  /** Where what follows the token begins. */
  end = 0;

  /** Where the token before it ended. */
  previousEnd = 0;

  #word?: string;

  /** Stands on the first token from there on. */
  constructor(
    readonly text: string,
    from = 0,
  ) {
    this.end = from;
    this.next();
  }

  /** Goes on to the next token. */
  next(): void {
    this.previousEnd = this.end;
    this.#word = undefined;
    this.#skipBlanks();
    this.start = this.end;
    const code = this.text.charCodeAt(this.start);
    if (Number.isNaN(code)) this.kind = 'end';
    else if (code === QUOTE) this.#string(this.start, false);
    else if (code === DOUBLE_QUOTE) this.#quoted(this.start);
    else if (code === DOLLAR) this.#dollar();
    else if (isDigit(code)) this.#number();
    else if (!isWordStart(code)) this.#take('symbol', this.start + 1);
    else if (!this.#prefixed(code)) this.#take('word', wordEnd(this.text, this.start));
  }

  /** A word in lower case, a symbol as it is; nothing for other tokens. */
  get word(): string {
    return (this.#word ??= this.kind === 'word' || this.kind === 'symbol' ? lower(this.written) : '');
  }

  /** Goes on when this word or symbol stands here, and answers whether it does. */
  take(word: string): boolean {
    const found = this.word === word;
    if (found) this.next();
    return found;
  }

  /** The token as it is written. */
  get written(): string {
    return this.text.slice(this.start, this.end);
  }

  /** What a string holds, as it is written. */
  get content(): string {
    const { written } = this;
    const quote = /^(?:\$[^$]*\$|u&'|[a-z]?')/i.exec(written)?.[0] ?? '';
    return written.slice(quote.length, quote.startsWith('$') ? -quote.length : -1);
  }

  /**
   * The name that stands here, as PostgreSQL stores it, and goes on behind it; undefined when none does. Key words are
   * names, too, where the grammar wants one.
   */
  takeName(): string | undefined {
    const { kind, written } = this;
    if (kind !== 'word' && kind !== 'quoted') return undefined;
    this.next();
    if (kind === 'word') return truncated(lower(written));
    if (written.startsWith('"')) return truncated(unquoted(written, 1));
    return truncated(unescaped(unquoted(written, 3), this.#takeEscape()));
  }

  // UESCAPE 'c', behind an identifier with Unicode escapes
  #takeEscape(): string {
    if (!this.take('uescape')) return '\\';
    const { content } = this;
    this.next();
    return content;
  }

  #take(kind: SqlTokens['kind'], end: number): void {
    this.kind = kind;
    this.end = end;
  }

  #skipBlanks(): void {
    const { text } = this;
    for (;;) {
      const code = text.charCodeAt(this.end);
      if (isBlank(code)) this.end += 1;
      else if (code === DASH && text.charCodeAt(this.end + 1) === DASH) this.end = lineEnd(text, this.end);
      else if (code === SLASH && text.charCodeAt(this.end + 1) === STAR) this.end = commentEnd(text, this.end);
      else return;
    }
  }

  // e'…', b'…', x'…', n'…', u&'…', u&"…"; false for any other word
  #prefixed(code: number): boolean {
    const { text, start } = this;
    const letter = code | 0x20;
    const second = text.charCodeAt(start + 1);
    if (second === QUOTE && 'ebxn'.includes(String.fromCharCode(letter))) {
      this.#string(start + 1, letter === LETTER_E);
      return true;
    }
    if (letter !== LETTER_U || second !== AMPERSAND) return false;
    const third = text.charCodeAt(start + 2);
    if (third === QUOTE) this.#string(start + 2, false);
    else if (third === DOUBLE_QUOTE) this.#quoted(start + 2);
    else return false;
    return true;
  }

  #string(opening: number, escapes: boolean): void {
    let end = quoteEnd(this.text, opening, escapes);
    // Two strings with a line break between them are one, with the rules of the first.
    for (let next = continuation(this.text, end); next !== undefined; next = continuation(this.text, end)) {
      end = quoteEnd(this.text, next, escapes);
    }
    this.#take('string', end);
  }

  #quoted(opening: number): void {
    this.#take('quoted', closing(this.text, opening, '"'));
  }

  #dollar(): void {
    const { text, start } = this;
    const first = text.charCodeAt(start + 1);
    const tagEnd = isWordStart(first) ? wordEnd(text, start + 1, false) : start + 1;
    if (text.charCodeAt(tagEnd) !== DOLLAR) {
      let end = start + 1;
      while (isDigit(text.charCodeAt(end))) end += 1;
      this.#take('symbol', end);
      return;
    }
    const tag = text.slice(start, tagEnd + 1);
    const end = text.indexOf(tag, tagEnd + 1);
    this.#take('string', end < 0 ? text.length : end + tag.length);
  }

  #number(): void {
    NUMBER.lastIndex = this.start;
    this.#take('number', this.start + NUMBER.exec(this.text)![0].length);
  }
}

const UPPER = /[A-Z]/;
const NUMBER = /\d+(?:\.\d*)?(?:e[+-]?\d+)?/iy;
const [QUOTE, DOUBLE_QUOTE, DOLLAR, AMPERSAND] = [0x27, 0x22, 0x24, 0x26];
const [DASH, SLASH, STAR, UNDERSCORE] = [0x2d, 0x2f, 0x2a, 0x5f];
const [LETTER_E, LETTER_U] = [0x65, 0x75];
/** Bytes of a name that PostgreSQL keeps. */
const NAME_BYTES = 63;

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isWordStart(code: number): boolean {
  return code >= 0x80 || code === UNDERSCORE || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a);
}

function wordEnd(text: string, start: number, dollars = true): number {
  let end = start;
  for (let code = text.charCodeAt(end); ; code = text.charCodeAt(end)) {
    if (!isWordStart(code) && !isDigit(code) && !(dollars && code === DOLLAR)) return end;
    end += 1;
  }
}

function lineEnd(text: string, start: number): number {
  for (let end = start; end < text.length; end += 1) {
    const code = text.charCodeAt(end);
    if (code === 0x0a || code === 0x0d) return end;
  }
  return text.length;
}

function commentEnd(text: string, start: number): number {
  const edges = /\/\*|\*\//g;
  edges.lastIndex = start;
  let depth = 0;
  for (let edge = edges.exec(text); edge; edge = edges.exec(text)) {
    depth += edge[0] === '/*' ? 1 : -1;
    if (depth === 0) return edges.lastIndex;
  }
  return text.length;
}

// Behind the quote that closes; two of them stand for one.
function closing(text: string, opening: number, quote: string): number {
  for (let at = text.indexOf(quote, opening + 1); at >= 0; at = text.indexOf(quote, at + 2)) {
    if (text[at + 1] !== quote) return at + 1;
  }
  return text.length;
}

function quoteEnd(text: string, opening: number, escapes: boolean): number {
  if (!escapes) return closing(text, opening, "'");
  const special = /\\[^]|''?/g;
  special.lastIndex = opening + 1;
  for (let found = special.exec(text); found; found = special.exec(text)) {
    if (found[0] === "'") return special.lastIndex;
  }
  return text.length;
}

/** Where a string that ended here goes on, in a later line. */
function continuation(text: string, start: number): number | undefined {
  let at = start;
  let lines = 0;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === 0x0a || code === 0x0d) lines += 1;
    if (isBlank(code)) at += 1;
    else if (code === DASH && text.charCodeAt(at + 1) === DASH) at = lineEnd(text, at);
    else return code === QUOTE && lines > 0 ? at : undefined;
  }
}

// ASCII only, as PostgreSQL folds identifiers in a database of UTF-8.
function lower(word: string): string {
  return UPPER.test(word) ? word.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase()) : word;
}

function unquoted(written: string, from: number): string {
  return written.slice(from, -1).replaceAll('""', '"');
}

function unescaped(name: string, escape: string): string {
  let result = '';
  for (let at = 0; at < name.length; at += 1) {
    if (name[at] !== escape) {
      result += name[at];
      continue;
    }
    const escaped = /^(?:\+([\da-f]{6})|([\da-f]{4}))/i.exec(name.slice(at + 1, at + 8));
    const point = Number.parseInt(escaped?.[1] ?? escaped?.[2] ?? '', 16);
    if (escaped && point <= 0x10ffff) result += String.fromCodePoint(point);
    else result += escape; // twice it stands for itself; anything else PostgreSQL refuses
    at += escaped ? escaped[0].length : 1;
  }
  return result;
}

/** A name as far as PostgreSQL keeps it. */
export function truncated(name: string): string {
  if (name.length * 3 <= NAME_BYTES || Buffer.byteLength(name) <= NAME_BYTES) return name;
  const bytes = Buffer.from(name).subarray(0, NAME_BYTES + 1);
  let end = NAME_BYTES;
  while ((bytes[end]! & 0xc0) === 0x80) end -= 1; // not in the middle of a character
  return bytes.subarray(0, end).toString();
}
