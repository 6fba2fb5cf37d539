import type { Row } from './row.ts';

/** Benchmarks that share a set-up: services, tables, a backlog. */
export interface Suite {
  readonly rows: readonly Row[];
  /** Sets up, measures every row that the bench wants, round by round, and cleans up. */
  run(bench: Bench): Promise<void>;
}

/** What a suite gets to measure with. */
export interface Bench {
  /** Whether one of these rows was asked for. */
  wants(...names: readonly string[]): boolean;
  /** How often each pair is measured. */
  readonly rounds: number;
  /** A size that suits the run: the full one, or the one of CI. */
  size(full: number, short: number): number;
  /** Keeps a pair that was measured side by side. */
  record(name: string, pair: { readonly ours: number; readonly twin: number }): void;
  /** Says what is going on, on the error stream. */
  say(text: string): void;
  /** Says why a row cannot be measured on this machine. */
  skip(name: string, reason: string): void;
}

/** Measures one after the other, beginning with another one in each round: what drifts, drifts for both. */
export async function inTurns<T>(round: number, measures: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (let step = 0; step < measures.length; step++) {
    const index = (step + round) % measures.length;
    results[index] = await measures[index]!();
  }
  return results;
}

/** The pair of a round: ours and its twin, in turns. */
export async function pair(
  round: number,
  ours: () => Promise<number>,
  twin: () => Promise<number>,
): Promise<{ ours: number; twin: number }> {
  const [first, second] = await inTurns(round, [ours, twin]);
  return { ours: first!, twin: second! };
}

/** How many a second. */
export async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return (count / (performance.now() - from)) * 1000;
}
