/** Tests come in two dialects: ES decorators, and under test/legacy what TypeScript calls `experimentalDecorators`. */
const project = (displayName, transform, tests) => ({
  displayName,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    // TypeScript sources import './x.js', as Node will find it in dist
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // the package's own name means its sources, as in tsconfig.json
    '^mikro-orm-cqrs$': '<rootDir>/src/index.ts',
    '^mikro-orm-cqrs/rabbitmq$': '<rootDir>/src/brokers/rabbitmq/index.ts',
    '^mikro-orm-cqrs/admin$': '<rootDir>/src/admin/index.ts',
    '^mikro-orm-cqrs/metrics$': '<rootDir>/src/observability/metrics.ts',
    '^mikro-orm-cqrs/testing$': '<rootDir>/src/testing/index.ts',
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
