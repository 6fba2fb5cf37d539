import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { buildIfStale } from './support/build.ts';
import { jestCommand } from './support/jest.ts';

await explaining(async () => {
  const { env } = await testServers();
  await buildIfStale();
  return passThrough(jestCommand(process.argv.slice(2)), env);
});
