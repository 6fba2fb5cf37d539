import { describe, expect, test } from '@jest/globals';
import { UniqueConstraintViolationException, ValidationError } from '@mikro-orm/core';
import { describeError } from '../../src/kernel/describe-error.js';
import { MappingError } from '../../src/kernel/errors.js';

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

  test.each([
    ['BigInt', () => BigInt('S3CRET')],
    ['JSON.parse', () => JSON.parse('S3CRET') as unknown],
    ['a function that is none', () => [1].map('S3CRET' as never)],
    ['a property of a text', () => Object.assign('S3CRET', { length: 1 })],
    ['an invalid argument of Node', () => Buffer.from(Symbol.for('S3CRET') as never)],
    ['a range', () => (1.5).toFixed(Number('1000'))],
    ['a text that looks like a frame', () => JSON.parse('\n    at /S3CRET/row.ts:1:1)\n') as unknown],
  ])('tells an error of the engine by its place, not by the value it quotes: %s', (_, fail) => {
    expect(describeError(thrownBy(fail))).toMatch(
      /^(?:Syntax|Type|Range)Error(?: \[ERR_\w+\])? at \/.*describe-error\.test\.ts:\d+:\d+$/,
    );
  });

  test('keeps of them what names no value', () => {
    const row: { owner?: { name: string } } = {};
    expect(describeError(thrownBy(() => row.owner!.name))).toMatch(
      /^TypeError: Cannot read properties of undefined at .*describe-error\.test\.ts/,
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

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
