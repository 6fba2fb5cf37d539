import { fileURLToPath } from 'node:url';
import common from '../../jest.config.mjs';

const rootDir = fileURLToPath(new URL('../../', import.meta.url));
const [es] = common.projects;

/**
 * Of its own, so that `npm test` needs no browser.
 * @type {import('jest').Config}
 */
export default {
  ...common,
  rootDir,
  projects: [
    {
      ...es,
      displayName: 'e2e',
      rootDir,
      testMatch: ['<rootDir>/test/e2e/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/'],
    },
  ],
  testTimeout: 60_000,
};
