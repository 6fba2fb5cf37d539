import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';

/**
 * `with-servers [--when <flag>] <program> <arguments…>`: runs a program with the URLs of the test servers in its
 * environment; with `--when`, only if the arguments hold that flag, for the others need no servers.
 */
const words = process.argv.slice(2);
const flag = words[0] === '--when' ? words.splice(0, 2)[1]! : null;

await explaining(async () => {
  const env = flag === null || words.includes(flag) ? (await testServers()).env : {};
  // found on the PATH that npm sets: node_modules/.bin first
  return passThrough(words, env);
});
