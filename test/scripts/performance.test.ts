import { describe, expect, test } from '@jest/globals';
import { fallenTwice, hasFallen, readResults } from '../../bench/harness/against.ts';
import type { Result, Row } from '../../bench/harness/row.ts';
import { shortRows } from '../../bench/rows.ts';
import { djangoChart, ratioChart } from '../../scripts/docs/performance-charts.ts';
import { BEGIN, END, insert, performanceProblems, resultsPart } from '../../scripts/docs/performance-page.ts';
import { root } from '../../scripts/support/paths.ts';

const rows: Row[] = [
  { name: 'relay', work: 'relaying', against: 'raw', unit: 'msg/s', goal: 0.9, beside: 'django-relay' },
  { name: 'latency', work: 'waiting', against: 'raw', unit: 'ms', goal: 1.3, atMost: true },
  { name: 'django-relay', work: 'relaying', against: 'django-cqrs', unit: 'msg/s', goal: 5 },
];
const result = (name: string, ratio: number): Result => {
  const { unit, goal, atMost = false } = rows.find((row) => row.name === name)!;
  return { name, ours: 1000 * ratio, twin: 1000, ratio, goal, unit, atMost };
};
const results = [result('relay', 0.95), result('latency', 1.5), result('django-relay', 40)];
const explained = { latency: { profile: 'It waits.', lift: 'Waiting less.' } };
const empty = `# Performance\n\n${BEGIN}\n${END}\n\nEnd\n`;
const page = insert(empty, resultsPart(rows, results, explained));

describe('the page of results', () => {
  test('has a line for every row, its ratio, and why a goal is missed', () => {
    expect(page).toContain('| `relay` | relaying | raw | 950 msg/s | 1,000 | 1,000 | ✓ 0.95 | ≥ 0.9 |');
    expect(page).toContain('2 of 3 goals are reached.');
    expect(page).toContain('- `latency` (1.5, goal ≤ 1.3). It waits. *Would lift it:* Waiting less.');
    expect(performanceProblems(rows, results, page, explained)).toEqual([]);
    expect(insert(page, resultsPart(rows, results, explained))).toBe(page);
  });

  test.each<[string, Row[], Result[], string, object, RegExp]>([
    ['a row without a result', rows, results.slice(1), page, explained, /^relay: .* has no result/],
    ['a missed goal without a reason', rows, results, page, {}, /^latency: missed \(1.5\)/],
    [
      'a goal that has changed',
      [{ ...rows[0]!, goal: 2 }, ...rows.slice(1)],
      results,
      page,
      explained,
      /^relay: .*0.9/,
    ],
    ['a result of no row', rows.slice(0, 2), results, page, explained, /^django-relay: there is no such/],
    ['a page of other results', rows, results, empty, explained, /is not what bench\/results.json says/],
  ])('%s is a problem', (_, all, measured, text, reasons, problem) => {
    expect(performanceProblems(all, measured, text, reasons as never)).toEqual([expect.stringMatching(problem)]);
  });

  test('charts say in words what they show', () => {
    expect(ratioChart(rows, results)).toMatch(
      /class="good"[^>]*width="242.8"[\s\S]*0.95 {2}\(≥ 0.9\)[\s\S]*class="bad"/,
    );
    expect(djangoChart(rows, results)).toContain('40 ×');
  });
});

describe('the short form', () => {
  test.each<[number, number, boolean, boolean]>([
    [0.81, 1, false, false],
    [0.79, 1, false, true],
    [1.19, 1, true, false],
    [1.21, 1, true, true],
  ])('%d after %d (atMost %j) has fallen: %j', (ratio, before, atMost, expected) => {
    expect(hasFallen({ ratio, atMost }, { ratio: before })).toBe(expected);
  });

  test('has a committed ratio of each of its benchmarks, and of no other', () => {
    expect(readResults(`${root}/bench/short-results.json`).map(({ name }) => name)).toEqual(shortRows);
  });

  test('fails only for what fell twice in a row', async () => {
    const runs = [
      [result('relay', 0.5), result('latency', 2.5), result('django-relay', 40)],
      [result('relay', 0.94), result('latency', 2)],
    ];
    const asked: (readonly string[])[] = [];
    const measure = async (names: readonly string[]): Promise<Result[]> => {
      asked.push(names);
      return runs.shift()!;
    };
    expect(await fallenTwice(results, measure, () => {})).toEqual([
      'latency: the ratio fell from 1.5 to 2, twice in a row',
    ]);
    expect(asked).toEqual([
      ['relay', 'latency', 'django-relay'],
      ['relay', 'latency'],
    ]);
  });
});
