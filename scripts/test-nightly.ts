import { randomInt } from 'node:crypto';
import { withNewestMikroOrm } from './nightly/newest-mikro-orm.ts';
import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { jestCommand } from './support/jest.ts';

/**
 * More random histories, every fault, mutants of the rules and longer campaigns than a change should wait for; the
 * interoperation with django-cqrs, of masters that triggers capture; then what leans on MikroORM, with the newest of it that
 * installs. `CQRS_TEST_ROUNDS` says how much more; `--mikro-orm` does only the last part.
 */
await explaining(async () => {
  const { env } = await testServers();
  const rounds = Number(process.env['CQRS_TEST_ROUNDS'] ?? 20);
  const others = process.argv.includes('--mikro-orm') ? 0 : await ourOwn(rounds, env);
  return (await againstNewestMikroOrm(env)) || others;
});

async function ourOwn(rounds: number, env: Readonly<Record<string, string>>): Promise<number> {
  let worst = 0;
  for (let round = 1; round <= rounds; round++) {
    const SEED = String(randomInt(2 ** 31));
    console.log(`convergence, round ${round} of ${rounds}: SEED=${SEED}`);
    worst = (await passThrough(jestCommand(['test/replication/replica/convergence']), { ...env, SEED })) || worst;
  }
  worst = (await passThrough(['tsx', 'test/faults/main.ts'])) || worst;
  worst = (await passThrough(['node', 'scripts/test-mutation.ts'])) || worst;
  const minutes = ['--minutes', String(3 * rounds)];
  worst = (await passThrough(['tsx', 'test/campaign/main.ts', ...minutes])) || worst;
  for (const mode of ['driver', 'trigger']) {
    const masters = ['--masters', '--mode', mode, ...minutes];
    worst = (await passThrough(['tsx', 'test/campaign/main.ts', ...masters])) || worst;
  }
  for (const mode of ['driver', 'trigger']) {
    worst = (await passThrough(['tsx', 'test/upgrades/beside-former.ts', mode], env)) || worst;
  }
  // Its masters are captured at the driver elsewhere.
  return (await passThrough(['node', 'scripts/test-interop.ts'], { ...env, CQRS_TEST_CAPTURE: 'trigger' })) || worst;
}

/** Capture leans on parts of MikroORM that are not its public API: a new release may move them. */
async function againstNewestMikroOrm(env: Readonly<Record<string, string>>): Promise<number> {
  await using project = await withNewestMikroOrm((line) => console.log(line));
  const { folder, version } = project;
  const npm = (...words: string[]): Promise<number> => passThrough(['npm', 'run', '--silent', ...words], env, folder);
  let worst = await npm('test', '--', 'test/replication/master', 'differential');
  worst = (await npm('campaign', '--', '--masters', '--minutes', '1')) || worst;
  console.log(`MikroORM ${version}: ${worst === 0 ? 'passed' : 'FAILED'}`);
  return worst;
}
