import 'reflect-metadata';
import { expect, test } from '@jest/globals';

const seen: unknown[][] = [];

function note(...args: unknown[]): void {
  seen.push(args);
}

class Account {
  @note
  name!: string;
}

/** Without this a wrong setting would turn every other test of this folder into a test of ES decorators. */
test('tests in this folder are compiled with legacy decorators, metadata and no class fields', () => {
  expect(seen[0]?.slice(0, 2)).toEqual([Account.prototype, 'name']);
  expect(Reflect.getMetadata('design:type', Account.prototype, 'name')).toBe(String);
  expect(Object.keys(new Account())).toEqual([]);
});
