import { interopPython, PythonMissing } from './interop/virtualenv.ts';
import { ServerMissing } from './servers/locate.ts';
import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { jestCommand } from './support/jest.ts';
import { root } from './support/paths.ts';

/**
 * `npm run test:interop [-- <files>]`: our services against those of django-cqrs. Without Python the tests are skipped,
 * which is loud, and in CI an error: what was not run has proven nothing.
 */
try {
  const servers = await testServers();
  const python = await interopPython((line) => console.log(line)).catch((error: unknown) => {
    if (!(error instanceof PythonMissing)) throw error;
    console.error(`\n!!! The interoperation with django-cqrs is NOT tested.\n!!! ${error.message}\n`);
    return '';
  });
  const jest = jestCommand(['--config', `${root}/test/interop/jest.config.mjs`, ...process.argv.slice(2)]);
  const code = await passThrough(jest, { ...servers.env, CQRS_INTEROP_PYTHON: python });
  process.exitCode = python === '' && process.env['CI'] ? 1 : code;
} catch (error) {
  if (!(error instanceof ServerMissing)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
