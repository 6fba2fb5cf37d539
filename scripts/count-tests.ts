import { readFileSync } from 'node:fs';

interface Results {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numRuntimeErrorTestSuites: number;
}

/** `<passed> <failed>` from what `jest --json` wrote; what was not run has not passed, and neither has an empty suite. */
const results = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Results;
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, numRuntimeErrorTestSuites } = results;
const failed = numFailedTests + numPendingTests + numTodoTests + numRuntimeErrorTestSuites;
console.log(`${numPassedTests} ${numPassedTests === 0 ? Math.max(failed, 1) : failed}`);
