import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { jestCommand } from './support/jest.ts';

/** What takes longer than a change should wait for: the suite with many more random histories, and a long chaos run. */
await explaining(async () => {
  const { env } = await testServers();
  const histories = process.env['CQRS_TEST_HISTORIES'] ?? '20000';
  const seconds = process.env['CQRS_TEST_CHAOS_SECONDS'] ?? '300';
  const suite = jestCommand(['--testTimeout', String(60 * 60_000), ...process.argv.slice(2)]);
  const tests = await passThrough(suite, { ...env, CQRS_TEST_HISTORIES: histories });
  const chaos = await passThrough(['tsx', 'test/chaos/main.ts', '--seconds', seconds], env);
  return tests || chaos;
});
