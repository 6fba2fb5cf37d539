import { expect, test } from '@jest/globals';
import { differences, normalise } from '../../scripts/examples/compare.ts';

test.each([
  ['\u001b[1mbold\u001b[0m  ', 'bold'],
  ['at 2026-11-21T03:27:00.123456Z and 2026-11-21 03:27:00+00:00', 'at <time> and <time>'],
  ['03:27:00.1 relay', '<time> relay'],
  ['took 12.5 ms, 3s, 1,234 rows/s', 'took <duration>, <duration>, <rate> rows/s'],
  ['key 0b0fd1a2-3c4d-4e5f-8a9b-0c1d2e3f4a5b of 1763695620123', 'key <uuid> of <number>'],
  ['3 shops, 12 rows, 1000.50', '3 shops, 12 rows, 1000.50'],
])('%j is compared as %j', (printed, compared) => {
  expect(normalise(printed)).toBe(`${compared}\n`);
});

test('differences are shown line by line', () => {
  expect(differences('a\nb\n', 'a\nc\n')).toEqual(['line 2', '- b', '+ c']);
  expect(differences('a\n', 'a\n')).toEqual([]);
});
