import { rmSync } from 'node:fs';
import { keepScores } from '../test/mutation/report.ts';
import { passThrough } from './support/command.ts';
import { cache } from './support/paths.ts';

/** `test-mutation [--report] …`: Stryker with the rest of the words; `--report` keeps the scores in test/mutation/report.json. */
const words = process.argv.slice(2).filter((word) => word !== '--report');
const results = `${cache}/mutation.json`;
rmSync(results, { force: true });
process.exitCode = await passThrough(['stryker', 'run', 'test/mutation/stryker.config.mjs', ...words]);
if (process.argv.includes('--report')) keepScores(results);
