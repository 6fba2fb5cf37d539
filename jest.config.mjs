/** Tests come in two dialects: ES decorators, and under test/legacy what TypeScript calls `experimentalDecorators`. */
const project = (displayName, transform, tests) => ({
  displayName,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  // TypeScript sources import './x.js', as Node will find it in dist
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  modulePathIgnorePatterns: ['<rootDir>/\\.cache/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform,
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },
  ...tests,
});

/** @type {import('jest').Config} */
export default {
  projects: [
    project(
      'es',
      { decoratorVersion: '2023-11' },
      {
        testMatch: ['<rootDir>/test/**/*.test.ts'],
        testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/legacy/', '<rootDir>/test/nightly/'],
      },
    ),
    project(
      'legacy',
      { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
      { testMatch: ['<rootDir>/test/legacy/**/*.test.ts'] },
    ),
  ],
  testTimeout: 30_000,
  maxWorkers: 2,
};
