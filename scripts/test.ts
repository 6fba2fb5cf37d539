import { ServerMissing } from './servers/locate.ts';
import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { buildIfStale } from './support/freshness.ts';
import { jestCommand } from './support/jest.ts';

try {
  const servers = await testServers();
  await buildIfStale();
  process.exitCode = await passThrough(jestCommand(process.argv.slice(2)), servers.env);
} catch (error) {
  if (!(error instanceof ServerMissing)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
