import { testServers } from './servers/test-servers.ts';
import { buildIfStale } from './support/build.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';

/** `npm run demo [-- --servers] [--admin]`: with `--servers` on real ones; with `--admin` it needs the built page. */
const words = process.argv.slice(2);

await explaining(async () => {
  const env = words.includes('--servers') ? (await testServers()).env : {};
  if (words.includes('--admin')) await buildIfStale();
  return passThrough(['tsx', 'examples/demo/main.ts', ...words], env);
});
