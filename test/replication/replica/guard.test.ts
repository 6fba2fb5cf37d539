import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { formatMicroseconds } from '../../../src/wire/times.js';
import type { Version } from '../../../src/wire/payload.js';
import { olderText } from '../../../src/replication/replica/rows/write-condition.js';
import { decide, type RuleOptions } from '../../../src/replication/replica/rules/revision-rules.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';

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
const rules: RuleOptions = { now: NOW, tolerance: SECOND, lockWait: 30 * SECOND, syncDowngrade: 'never' };
const versions: Version[] = [0, 1, 2].flatMap((incarnation) =>
  [0, 1, 2].flatMap((revision) =>
    [-9 * SECOND, -9 * SECOND + 1, 2 * SECOND].map((offset) => ({ incarnation, revision, updated: NOW + offset })),
  ),
);
const pairs = versions.flatMap((stored) => versions.map((incoming) => ({ stored, incoming })));

test.each([
  ['SAVE', 'older'],
  ['SYNC', 'not-newer'],
] as const)(
  'a numbered %s: SQL writes over a numbered row exactly when the rules say so, and over no other',
  async (signalType, condition) => {
    const columns = (pick: (pair: (typeof pairs)[number]) => Version) => [
      pairs.map((pair) => pick(pair).incarnation),
      pairs.map((pair) => pick(pair).revision),
      pairs.map((pair) => formatMicroseconds(pick(pair).updated)),
    ];
    const { rows } = await client.query<{ writes: boolean; over: boolean; over_floor: boolean }>(
      `select ${olderText('t', 'e', condition)} as writes, ${olderText('f', 'e', condition)} as over_floor
       from unnest($1::bigint[], $2::int[], $3::timestamptz[]) with ordinality as t(cqrs_incarnation, cqrs_revision, cqrs_updated, n)
       join unnest($4::bigint[], $5::int[], $6::timestamptz[]) with ordinality as e(cqrs_incarnation, cqrs_revision, cqrs_updated, n)
         using (n)
       cross join lateral (select -1 as cqrs_incarnation, 0 as cqrs_revision, 'epoch'::timestamptz as cqrs_updated) f
       order by n`,
      [...columns(({ stored }) => stored), ...columns(({ incoming }) => incoming)],
    );
    const disagreements = pairs.filter(({ stored, incoming }, index) => {
      const { action } = decide({ kind: 'row', version: stored }, { signalType, version: incoming }, rules);
      return (action === 'update' || action === 'replace') !== rows[index]!.writes;
    });
    expect(disagreements).toEqual([]);
    expect(new Set(rows.map((row) => row.writes))).toEqual(new Set([true, false]));
    expect(new Set(rows.map((row) => row.over_floor))).toEqual(new Set([false]));
  },
);
