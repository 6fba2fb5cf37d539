import { type Result, type Row } from './row.ts';
import { median } from './statistics.ts';
import type { Bench, Suite } from './suite.ts';

export interface RunOptions {
  /** Names of rows, or beginnings of names; none = all. */
  readonly names: readonly string[];
  readonly short: boolean;
  readonly rounds: number;
  readonly onResult: (result: Result, row: Row, spread: string) => void;
  readonly onSkipped: (row: Row, reason: string) => void;
  readonly say: (text: string) => void;
}

/** Runs the suites one after the other and tells each row's result as soon as it is known. */
export async function runSuites(suites: readonly Suite[], options: RunOptions): Promise<Result[]> {
  const wants = (name: string): boolean =>
    options.names.length === 0 || options.names.some((wanted) => name === wanted || name.startsWith(`${wanted}-`));
  const results: Result[] = [];
  for (const suite of suites) {
    const rows = suite.rows.filter((row) => wants(row.name));
    if (rows.length === 0) continue;
    const pairs = new Map<string, { ours: number; twin: number }[]>();
    const skipped = new Set<string>();
    const bench: Bench = {
      wants: (...names) => names.some((name) => wants(name) && suite.rows.some((row) => row.name === name)),
      rounds: options.rounds,
      size: (full, short) => (options.short ? short : full),
      record: (name, measured) => pairs.set(name, [...(pairs.get(name) ?? []), measured]),
      say: options.say,
      skip: (name, reason) => {
        const row = rows.find((one) => one.name === name);
        if (!row || skipped.has(name)) return;
        skipped.add(name);
        options.onSkipped(row, reason);
      },
    };
    await suite.run(bench);
    for (const row of rows) {
      const measured = pairs.get(row.name) ?? [];
      if (measured.length === 0) {
        bench.skip(row.name, 'it measured nothing');
        continue;
      }
      const ratios = measured.map(({ ours, twin }) => ours / twin);
      const result: Result = {
        name: row.name,
        ours: round(median(measured.map(({ ours }) => ours))),
        twin: round(median(measured.map(({ twin }) => twin))),
        // of the pairs, not of the medians: the machine is another one from round to round
        ratio: round(median(ratios)),
        goal: row.goal,
        unit: row.unit,
        atMost: row.atMost ?? false,
      };
      results.push(result);
      options.onResult(result, row, `${round(Math.min(...ratios))} … ${round(Math.max(...ratios))}`);
    }
  }
  return results;
}

/** Three digits that count. */
function round(value: number): number {
  return value >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}
