import type { Standing } from './stage.ts';

/** What became of one case. */
export interface Result extends Standing {
  readonly name: string;
  readonly action: string;
  readonly seed: number;
  /** How many faults happened. */
  readonly injected: number;
  /** From the fault until both databases were equal and nothing was on its way. */
  readonly recoveryMs: number;
  /** Dead letters that were written twice; allowed, since a dead letter is written at least once. */
  readonly deadLetterCopies: number;
  /** What else went wrong; empty when every message had one defined end. */
  readonly problems: readonly string[];
}

export function passed(result: Result): boolean {
  const { injected, lost, resurrected, duplicatedEffects, problems } = result;
  return injected > 0 && lost + resurrected + duplicatedEffects + problems.length === 0;
}

export const TABLE_HEAD =
  '| case | action | faults | recovered within | lost | resurrected | effects twice | result |\n|---|---|---|---|---|---|---|---|';

export function tableRow(result: Result): string {
  const { name, action, injected, recoveryMs, lost, resurrected, duplicatedEffects, problems } = result;
  const verdict = passed(result) ? 'passed' : `failed ${problems.join('; ')}`.trim();
  const cells = [
    `\`${name}\``,
    action,
    injected,
    `${(recoveryMs / 1000).toFixed(1)} s`,
    lost,
    resurrected,
    duplicatedEffects,
    verdict,
  ];
  return `| ${cells.join(' | ')} |`;
}
