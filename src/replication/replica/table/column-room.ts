import { withoutCollation } from '../../../wire/values.js';

/**
 * What a column has room for, by the name of its type, as far as PostgreSQL rounds or cuts a value without an error to make
 * it fit: `numeric(10,0)` makes 13 of 12.5, `timestamptz(3)` drops microseconds, `date` the time.
 */
export type Room =
  | { readonly kind: 'integer'; readonly bytes: number }
  /** Digits before and after the decimal point. */
  | { readonly kind: 'numeric'; readonly digits: number; readonly scale: number }
  /** Bits of the significand. */
  | { readonly kind: 'float'; readonly bits: 24 | 53 }
  /** Characters; `padded`: blanks at the end mean nothing. */
  | { readonly kind: 'text' | 'padded'; readonly length: number }
  | { readonly kind: 'bytes'; readonly length: number }
  /** Digits after the second. */
  | { readonly kind: 'moment'; readonly precision: number }
  | { readonly kind: 'time'; readonly precision: number; readonly zoned: boolean }
  /** `part`: it keeps some of its fields only. */
  | { readonly kind: 'interval'; readonly precision: number; readonly part?: string }
  | { readonly kind: 'date' }
  | { readonly kind: 'other'; readonly name: string };

type Parse = (name: string, numbers: readonly number[]) => Room;

const MICROSECONDS = 6;
const numeric: Parse = (_, [precision, scale = 0]) =>
  precision === undefined
    ? { kind: 'numeric', digits: Infinity, scale: Infinity }
    : { kind: 'numeric', digits: precision - scale, scale };
const float: Parse = (_, [bits = 53]) => ({ kind: 'float', bits: bits <= 24 ? 24 : 53 });
const integer = (bytes: number): Parse => {
  return () => ({ kind: 'integer', bytes });
};
const time = (zoned: boolean): Parse => {
  return (_, [precision = MICROSECONDS]) => ({ kind: 'time', precision, zoned });
};
const text: Parse = (_, [length = Infinity]) => ({ kind: 'text', length });

const ROOMS: readonly [RegExp, Parse][] = [
  [/^(?:smallint|int2|smallserial|serial2)$/, integer(2)],
  [/^(?:int|int4|integer|serial|serial4)$/, integer(4)],
  [/^(?:bigint|int8|bigserial|serial8)$/, integer(8)],
  [/^(?:numeric|decimal|dec)$/, numeric],
  [/^(?:real|float4)$/, () => ({ kind: 'float', bits: 24 })],
  [/^(?:double precision|float8)$/, () => ({ kind: 'float', bits: 53 })],
  [/^float$/, float],
  [/^money$/, () => ({ kind: 'numeric', digits: 17, scale: 2 })],
  [/^(?:text|citext|varchar|character varying)$/, text],
  [/^(?:bpchar)$/, (_, [length = Infinity]) => ({ kind: 'padded', length })],
  [/^(?:char|character)$/, (_, [length = 1]) => ({ kind: 'padded', length })],
  [/^name$/, () => ({ kind: 'bytes', length: 63 })],
  [/^"char"$/, () => ({ kind: 'bytes', length: 1 })],
  [
    /^(?:timestamptz|timestamp(?: with(?:out)? time zone)?)$/,
    (_, [precision = MICROSECONDS]) => ({ kind: 'moment', precision }),
  ],
  [/^(?:timetz|time with time zone)$/, time(true)],
  [/^time(?: without time zone)?$/, time(false)],
  [/^date$/, () => ({ kind: 'date' })],
  [
    /^interval(?: .*)?$/,
    (name, [precision = MICROSECONDS]) => ({
      kind: 'interval',
      precision,
      // `second` alone still holds days and years: only what is smaller is cut.
      ...(/^interval (?!.*second$)/.test(name) ? { part: name } : {}),
    }),
  ],
];

/** @param type as it is declared, or as `format_type` prints it; of an array, that of its elements. */
export function roomOf(type: string): Room {
  const numbers = (/\(([\d\s,-]+)\)/.exec(type)?.[1] ?? '').split(',').filter(Boolean).map(Number);
  const name = elementType(type)
    .replace(/\([\d\s,-]+\)/, '')
    .replace(/\s+/g, ' ')
    .trim();
  // Quoted, it is another type than without quotes.
  const plain = name.startsWith('"') ? name : name.toLowerCase().replace(/^pg_catalog\./, '');
  const parse = ROOMS.find(([pattern]) => pattern.test(plain))?.[1];
  return parse ? parse(plain, numbers) : { kind: 'other', name: plain };
}

export function isArrayType(type: string): boolean {
  return /\]\s*$/.test(withoutCollation(type));
}

function elementType(type: string): string {
  return withoutCollation(type).replace(/(?:\s*\[\d*\])+\s*$/, '');
}

/** Digits of the greatest number that an integer of so many bytes holds. */
const DECIMALS: Readonly<Record<number, number>> = { 2: 5, 4: 10, 8: 19 };

/** Whether a column has less room than the declared type; what is not known of both is left alone. */
export function isNarrower(actual: Room, declared: Room): boolean {
  if (actual.kind === 'interval' && actual.part !== undefined) return !('part' in declared && declared.part);
  switch (declared.kind) {
    case 'integer':
      if (actual.kind === 'integer') return actual.bytes < declared.bytes;
      if (actual.kind === 'numeric') return actual.scale < 0 || actual.digits < DECIMALS[declared.bytes]!;
      return actual.kind === 'float' && actual.bits < 8 * declared.bytes;
    case 'numeric':
      if (actual.kind === 'numeric') return actual.digits < declared.digits || actual.scale < declared.scale;
      if (actual.kind === 'integer')
        return declared.scale > 0 || declared.digits >= DECIMALS[actual.bytes]! || declared.scale === Infinity;
      return actual.kind === 'float';
    case 'float':
      if (actual.kind === 'float') return actual.bits < declared.bits;
      return actual.kind === 'integer' || (actual.kind === 'numeric' && actual.scale !== Infinity);
    case 'text':
      if (actual.kind === 'text') return actual.length < declared.length;
      return actual.kind === 'padded' || actual.kind === 'bytes';
    case 'padded':
      return (actual.kind === 'padded' || actual.kind === 'text') && actual.length < declared.length;
    case 'bytes':
      return actual.kind === 'bytes' && actual.length < declared.length;
    case 'moment':
      if (actual.kind === 'moment') return actual.precision < declared.precision;
      return actual.kind === 'date' || actual.kind === 'time';
    case 'time':
      return actual.kind === 'time' && (actual.precision < declared.precision || (declared.zoned && !actual.zoned));
    case 'interval':
      return actual.kind === 'interval' && actual.precision < declared.precision;
    default:
      return false;
  }
}
