import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openSide, type Side, type Way } from './differential/observe.js';
import { WAYS_OF_ENTITIES } from './differential/ways-of-entities.js';
import { WAYS_OF_STATEMENTS } from './differential/ways-of-statements.js';
import { WAYS_OF_TRANSACTIONS } from './differential/ways-of-transactions.js';

/**
 * Every way of writing that MikroORM documents, by an application without this library and by the same one with it: the
 * application gets the same answers and errors, its tables the same rows, everybody beside it the same locks.
 */

let plain: Side;
let masters: Side;

beforeAll(async () => {
  [plain, masters] = await Promise.all([openSide(false), openSide(true)]);
});
afterAll(async () => {
  await Promise.all([plain[Symbol.asyncDispose](), masters[Symbol.asyncDispose]()]);
});

const GROUPS: readonly [string, Readonly<Record<string, Way>>][] = [
  ['entities', WAYS_OF_ENTITIES],
  ['statements', WAYS_OF_STATEMENTS],
  ['transactions, locks and errors', WAYS_OF_TRANSACTIONS],
];

describe.each(GROUPS)('%s', (_, ways) => {
  test.each(Object.entries(ways))(
    '%s',
    async (_name, way) => {
      const { cost: plainCost, ...without } = await plain.observe(way);
      const { cost, ...within } = await masters.observe(way);
      if (way.refused !== undefined) {
        expect(within).toMatchObject({ rows: without.rows, error: { code: way.refused } });
        return;
      }
      expect(within).toEqual(without);
      // Each statement may need one that reads what it will change, and there are BEGIN, COMMIT and the outbox.
      expect(cost.statements).toBeLessThanOrEqual(2 * plainCost.statements + 3);
      // A statement is longer by what it returns; the messages are in the text of the last one.
      expect(cost.bytes).toBeLessThanOrEqual(4 * plainCost.bytes + 4_000);
    },
    10_000,
  );
});

// BEGIN travels with the first statement of its transaction, which saves a round trip.
test('now() is the time of the first statement of a transaction, not of em.begin()', async () => {
  const way: Way = {
    ownTransactions: true,
    run: async ({ em, other }) => {
      await em.begin();
      const [{ between }] = await other().execute('select clock_timestamp()::text as between');
      const [{ later }] = await em.execute('select now() > ?::timestamptz as later', [between]);
      await em.rollback();
      return later;
    },
  };
  expect([(await plain.observe(way)).result, (await masters.observe(way)).result]).toEqual([false, true]);
});
