import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { InvalidPayloadError } from '../../src/kernel/errors.js';
import { parseExpiry } from '../../src/wire/expiry-times.js';
import { TransportPayload } from '../../src/wire/payload.js';

/** Made by python-dateutil itself: `test/interop/expires/forms.py`; milliseconds since 1970, null for what it refuses. */
const FORMS = JSON.parse(readFileSync(new URL('../golden/expires.json', import.meta.url), 'utf8')) as Record<
  string,
  number | null
>;

function expiresOf(text: string): number | null {
  const body = {
    signal_type: 'SAVE',
    cqrs_id: 'account',
    instance_data: { id: 1, cqrs_revision: 0, cqrs_updated: '2030-01-01 00:00:00+00:00' },
    instance_pk: 1,
    expires: text,
  };
  return TransportPayload.fromMessage(JSON.stringify(body)).expires!.getTime();
}

// claims: expires-read
test('expires is read as python-dateutil reads it, in every form in which Python prints a time', () => {
  const read = Object.fromEntries(
    Object.keys(FORMS).map((text) => {
      try {
        return [text, expiresOf(text)];
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidPayloadError);
        return [text, null];
      }
    }),
  );
  expect(read).toEqual(FORMS);
  expect(Object.values(FORMS).filter((time) => time !== null).length).toBeGreaterThan(300);
});

test('a short year is the one that is near', () => {
  const year = (text: string, now: string): number => parseExpiry(text, new Date(now))!.getUTCFullYear();
  expect(year('01/02/99', '2026-06-01')).toBe(1999);
  expect(year('01/02/75', '2026-06-01')).toBe(2075);
  expect(year('01/02/76', '2026-06-01')).toBe(1976);
  expect(year('01/02/10', '2070-06-01')).toBe(2110);
});

test('whatever else comes is no time, at once', () => {
  for (const piece of ['1:', '00:00 ', 'jan ', '-1', 'mon ', '+0', '2030-01', '.', 'T']) {
    for (const times of [1, 10, 1_000, 100_000]) expect(parseExpiry(piece.repeat(times))).toBeUndefined();
  }
});
