import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Load } from './loads.ts';

const path = fileURLToPath(new URL('report.json', import.meta.url));

export const LOAD_HEAD =
  '| load | messages | time | a second | most memory | growth per 100,000 | |\n|---|---|---|---|---|---|---|';

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
  const figures = [messages, `${seconds} s`, perSecond, `${peakRssMb} MB`, `${rssSlopeMbPer100k} MB`];
  const verdict = [note, ...problems.map((problem) => `**${problem}**`)].filter(Boolean).join('; ');
  return `| ${[name, ...figures, verdict].join(' | ')} |`;
}

/** The figures of the last run that was kept. */
export function readLoads(): Load[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Load[]) : [];
}

/** Puts these figures in the place of older ones of the same loads. */
export function keepLoads(loads: readonly Load[]): void {
  const all = new Map([...readLoads(), ...loads].map((load) => [load.name, load]));
  writeFileSync(path, `${JSON.stringify([...all.values()], null, 2)}\n`);
}
