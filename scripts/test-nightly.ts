import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { jestCommand } from './support/jest.ts';

/**
 * What takes longer than a change should wait for: the whole suite with many more random histories, test/nightly, and a
 * long run of the chaos test.
 */
const { env } = await testServers();
const long = { ...env, CQRS_TEST_HISTORIES: process.env['CQRS_TEST_HISTORIES'] ?? '20000', CQRS_TEST_NIGHTLY: '1' };
const steps = [
  jestCommand(['--testTimeout', String(60 * 60_000), ...process.argv.slice(2)]),
  ['tsx', 'test/chaos/main.ts', '--seconds', process.env['CQRS_TEST_CHAOS_SECONDS'] ?? '300'],
];
for (const step of steps) {
  const code = await passThrough(step, long);
  if (code !== 0) process.exitCode = code;
}
