import { describe, expect, test } from '@jest/globals';
import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { TransportError } from '../../../src/kernel/errors.js';
import { faultOf, type Fault, isOutOfTime, isUnanswered } from '../../../src/messaging/inbox/faults.js';

const withCode = (code: string): Error => Object.assign(new Error('from below'), { code });

const cases: [string, unknown, Fault][] = [
  ['a deadlock', withCode('40P01'), 'conflict'],
  ['a serialization failure', withCode('40001'), 'conflict'],
  ['a lock that is not available', withCode('55P03'), 'conflict'],
  ['a foreign key', withCode('23503'), 'foreign-key'],
  ['a row that others still point to', withCode('23001'), 'foreign-key'],
  ['a lost connection', withCode('08006'), 'unavailable'],
  ['a shutdown', withCode('57P01'), 'unavailable'],
  ['too many connections', withCode('53300'), 'unavailable'],
  ['a stand-by', withCode('25006'), 'unavailable'],
  ['a refused connection', withCode('ECONNREFUSED'), 'unavailable'],
  ['a refused connection, wrapped', new Error('no', { cause: withCode('ECONNREFUSED') }), 'unavailable'],
  ['a connection that the pool lost', new Error('Connection terminated unexpectedly'), 'unavailable'],
  ['a broker that refused', new TransportError('no'), 'unavailable'],
  ['a unique constraint', withCode('23505'), 'message'],
  ['a unique constraint, wrapped by MikroORM', new UniqueConstraintViolationException(withCode('23505')), 'message'],
  ["a user's EXECUTE of what nobody has prepared", withCode('26000'), 'message'],
  ['bad text for a column', withCode('22P02'), 'message'],
  ['a table that is missing', withCode('42P01'), 'message'],
  ["a user's error", new Error('no'), 'message'],
  ['a string', 'no', 'message'],
];

describe('whose fault an error is', () => {
  test.each(cases)('%s', (_, error, fault) => {
    expect(faultOf(error)).toBe(fault);
  });

  test('a query that the driver gave up tells nothing by itself, wrapped or not', () => {
    const error = new Error('Query read timeout');
    expect([error, new Error('select 1', { cause: error }), new Error('no')].map(isUnanswered)).toEqual([
      true,
      true,
      false,
    ]);
    expect(faultOf(error)).toBe('message');
    expect([error, withCode('57014'), withCode('57P01'), new Error('no')].map(isOutOfTime)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test('an error that is its own cause has an answer too', () => {
    const error = new Error('round');
    error.cause = error;
    expect(faultOf(error)).toBe('message');
  });
});
