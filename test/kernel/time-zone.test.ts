import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { isNaive, isTimeZone, TimeZone } from '../../src/kernel/time-zone.js';
import { parseMicroseconds } from '../../src/wire/times.js';
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

const ZONES = ['Europe/Madrid', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Apia', 'UTC'];

test.each(ZONES)('places times of %s where PostgreSQL places them', async (name) => {
  const zone = new TimeZone(name);
  // Every 1001 minutes of three years: all hours of the day, both sides of every change of the clocks.
  const { rows } = await client.query<{ local: string; micros: string }>(
    `select local::text as local, (extract(epoch from local at time zone $1) * 1000000)::bigint::text as micros
       from generate_series('2022-01-01 00:00:00.123456'::timestamp, '2024-12-31', interval '1001 minutes') as local
      -- A time that comes twice is told apart by nobody: PostgreSQL means the second one, Python the first.
      where not exists (select from (values (-60), (-30), (30), (60)) as m(minutes)
        where ((local at time zone $1) + make_interval(mins => minutes)) at time zone $1 = local)`,
    [name],
  );
  expect(rows.length).toBeGreaterThan(1_500);
  const wrong = rows.filter(({ local, micros }) => String(parseMicroseconds(zone.place(local))) !== micros);
  expect(wrong).toEqual([]);
});

test('a time that comes twice means its first one, and one that never comes is read as Python reads it', () => {
  const madrid = new TimeZone('Europe/Madrid');
  expect(madrid.place('2024-10-27 02:30:00')).toBe('2024-10-27 02:30:00+02:00');
  expect(madrid.place('2024-03-31 02:30:00')).toBe('2024-03-31 02:30:00+01:00');
  expect(madrid.place('0099-01-01T00:00:00.5')).toBe('0099-01-01T00:00:00.5-00:14:44');
});

test.each([
  ['2024-01-02 03:04:05.123456', true],
  ['2024-01-02T03:04:05', true],
  ['2024-01-02 03:04:05+00:00', false],
  ['2024-01-02 03:04:05Z', false],
  ['2024-01-02', false],
  ['noon', false],
  [7, false],
  [null, false],
])('%p has no offset: %p', (value, naive) => {
  expect(isNaive(value)).toBe(naive);
  if (!naive && typeof value === 'string') expect(new TimeZone('Europe/Madrid').place(value)).toBe(value);
});

test('names of zones are checked', () => {
  expect(['Europe/Madrid', 'UTC', 'Europe/Nowhere', ''].map(isTimeZone)).toEqual([true, true, false, false]);
});
