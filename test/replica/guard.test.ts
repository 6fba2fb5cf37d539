import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { formatMicroseconds } from '../../src/core/wire-times.js';
import type { Version } from '../../src/core/payload.js';
import { guardText } from '../../src/replica/replica-table.js';
import { decide, type RuleOptions } from '../../src/replica/revision-rules.js';
import { createDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const SECOND = 1_000_000;
const NOW = 1_800_000_000 * SECOND;
const times = [-10 * SECOND, -9 * SECOND, -9 * SECOND + 1, -8 * SECOND, SECOND, SECOND + 1, 2 * SECOND].map(
  (offset) => NOW + offset,
);
const versions: Version[] = [null, 1, 2].flatMap((incarnation) =>
  [0, 1, 2].flatMap((revision) => times.map((updated) => ({ incarnation, revision, updated }))),
);
const pairs = versions.flatMap((stored) => versions.map((incoming) => ({ stored, incoming })));

describe.each(['never', 'always'] as const)('syncDowngrade %s', (syncDowngrade) => {
  test.each(['SAVE', 'SYNC'] as const)(
    '%s: SQL writes over a row exactly when the rules say so',
    async (signalType) => {
      const rules: RuleOptions = { now: NOW, tolerance: SECOND, syncDowngrade };
      const guard = guardText('t', 'e', {
        sync: signalType === 'SYNC',
        syncDowngrade,
        horizon: '$7::text::timestamptz',
        tolerance: '$8::text::interval',
      });
      const columns = (pick: (pair: (typeof pairs)[number]) => Version) => [
        pairs.map((pair) => pick(pair).incarnation),
        pairs.map((pair) => pick(pair).revision),
        pairs.map((pair) => formatMicroseconds(pick(pair).updated)),
      ];
      const { rows } = await client.query<{ writes: boolean }>(
        `select ${guard} as writes
       from unnest($1::bigint[], $2::int[], $3::timestamptz[]) with ordinality as t(cqrs_incarnation, cqrs_revision, cqrs_updated, n)
       join unnest($4::bigint[], $5::int[], $6::timestamptz[]) with ordinality as e(cqrs_incarnation, cqrs_revision, cqrs_updated, n)
         using (n) order by n`,
        [
          ...columns(({ stored }) => stored),
          ...columns(({ incoming }) => incoming),
          formatMicroseconds(rules.now + rules.tolerance),
          `${rules.tolerance} microseconds`,
        ],
      );
      const disagreements = pairs.filter(({ stored, incoming }, index) => {
        const { action } = decide({ kind: 'row', version: stored }, { signalType, version: incoming }, rules);
        return (action === 'update' || action === 'replace') !== rows[index]!.writes;
      });
      expect(disagreements).toEqual([]);
      expect(new Set(rows.map((row) => row.writes))).toEqual(new Set([true, false]));
    },
  );
});
