import { readFileSync } from 'node:fs';

/** The package's own name means its sources: `exports` of package.json is the one table, which tsconfig.json repeats. */
const { name, exports } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const entryPoints = Object.fromEntries(
  Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([path, target]) => [
      `^${name}${path.slice(1)}$`,
      target.default.replace('./dist/', '<rootDir>/src/').replace(/\.js$/, '.ts'),
    ]),
);

/** Tests come in two dialects: ES decorators, and under test/legacy what TypeScript calls `experimentalDecorators`. */
const project = (displayName, transform, tests) => ({
  displayName,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    // TypeScript sources import './x.js', as Node will find it in dist
    '^(\\.{1,2}/.*)\\.js$': '$1',
    ...entryPoints,
  },
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
        testPathIgnorePatterns: [
          '/node_modules/',
          '<rootDir>/test/legacy/',
          '<rootDir>/test/interop/',
          '<rootDir>/test/e2e/',
        ],
      },
    ),
    project(
      'legacy',
      { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
      { testMatch: ['<rootDir>/test/legacy/**/*.test.ts'] },
    ),
  ],
  testTimeout: 60_000,
  maxWorkers: 2,
  // Modules of finished files stay in memory otherwise, and the collector takes longer and longer.
  workerIdleMemoryLimit: '600MB',
};
