import { testServers } from './servers/test-servers.ts';
import { passThrough } from './support/command.ts';
import { explaining } from './support/explain.ts';
import { jestCommand } from './support/jest.ts';

/** More random histories, every fault, mutants of the rules and a longer campaign than a change should wait for. `CQRS_TEST_ROUNDS` says how much more. */
await explaining(async () => {
  const { env } = await testServers();
  const rounds = Number(process.env['CQRS_TEST_ROUNDS'] ?? 20);
  let worst = 0;
  for (let round = 1; round <= rounds; round++) {
    console.log(`convergence, round ${round} of ${rounds}`);
    // each round has a seed of its own, and prints it
    worst = (await passThrough(jestCommand(['test/replica/convergence']), env)) || worst;
  }
  worst = (await passThrough(['tsx', 'test/faults/main.ts'])) || worst;
  worst = (await passThrough(['node', 'scripts/test-mutation.ts'])) || worst;
  return (await passThrough(['tsx', 'test/campaign/main.ts', '--minutes', String(3 * rounds)])) || worst;
});
