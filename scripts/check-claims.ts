import { readFileSync } from 'node:fs';
import { type JestFile, withoutGreenTest } from './docs/green-claims.ts';
import { claimProblems } from './docs/guarantees-page.ts';
import { allTaggedTests } from './docs/tagged-tests.ts';
import { report } from './support/report.ts';

/** `check-claims <results>…`: every claim has a test, and each of its tests passed in the runs that `jest --json` wrote down. */
const results = process.argv.slice(2);
const tests = allTaggedTests();
const files = results.flatMap(
  (path) => (JSON.parse(readFileSync(path, 'utf8')) as { testResults: JestFile[] }).testResults,
);
report(`claims: ${tests.length} tests`, [...claimProblems(tests), ...withoutGreenTest(tests, files)]);
