import { readFileSync } from 'node:fs';
import type { Result } from './row.ts';

/** How much worse a ratio may be than the one that is committed. */
const TOLERANCE = 0.2;

/** The results of a former run, one object a line. */
export function readResults(path: string): Result[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Result);
}

/** Whether a ratio is more than a fifth worse than it was. */
export function hasFallen(now: Pick<Result, 'ratio' | 'atMost'>, before: Pick<Result, 'ratio'>): boolean {
  return now.atMost ? now.ratio > before.ratio * (1 + TOLERANCE) : now.ratio < before.ratio * (1 - TOLERANCE);
}

/**
 * Compares with the committed ratios; what has fallen is measured once more, for the machine may have been busy.
 * @returns one line a row that fell twice in a row.
 */
export async function fallenTwice(
  committed: readonly Result[],
  measure: (names: readonly string[]) => Promise<readonly Result[]>,
  say: (line: string) => void,
): Promise<string[]> {
  const before = new Map(committed.map((result) => [result.name, result]));
  const fallen = (results: readonly Result[]): Result[] =>
    results.filter((result) => before.has(result.name) && hasFallen(result, before.get(result.name)!));
  const first = fallen(await measure([...before.keys()]));
  if (first.length === 0) return [];
  say(`Once more, since they fell by more than a fifth: ${first.map(({ name }) => name).join(', ')}`);
  return fallen(await measure(first.map(({ name }) => name))).map(
    ({ name, ratio }) => `${name}: the ratio fell from ${before.get(name)!.ratio} to ${ratio}, twice in a row`,
  );
}
