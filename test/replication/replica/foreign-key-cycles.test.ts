import { describe, expect, test } from '@jest/globals';
import {
  closedCycles,
  type ForeignKey,
  leftOut,
  onCycles,
} from '../../../src/replication/replica/table/foreign-key-cycles.js';

/** `a>b`: a may be null; `a=b`: NOT NULL; `a%b`: of two columns, one of them NOT NULL; `a#b`: the same with MATCH FULL. */
function keys(text: string): ForeignKey[] {
  return text
    .split(' ')
    .filter(Boolean)
    .map((name): ForeignKey => {
      const [, table, kind, target] = /^(\w+)([>=%#])(\w+)$/.exec(name) as unknown as [string, string, string, string];
      const columns = [{ field: 'x', targetField: 'id', nullable: kind !== '=' }];
      if ('%#'.includes(kind)) columns.push({ field: 'y', targetField: 'tenant', nullable: false });
      return { name, schema: 'public', table, target, columns, matchFull: kind === '#' };
    });
}
const names = (found: readonly ForeignKey[]): string => found.map(({ name }) => name).join(' ');

describe('foreign keys on cycles', () => {
  test.each([
    ['', '', []],
    ['a>b b>c', '', []],
    ['a>a', 'a>a', []],
    ['a=a', 'a=a', ['a=a']],
    ['a>b b>a', 'a>b b>a', []],
    ['a>b b=a', 'a>b b=a', []],
    ['a=b b=a', 'a=b b=a', ['a=b b=a']],
    ['a=b b=c c=a', 'a=b b=c c=a', ['a=b b=c c=a']],
    ['a=b b>c c=a', 'a=b b>c c=a', []],
    ['a=b b=a c=a d>c', 'a=b b=a', ['a=b b=a']],
    ['a=b b=a c=d d=c b>c', 'a=b b=a c=d d=c', ['a=b b=a', 'c=d d=c']],
    ['a>b b>a b>c c>d d>b', 'a>b b>a b>c c>d d>b', []],
    ['a%b b=a', 'a%b b=a', []],
    ['a#b b=a', 'a#b b=a', ['a#b b=a']],
  ])('%s: on cycles %s, closed %j', (text, cyclic, closed) => {
    expect(names(onCycles(keys(text)))).toBe(cyclic);
    expect(closedCycles(keys(text)).map(names)).toEqual(closed);
  });

  test('only what may be null is left out, and of MATCH FULL all or nothing', () => {
    expect(keys('a>b a%b a=b a#b').map((key) => leftOut(key).map(({ field }) => field))).toEqual([
      ['x'],
      ['x'],
      [],
      [],
    ]);
  });
});
