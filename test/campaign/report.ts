import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tally } from './writes.ts';

/** What one campaign came to. */
export interface Campaign {
  readonly seed: number;
  minutes: number;
  rounds: number;
  readonly transactions: Tally;
  syncs: number;
  /** How many of each kind happened. */
  readonly faults: Record<string, number>;
  /** From the end of a round's last fault until everything was equal and at rest. */
  slowestRecoveryMs: number;
  lost: number;
  resurrected: number;
  duplicatedEffects: number;
  readonly problems: string[];
}

const path = fileURLToPath(new URL('report.json', import.meta.url));

/** The last campaign that was kept. */
export function readCampaign(): Campaign | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Campaign) : undefined;
}

export function saveCampaign(campaign: Campaign): void {
  writeFileSync(path, `${JSON.stringify(campaign, null, 2)}\n`);
}

export function faultCount({ faults }: Campaign): number {
  return Object.values(faults).reduce((sum, count) => sum + count, 0);
}

export function summary(campaign: Campaign): string {
  const { rounds, minutes, seed, transactions, syncs, lost, resurrected, duplicatedEffects, problems } = campaign;
  return [
    `campaign: ${rounds} rounds in ${minutes} min, seed ${seed}: ${faultCount(campaign)} faults, ${transactions.committed} transactions committed`,
    `${transactions.rolledBack} rolled back, ${transactions.failed} failed, ${transactions.doubtful} whose COMMIT had no answer, ${syncs} syncs`,
    `lost ${lost}, resurrected ${resurrected}, effects twice ${duplicatedEffects}; slowest recovery ${(campaign.slowestRecoveryMs / 1_000).toFixed(1)} s`,
    ...problems,
    problems.length === 0 ? 'campaign: passed' : 'campaign: FAILED',
  ].join('\n');
}
