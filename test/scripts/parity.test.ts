import { expect, test } from '@jest/globals';
import { countByStatus, parityProblems, parityRows, PYTHON_NAMES } from '../../scripts/docs/parity.js';

const complete = [
  '| number | | what | test |',
  '|---|---|---|---|',
  ...Array.from({ length: 219 }, (_, index) => `| B-${index + 1} | not applicable | no such thing | – |`),
  `| \`${PYTHON_NAMES.join('`, `')}\` | open | later | – |`,
];
const read = (file: string) => (file === 'test/a/b.test.ts' ? "test('it\\'s so', …\n['a | b', 1]" : undefined);
const problems = (lines: readonly string[]) => parityProblems(parityRows(lines.join('\n')), read);
const with7 = (row: string) => complete.map((line) => (line.startsWith('| B-7 ') ? row : line));

test('a complete table has no problems, and open rows are counted', () => {
  expect(problems(complete)).toEqual([]);
  expect(countByStatus(parityRows(complete.join('\n')).names)).toBe('0 same, 0 better, 0 not applicable, 1 open');
});

test('a number that is missing or there twice, and a name that is missing', () => {
  expect(problems(with7(''))).toEqual(['B-7 is there 0 times']);
  expect(problems([...complete, '| B-7 | open | again | – |'])).toEqual(['B-7 is there 2 times']);
  expect(problems([...complete, '| B-220 | open | too many | – |'])).toEqual([
    'B-220 (line 223): there is no such number',
  ]);
  expect(problems(complete.map((line) => line.replace('`cqrs_sync`', '`x`')))).toEqual(['cqrs_sync: no row names it']);
});

test('a test must exist', () => {
  expect(problems(with7("| B-7 | same | x | `a/b` › it's so<br>`a/b` › a \\| b |"))).toEqual([]);
  expect(problems(with7('| B-7 | better | x | – |'))).toEqual(["B-7 (line 9): 'better' without a test"]);
  expect(problems(with7('| B-7 | same | x | `a/c` › x |'))).toEqual(['B-7 (line 9): there is no test/a/c.test.ts']);
  expect(problems(with7('| B-7 | same | x | `a/b` › so |'))).toEqual([
    "B-7 (line 9): test/a/b.test.ts has no test 'so'",
  ]);
});
