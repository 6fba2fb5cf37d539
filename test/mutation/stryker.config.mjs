/**
 * What `npm run test:mutation` mutates, and how. It works in a copy below .cache/, so that the tree stays as it is.
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  mutate: [
    'src/wire/payload.ts',
    'src/wire/values.ts',
    'src/messaging/inbox/failure-policy.ts',
    'src/replication/master/capture/pending-changes.ts',
    'src/replication/replica/rules/revision-rules.ts',
  ],
  testRunner: 'jest',
  jest: { projectType: 'custom', configFile: 'test/mutation/jest.config.mjs', enableFindRelatedTests: true },
  testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  coverageAnalysis: 'perTest',
  // What runs once, as a module loads, would need every test again for each mutant: schemas and tables of constants.
  ignoreStatic: true,
  // There is no compiler in between that would want another tsconfig in the copy.
  tsconfigFile: 'none',
  checkers: [],
  disableTypeChecks: false,
  ignorePatterns: ['dist', 'docs', 'examples', 'bench', '.cache', '.git'],
  tempDirName: '.cache/stryker',
  concurrency: 2,
  timeoutMS: 20_000,
  reporters: ['clear-text', 'json'],
  clearTextReporter: { allowColor: false, reportTests: false },
  thresholds: { high: 90, low: 85, break: 85 },
  jsonReporter: { fileName: '.cache/mutation.json' },
  allowConsoleColors: false,
};
