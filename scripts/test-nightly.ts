import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { jestCommand } from './support/jest.ts';

/** More random histories and a longer chaos run than a change should wait for. `CQRS_TEST_ROUNDS` says how much more. */
await explaining(async () => {
  const { env } = await testServers();
  const rounds = Number(process.env['CQRS_TEST_ROUNDS'] ?? 20);
  let worst = 0;
  for (let round = 1; round <= rounds; round++) {
    console.log(`convergence, round ${round} of ${rounds}`);
    // each round has a seed of its own, and prints it
    worst = (await passThrough(jestCommand(['test/replica/convergence']), env)) || worst;
  }
  return (await passThrough(['tsx', 'test/chaos/main.ts', '--seconds', String(15 * rounds)], env)) || worst;
});
