import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Load } from './loads.ts';

const path = fileURLToPath(new URL('report.json', import.meta.url));

export const LOAD_HEAD =
  '| load | messages | time | a second | most memory | growth per 100,000 | |\n|---|---|---|---|---|---|---|';

/** With fewer messages the noise of the garbage collector is larger than what is measured. */
export const ENOUGH_FOR_GROWTH = 500_000;

export function loadRow({
  name,
  messages,
  seconds,
  perSecond,
  peakRssMb,
  rssSlopeMbPer100k,
  note,
  problems,
}: Load): string {
  const growth = messages < ENOUGH_FOR_GROWTH ? '–' : `${rssSlopeMbPer100k} MB`;
  const figures = [grouped(messages), `${seconds} s`, grouped(perSecond), `${peakRssMb} MB`, growth];
  const verdict = [note, ...problems.map((problem) => `**${problem}**`)].filter(Boolean).join('; ');
  return `| ${[name, ...figures, verdict].join(' | ')} |`;
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}

/** The loads of the last runs that were kept. */
export interface LoadReport {
  readonly machine: string;
  readonly loads: readonly Load[];
}

export function readLoads(): LoadReport | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as LoadReport) : undefined;
}

/** Puts these figures in the place of older ones of the same loads; those of another machine go. */
export function keepLoads(loads: readonly Load[], machine: string): void {
  const kept = readLoads();
  const all = new Map([...(kept?.machine === machine ? kept.loads : []), ...loads].map((load) => [load.name, load]));
  writeFileSync(path, `${JSON.stringify({ machine, loads: [...all.values()] }, null, 2)}\n`);
}
