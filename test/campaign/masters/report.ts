import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tally } from './writers.ts';

/** What one campaign over masters came to. */
export interface MastersCampaign {
  readonly seed: number;
  readonly mode: string;
  /** The version of MikroORM. */
  readonly mikroOrm: string;
  minutes: number;
  rounds: number;
  readonly programs: Tally;
  /** As the slot decoded them: transactions that changed masters, rows of theirs, messages that they wrote. */
  transactions: number;
  rows: number;
  messages: number;
  /** Changes of rows that this mode of capture does not see. */
  uncaptured: number;
  /** Rows that an upsert met though they were not there when it looked. */
  unknownBefore: number;
  kills: number;
  terminations: number;
  readonly problems: string[];
}

const path = fileURLToPath(new URL('report.json', import.meta.url));

/** The last campaign that was kept of each way of capture, by its name. */
export function readMastersCampaigns(): Readonly<Record<string, MastersCampaign>> {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, MastersCampaign>) : {};
}

export function saveMastersCampaign(campaign: MastersCampaign): void {
  writeFileSync(path, `${JSON.stringify({ ...readMastersCampaigns(), [campaign.mode]: campaign }, null, 2)}\n`);
}

export function summary(campaign: MastersCampaign): string {
  const { seed, mode, rounds, minutes, programs, transactions, rows, messages, uncaptured, problems } = campaign;
  const whys = Object.entries(programs.whys).toSorted(([, a], [, b]) => b - a);
  return [
    `campaign over masters (capture by ${mode}, MikroORM ${campaign.mikroOrm}): ${rounds} rounds in ${minutes} min, seed ${seed}`,
    `${programs.committed} programs committed, ${programs.rolledBack} gave up, ${programs.failed} failed, ${programs.refused} refused, ${programs.killed} killed; ${campaign.kills} × kill -9, ${campaign.terminations} connections ended`,
    `${transactions} transactions decoded: ${rows} rows changed, ${messages} messages, ${uncaptured} changes by ways that this mode does not see, ${campaign.unknownBefore} upserts that met a row inserted meanwhile`,
    ...whys.map(([why, count]) => `  ${count} × ${why}`),
    ...problems,
    problems.length === 0 ? 'campaign over masters: passed' : 'campaign over masters: FAILED',
  ].join('\n');
}
