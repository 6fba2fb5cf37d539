/** One row of the table of results: what is measured, against what, and what it must reach. */
export interface Row {
  /** What it is called on the command line and in `results.json`. */
  readonly name: string;
  readonly work: string;
  readonly against: string;
  readonly unit: string;
  /** The least ratio of ours to the twin; with `atMost` the greatest. */
  readonly goal: number;
  readonly atMost?: boolean;
  /** The row that measures the same work beside django-cqrs. */
  readonly beside?: string;
}

/** One line of `--json`, and of `bench/results.json`. */
export interface Result {
  readonly name: string;
  readonly ours: number;
  readonly twin: number;
  readonly ratio: number;
  readonly goal: number;
  readonly unit: string;
  readonly atMost: boolean;
}

export function reaches({ ratio, goal, atMost }: Pick<Result, 'ratio' | 'goal' | 'atMost'>): boolean {
  return atMost ? ratio <= goal : ratio >= goal;
}
