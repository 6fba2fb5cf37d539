import { describe, expect, test } from '@jest/globals';
import { UniqueConstraintViolationException, ValidationError } from '@mikro-orm/core';
import { describeError } from '../../src/core/describe-error.js';
import { MappingError } from '../../src/core/errors.js';

const violation = Object.assign(new Error('insert into account (email) values (ada@example.org) - duplicate key'), {
  code: '23505',
  severity: 'ERROR',
  detail: 'Key (email)=(ada@example.org) already exists.',
  table: 'account',
  constraint: 'account_email_unique',
});

describe('an error in one line', () => {
  test('names the parts of the schema that a database error is about, and no value', () => {
    expect(describeError(new UniqueConstraintViolationException(violation))).toBe(
      'UniqueConstraintViolationException [SQLSTATE 23505, table account, constraint account_email_unique]',
    );
  });

  test('withholds what validation quotes', () => {
    expect(describeError(new ValidationError("Trying to set Account.age of type 'number' to 'ada@example.org'"))).toBe(
      'ValidationError',
    );
  });

  test('tells the whole of our own errors', () => {
    expect(describeError(new MappingError('account', "no value for 'name'"))).toContain(
      "Cannot map a message of 'account'",
    );
  });

  test('tells what a user threw, and its code', () => {
    expect(describeError(Object.assign(new Error('connect 10.0.0.1:5432'), { code: 'ECONNREFUSED' }))).toBe(
      'Error [ECONNREFUSED]: connect 10.0.0.1:5432',
    );
  });

  test('looks into an AggregateError without a message', () => {
    expect(describeError(new AggregateError([new Error('connect ::1')]))).toBe('AggregateError: connect ::1');
  });

  test('stays on one line of bounded length', () => {
    const line = describeError(new Error(`first\nsecond\u001b[31m${'x'.repeat(1_000)}`));
    expect(line).toMatch(/^Error: first second /);
    expect(line).not.toMatch(/[\n\u001b]/);
    expect(line).toHaveLength(300);
  });

  test('does not repeat what is thrown without being an error', () => {
    expect(describeError('ada@example.org')).toBe('thrown string');
  });
});
