import { chromium, ChromiumMissing } from './e2e/chromium.ts';
import { testServers } from './servers/test-servers.ts';
import { buildIfStale } from './support/build.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { jestCommand } from './support/jest.ts';
import { root } from './support/paths.ts';

/**
 * `npm run test:e2e [-- <files>]`: the admin page in a real Chromium, on real servers. `--screenshots` writes the
 * pictures of the documentation anew.
 */
await explaining(async () => {
  const args = process.argv.slice(2).filter((word) => word !== '--screenshots');
  const screenshots = args.length < process.argv.length - 2;
  const { env } = await testServers();
  try {
    const browser = await chromium((line) => console.log(line));
    await buildIfStale();
    return await passThrough(jestCommand(['--config', `${root}/test/e2e/jest.config.mjs`, ...args]), {
      ...env,
      CQRS_TEST_CHROMIUM: browser,
      ...(screenshots && { CQRS_TEST_SCREENSHOTS: `${root}/docs/images/admin` }),
    });
  } catch (error) {
    if (!(error instanceof ChromiumMissing)) throw error;
    console.error(error.message);
    return 1;
  }
});
