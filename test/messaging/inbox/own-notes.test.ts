import { expect, test } from '@jest/globals';
import { parseJson, stringifyJson, type WireValue } from '../../../src/wire/values.js';
import { notesIn, withNotes, withoutNotes } from '../../../src/messaging/inbox/own-notes.js';

const NOTES = { reason: 'mapping', failedAt: '2030-01-01T00:00:00.000Z' };

// Whatever a master has in `meta`, that it looks like notes of ours included.
test.each<[string, WireValue]>([
  ['nothing', {}],
  ['something', { tenant: 7 }],
  ['a text under our name', { cqrs: 'theirs' }],
  ['null under our name', { cqrs: null }],
  ['an object under our name', { cqrs: { reason: 'theirs' } }],
  ['a list under our name', { cqrs: ['theirs'] }],
  ['our name in the middle', { a: 1, cqrs: { deep: { cqrs: 1 } }, b: 2 }],
  ['a time of its own', { cqrs: { failedAt: 'yesterday', by: 'theirs' } }],
  ['what is called sent', { cqrs: { sent: 1 } }],
  ['long numbers', parseJson('{"cqrs":{"id":12345678901234567890}}')],
  ['a list', ['theirs']],
  ['a text', 'theirs'],
  ['a number', 7],
  ['null', null],
])('a meta with %s is the same after any number of notes', (_, meta) => {
  const waiting = withNotes(meta, { waitingSince: 1_700_000_000_000 });
  const dead = withNotes(waiting, NOTES);
  for (const noted of [waiting, dead]) {
    // through the broker
    const come = parseJson(stringifyJson(noted));
    expect(stringifyJson(withoutNotes(come))).toBe(stringifyJson(meta));
  }
  const canHold = typeof meta === 'object' && meta !== null && !Array.isArray(meta);
  expect(notesIn(dead)).toEqual(canHold ? expect.objectContaining(NOTES) : undefined);
  expect(notesIn(withoutNotes(dead))).toBeUndefined();
});

test('notes of a former release are known, and taken out', () => {
  const dead = { tenant: 7, cqrs: { ...NOTES, error: 'Error: boom' } };
  expect(notesIn(dead)).toEqual(dead.cqrs);
  expect(withoutNotes(dead)).toEqual({ tenant: 7 });
  expect(withoutNotes({ cqrs: { waitingSince: 5 } })).toEqual({});
});
