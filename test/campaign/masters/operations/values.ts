import { raw } from '@mikro-orm/postgresql';
import type { Doc } from '../entities.ts';
import type { Random } from '../random.ts';

/** Few keys, so that clients meet at them; values that are hard to carry. */
export const CODES = ['a', 'b', 'c', 'd', 'é"\'\\', ' f '] as const;
export const PEOPLE = [1, 2, 3, 4, 5, 6, 7, 8] as const;
export const BADGES = [1, 2, 3, 4, 5, 6, 7, 8] as const;
export const NUMBERS = [0, 1, 2] as const;
export const DOCS = ['1', '2', '3', '9007199254740993', '-9223372036854775808', '9223372036854775807'] as const;
export const ANIMALS = [1, 2, 3, 4, 5, 6] as const;
export const DAYS = ['2024-02-29', '1999-12-31', '2026-11-30', '0044-03-15', '2026-12-01'] as const;
export const NODES = Array.from({ length: 8 }, (_, index) => `00000000-0000-4000-8000-00000000000${index}`);
export const LOOSE = [1, 2, 3, 4] as const;

export const number = (random: Random): number => random.int(100);
export const maybe = <T>(random: Random, value: T, probability = 0.7): T | null =>
  random.chance(probability) ? value : null;

const TEXTS = [
  'x',
  'ü€😀',
  'a\\b"c',
  "o'neil",
  '',
  ' sp ',
  'line\nbreak\t',
  '\u2028',
  'null',
  'NaN',
  '{}',
  '?',
  '??',
  ':v',
  '$1',
];
export const text = (random: Random): string => `${random.pick(TEXTS)}${random.int(100)}`;

export function json(random: Random, depth = 0): unknown {
  const inner = (): unknown => json(random, depth + 1);
  const leaf = random.int(8);
  if (leaf < 2 && depth < 3) return leaf === 0 ? [inner(), inner()] : { [text(random)]: inner(), b: inner() };
  return random.pick([
    null,
    random.int(1e6),
    -0.25 * random.int(100),
    text(random),
    [],
    {},
    true,
    9007199254740991,
    1e300,
  ]);
}

/** A document but for its key. */
export function content(
  random: Random,
  note: string,
): Pick<Doc, 'title' | 'data' | 'amount' | 'at' | 'bin' | 'tags' | 'f' | 'note'> {
  return {
    title: maybe(random, text(random)),
    // JSON null cannot be written by MikroORM's own `p.json()`, but inside of arrays and objects
    data: maybe(random, { value: json(random) }),
    amount: random.pick([null, '0.000001', '-12345678901234.123456', '100.10', '1.5']),
    at: maybe(random, new Date(random.int(2e9) * 1_000 + 123)),
    bin: maybe(random, Buffer.from([0, 255, 39, 92, random.int(256)])),
    tags: random.pick([null, [], ['a,b', '"q"', '', '{}', 'NULL', '\\']]),
    f: random.pick([null, 0.1, 1e-300, 5e15, -1.5]),
    note,
  };
}

/** Values that only SQL can name. */
export function hardContent(random: Random, note: string): Record<string, unknown> {
  return {
    at: random.pick([
      raw(`'2020-01-01 00:00:00.123456+05:45'::timestamptz`),
      raw(`'2031-12-31 23:59:59.999999Z'::timestamptz`),
    ]),
    f: random.pick([raw(`'-0'::float8`), 1, raw('0.1::float8 + 0.2::float8')]),
    data: random.pick([
      raw(`'null'::jsonb`),
      raw(`'{"n": 1.10, "big": 12345678901234567890}'::jsonb`),
      raw(`'[null, 1e3]'::jsonb`),
    ]),
    note,
  };
}

export const person = (random: Random, note: string): { name: string; tenant: string; note: string } => ({
  name: text(random),
  tenant: random.pick(['a', 'b', 'c']),
  note,
});
