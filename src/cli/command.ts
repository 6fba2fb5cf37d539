import type { Options, Values } from './arguments.js';

/** How a process of ours ends. A worker that ends with `setup` is not started again: it would end the same way. */
export const Exit = { done: 0, failed: 1, setup: 2 } as const;

/** One row of the table of commands. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** More lines for its help. */
  readonly details?: readonly string[];
  readonly options: Options;
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** Does the work and answers with the exit code; what it throws is told in one line. */
  run(values: Values): Promise<number>;
}

/** A row of the table, its `run` typed by its options. */
export function command<const O extends Options>(
  row: Omit<Command, 'options' | 'run'> & { readonly options: O; run(values: Values<O>): Promise<number> },
): Command {
  return row as Command;
}
