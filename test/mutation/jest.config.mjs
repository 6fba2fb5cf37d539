import { fileURLToPath } from 'node:url';
import common from '../../jest.config.mjs';

const rootDir = fileURLToPath(new URL('../../', import.meta.url));
const [es] = common.projects;

/**
 * The tests that know the rules by heart and need no server: every mutant is held against them.
 * @type {import('jest').Config}
 */
export default {
  ...es,
  displayName: 'mutation',
  rootDir,
  testMatch: [
    '<rootDir>/test/kernel/*.test.ts',
    '<rootDir>/test/wire/*.test.ts',
    '<rootDir>/test/postgres/*.test.ts',
    '<rootDir>/test/messaging/inbox/failure-policy.test.ts',
    '<rootDir>/test/replication/master/pending-changes.test.ts',
    '<rootDir>/test/replication/replica/revision-rules.test.ts',
  ],
  testPathIgnorePatterns: ['/node_modules/', 'lost-connection', 'round-trips'],
};
