import { expect, test } from '@jest/globals';
import { classifyDatabaseError } from '../../../src/replication/replica/rows/database-errors.js';

const state = (code: string): Error => Object.assign(new Error('something'), { code, severity: 'ERROR' });

test.each([
  ['40P01', 'transient'],
  ['40001', 'transient'],
  ['08006', 'transient'],
  ['57P01', 'transient'],
  ['55P03', 'transient'],
  ['23503', 'foreign-key-missing'],
  ['23001', 'foreign-key-missing'],
  ['22001', 'bad-data'],
  ['22003', 'bad-data'],
  ['22007', 'bad-data'],
  ['22P02', 'bad-data'],
  ['23502', 'bad-data'],
  ['23505', 'other'],
  ['23514', 'other'],
  ['42P01', 'other'],
  // a column of another type is the fault of the schema, not of the message
  ['42804', 'other'],
])('%s is %s', (code, expected) => {
  expect(classifyDatabaseError(state(code))).toBe(expected);
  expect(classifyDatabaseError(new Error('wrapped', { cause: state(code) }))).toBe(expected);
});

test('a connection that breaks off is transient; anything else cannot be told', () => {
  expect(classifyDatabaseError(Object.assign(new Error('read'), { code: 'ECONNRESET' }))).toBe('transient');
  expect(classifyDatabaseError(new Error('Connection terminated unexpectedly'))).toBe('transient');
  expect(classifyDatabaseError(new TypeError('x is undefined'))).toBe('other');
  expect(classifyDatabaseError('text')).toBe('other');
});
