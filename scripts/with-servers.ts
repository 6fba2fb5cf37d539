import { ServerMissing } from './servers/locate.ts';
import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';

/**
 * `with-servers [--when <flag>] <program> <arguments…>`: runs a program with the URLs of the test servers in its
 * environment; with `--when`, only if the arguments hold that flag, for the others need no servers.
 */
const words = process.argv.slice(2);
const flag = words[0] === '--when' ? words.splice(0, 2)[1]! : null;
const [program, ...args] = words;
try {
  const env = flag === null || args.includes(flag) ? (await testServers()).env : {};
  // found on the PATH that npm sets: node_modules/.bin first
  process.exitCode = await passThrough([program!, ...args], env);
} catch (error) {
  if (!(error instanceof ServerMissing)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
