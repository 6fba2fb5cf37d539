import { askingCases } from './transport-contract/asking.js';
import { Bench, type TransportHarness } from './transport-contract/bench.js';
import { consumingCases } from './transport-contract/consuming.js';
import { deadLetterCases } from './transport-contract/dead-letters.js';
import { publishingCases } from './transport-contract/publishing.js';
import { settlingCases } from './transport-contract/settling.js';

export type { TransportHarness } from './transport-contract/bench.js';

export interface TransportContractCase {
  /** A promise of the contract, readable as a sentence. */
  readonly name: string;
  /** Rejects with an AssertionError when the promise is not kept. */
  readonly run: () => Promise<void>;
}

/**
 * What every transport promises, as named cases that need no test framework:
 *
 *   for (const { name, run } of transportContract(() => harness)) test(name, run);
 *
 * Each case uses an exchange and queues of its own and takes a few seconds at most.
 */
export function transportContract(makeHarness: () => TransportHarness): readonly TransportContractCase[] {
  return [...publishingCases, ...consumingCases, ...settlingCases, ...deadLetterCases, ...askingCases].map(
    ([name, run]) => ({
      name,
      run: async () => {
        await using bench = new Bench(makeHarness());
        await run(bench);
      },
    }),
  );
}
