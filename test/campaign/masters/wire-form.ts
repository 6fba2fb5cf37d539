import type { Value } from './decoding.ts';

/**
 * What a column must look like in a message, worked out anew from PostgreSQL's text: no code of the library takes part.
 * Values are compared as texts in one spelling: numbers keep their digits, members of objects are sorted.
 */

/** A column of a row in that spelling. */
export function expected({ type, text }: Value): string {
  if (text === null) return 'null';
  if (type.endsWith('[]')) return `[${readArray(text).map((item) => (item === null ? 'null' : JSON.stringify(item)))}]`;
  switch (type) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return text;
    case 'double precision':
      return text === '-0' ? '-0.0' : text;
    case 'boolean':
      return text;
    case 'jsonb':
      return spelled(parse(text));
    case 'timestamp with time zone':
      return `time ${microseconds(text)}`;
    case 'bytea':
      return JSON.stringify(Buffer.from(text.slice(2), 'hex').toString('base64'));
    default:
      return JSON.stringify(text);
  }
}

/** A value of a message, read for a column of that type. */
export function announced(value: Parsed | undefined, type: string): string {
  if (value === undefined) return 'nothing';
  if (type === 'timestamp with time zone' && typeof value === 'string') return `time ${microseconds(value)}`;
  return spelled(value);
}

/** JSON whose numbers are still the digits that stood there. */
export type Parsed = null | boolean | string | Digits | Parsed[] | { [key: string]: Parsed };
class Digits {
  constructor(readonly digits: string) {}
}

export function parse(json: string): Parsed {
  return JSON.parse(json, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? new Digits(context!.source!) : value,
  ) as Parsed;
}

export function spelled(value: Parsed): string {
  if (value instanceof Digits) return value.digits;
  if (Array.isArray(value)) return `[${value.map(spelled).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.keys(value).toSorted();
  return `{${members.map((name) => `${JSON.stringify(name)}:${spelled(value[name]!)}`).join()}}`;
}

/** The member of an object, if it is one. */
export function member(value: Parsed | undefined, name: string): Parsed | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Digits)
    ? value[name]
    : undefined;
}

const TIME = /^(\d{4,})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00(?::?00)?|Z)$/;

/** Since 1970. */
export function microseconds(text: string): bigint {
  const [, year, month, day, hour, minute, second, fraction = ''] = TIME.exec(text) ?? [];
  if (year === undefined) throw new Error(`'${text}' is no time in UTC`);
  const seconds = Date.UTC(+year, +month! - 1, +day!, +hour!, +minute!, +second!) / 1_000;
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
}

/** The elements of an array of one dimension. */
function readArray(text: string): (string | null)[] {
  const items: (string | null)[] = [];
  let at = 1;
  while (text[at] !== '}') {
    if (text[at] === ',') at++;
    if (text[at] === '"') {
      let item = '';
      for (at++; text[at] !== '"'; at++) item += text[at] === '\\' ? text[++at]! : text[at]!;
      at++;
      items.push(item);
    } else {
      const [bare] = /^[^,}]*/.exec(text.slice(at))!;
      at += bare.length;
      items.push(bare === 'NULL' ? null : bare);
    }
  }
  return items;
}
