import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { readRecord } from '../../../src/replication/master/definition/record-text.js';
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

async function printed(values: readonly (string | null)[]): Promise<string> {
  const columns = values.map((_, index) => `$${index + 1}::text`).join(', ');
  const { rows } = await client.query<{ text: string }>(`select row(${columns})::text as text`, [...values]);
  return rows[0]!.text;
}

const hostile = fc.oneof(
  fc.constant(null),
  fc.string({
    unit: fc.constantFrom('"', '\\', ',', '(', ')', ' ', '\n', '\t', '\u000b', '\u00a0', '\u2028', 'a', 'é', '🙂'),
  }),
  fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
);

test('whatever the columns hold is read as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { minLength: 2, maxLength: 6 }), async (values) => {
      expect(readRecord(await printed(values))).toEqual(values);
    }),
    { numRuns: 500 },
  );
}, 60_000);

test.each([
  [[null, null]],
  [['', '']],
  [['', null, '']],
  [['"', '\\', '""', '\\\\', '"\\']],
  [['{"a": "b\\"c"}', '{NULL,"x,y"}', '(1,2)']],
])('%j', async (values) => {
  expect(readRecord(await printed(values))).toEqual(values);
});
