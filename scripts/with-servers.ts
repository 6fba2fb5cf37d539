import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';

/** `with-servers <program> <arguments…>`: runs a program with the URLs of the test servers in its environment. */
await explaining(async () => {
  const { env } = await testServers();
  // found on the PATH that npm sets: node_modules/.bin first
  return passThrough(process.argv.slice(2), env);
});
