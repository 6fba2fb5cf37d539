import { expect, test } from '@jest/globals';
import { passedOn } from '../../../src/brokers/rabbitmq/message-properties.js';

test('headers that any client writes are passed on', () => {
  const headers = { 'x-cqrs-committed-at': 5, reason: 'é', flag: false, negative: -1, '': '' };
  expect(passedOn(headers)).toEqual(headers);
});

test.each([
  ['a number that is none', { a: NaN, b: 1 }, { b: 1 }],
  ['a fraction', { a: 0.5 }, {}],
  ['a table', { a: { b: 1 }, c: 'd' }, { c: 'd' }],
  ['bytes', { a: Buffer.from([1]) }, {}],
  ['no value', { a: null, b: undefined }, {}],
  ['a prototype', JSON.parse('{"__proto__":"x","b":1}'), { b: 1 }],
  ['more than fits', { a: 'x'.repeat(30_000) }, {}],
])('%s is left out', (_, headers, expected) => {
  expect(passedOn(headers as Record<string, unknown>)).toEqual(expected);
});

test('a prototype that is bytes, as the client makes it of a header called __proto__, harms nobody', () => {
  const headers = Object.setPrototypeOf({ a: 1 }, Buffer.from([1, 2])) as Record<string, unknown>;
  expect(passedOn(headers)).toEqual({ a: 1 });
});
