import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** How many mutants of one file the tests found. */
export interface Score {
  readonly file: string;
  /** A test failed, or never came to an end. */
  readonly killed: number;
  readonly survived: number;
  /** No test runs that code. */
  readonly notReached: number;
}

/** What Stryker wrote down. */
interface Results {
  readonly files: Readonly<Record<string, { readonly mutants: readonly { readonly status: string }[] }>>;
}

const path = fileURLToPath(new URL('report.json', import.meta.url));

export const SCORE_HEAD = '| file | score | killed | survived | not reached |\n|---|---|---|---|---|';

export function scoreRow(score: Score): string {
  const { file, killed, survived, notReached } = score;
  return `| \`${file}\` | ${percent(score)} % | ${killed} | ${survived} | ${notReached} |`;
}

function percent({ killed, survived, notReached }: Score): string {
  return ((100 * killed) / (killed + survived + notReached)).toFixed(1);
}

/** The scores of the last run of each file that was kept. */
export function readScores(): Score[] {
  return JSON.parse(readFileSync(path, 'utf8')) as Score[];
}

/** Puts the scores of this run in the place of older ones of the same files. */
export function keepScores(resultsPath: string): void {
  const { files } = JSON.parse(readFileSync(resultsPath, 'utf8')) as Results;
  const scores = Object.entries(files).map(([file, { mutants }]): Score => {
    const count = (...states: string[]): number => mutants.filter(({ status }) => states.includes(status)).length;
    return {
      file,
      killed: count('Killed', 'Timeout'),
      survived: count('Survived'),
      notReached: count('NoCoverage'),
    };
  });
  const all = new Map([...readScores(), ...scores].map((score) => [score.file, score]));
  const sorted = [...all.values()].toSorted((a, b) => a.file.localeCompare(b.file));
  writeFileSync(path, `${JSON.stringify(sorted, null, 2)}\n`);
}
