import { fileURLToPath } from 'node:url';
import common from '../../jest.config.mjs';

const rootDir = fileURLToPath(new URL('../../', import.meta.url));
const [es] = common.projects;

/**
 * Of its own, so that `npm test` needs no Python.
 * @type {import('jest').Config}
 */
export default {
  ...common,
  rootDir,
  projects: [
    {
      ...es,
      displayName: 'interop',
      rootDir,
      testMatch: ['<rootDir>/test/interop/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/'],
    },
  ],
};
