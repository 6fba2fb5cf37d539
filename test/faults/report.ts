import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Result } from './result.ts';

const path = fileURLToPath(new URL('report.json', import.meta.url));

/** The results of the last run that was kept, in the order of their names. */
export function readReport(): Result[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Result[]) : [];
}

/** Puts these results in the place of older ones of the same cases. */
export function saveReport(results: readonly Result[]): void {
  const key = ({ name, action }: Result): string => `${name} ${action}`;
  const all = new Map([...readReport(), ...results].map((result) => [key(result), result]));
  writeFileSync(path, `${JSON.stringify([...all.values()], null, 2)}\n`);
}
