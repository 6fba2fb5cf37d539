import { describe, expect, test } from '@jest/globals';
import type { SignalType, Version } from '../../src/core/payload.js';
import { fold } from '../../src/replica/fold.js';
import { decide, type Decision, type RuleOptions, type Stored } from '../../src/replica/revision-rules.js';

const SECOND = 1_000_000;
const NOW = 1_800_000_000 * SECOND;
const rules: RuleOptions = { now: NOW, tolerance: SECOND, syncDowngrade: 'never' };

/** `2.5@3`: incarnation 2, revision 5, three seconds after the epoch of these tests; `?` for an unknown incarnation. */
function version(text: string): Version {
  const [, incarnation, revision, seconds] = /^(\?|\d+)\.(\d+)@(-?[\d.]+)$/.exec(text)!;
  return {
    incarnation: incarnation === '?' ? null : Number(incarnation),
    revision: Number(revision),
    updated: NOW - 1_000 * SECOND + Math.round(Number(seconds) * SECOND),
  };
}

function stored(text: string): Stored {
  if (text === 'nothing') return { kind: 'none' };
  const [kind, at] = text.split(' ');
  return { kind: kind as 'row' | 'tombstone', version: version(at!) };
}

function incoming(text: string) {
  const [signalType, at, age] = text.split(' ');
  return { signalType: signalType as SignalType, version: version(at!), tooOld: age === 'old' };
}

function brief(decision: Decision): string {
  return 'reason' in decision ? `${decision.action} ${decision.reason}` : decision.action;
}

describe('any incarnation, nothing stored', () => {
  test.each([
    ['SAVE 1.0@0', 'create'],
    ['SAVE ?.7@0', 'create'],
    ['SYNC 1.3@0', 'create'],
    ['SYNC ?.3@0', 'create'],
    ['SAVE 1.0@0 old', 'dead-letter too-old-to-create'],
    ['SYNC ?.0@0 old', 'dead-letter too-old-to-create'],
    ['DELETE 1.4@0', 'remember'],
    ['DELETE ?.4@0 old', 'remember'],
  ])('%s → %s', (message, expected) => {
    expect(brief(decide(stored('nothing'), incoming(message), rules))).toBe(expected);
  });
});

describe('both incarnations known', () => {
  test.each([
    ['row 1.3@0', 'SAVE 1.4@1', 'update'],
    ['row 1.3@0', 'SAVE 1.3@0', 'skip duplicate'],
    ['row 1.3@0', 'SAVE 1.2@9', 'skip stale'],
    ['row 1.3@0', 'SAVE 1.3@1', 'update'],
    ['row 1.3@0', 'SAVE 2.0@-9', 'replace'],
    ['row 2.0@0', 'SAVE 1.9@9', 'skip stale'],
    ['row 2.0@0', 'SAVE 1.0@0', 'skip stale'],
    ['row 1.3@0', 'SYNC 1.3@0', 'update'],
    ['row 1.3@0', 'SYNC 1.4@1', 'update'],
    ['row 1.3@0', 'SYNC 1.2@9', 'skip stale'],
    ['row 1.3@0', 'SYNC 2.0@0', 'replace'],
    ['row 1.3@0', 'DELETE 1.4@1', 'delete'],
    ['row 1.3@0', 'DELETE 1.3@0', 'skip duplicate'],
    ['row 2.0@0', 'DELETE 1.4@9', 'skip stale'],
    ['row 1.3@0', 'DELETE 2.1@1', 'delete'],
    ['tombstone 1.3@0', 'SAVE 1.3@0', 'skip duplicate'],
    ['tombstone 1.3@0', 'SAVE 1.2@0', 'skip stale'],
    ['tombstone 1.3@0', 'SAVE 1.4@0', 'create'],
    ['tombstone 1.3@0', 'SAVE 2.0@0', 'create'],
    ['tombstone 2.3@0', 'SAVE 1.9@9', 'skip stale'],
    ['tombstone 1.3@0', 'SYNC 1.3@0', 'skip duplicate'],
    ['tombstone 1.3@0', 'SYNC 1.4@0', 'create'],
    ['tombstone 1.3@0', 'DELETE 1.3@0', 'skip duplicate'],
    ['tombstone 1.3@0', 'DELETE 1.4@0', 'remember'],
    ['tombstone 2.3@0', 'DELETE 1.9@9', 'skip stale'],
  ])('%s, %s → %s', (before, message, expected) => {
    expect(brief(decide(stored(before), incoming(message), rules))).toBe(expected);
  });
});

describe('either incarnation unknown', () => {
  test.each([
    ['row ?.3@0', 'SAVE ?.4@5', 'update'],
    ['row ?.3@0', 'SAVE ?.4@-1', 'update'],
    ['row ?.3@0', 'SAVE ?.4@-1.000001', 'skip stale'],
    ['row ?.3@0', 'SAVE ?.3@0.000001', 'update'],
    ['row ?.3@0', 'SAVE ?.3@0', 'skip duplicate'],
    ['row ?.3@0', 'SAVE ?.2@1', 'skip stale'],
    ['row ?.3@0', 'SAVE ?.2@1.000001', 'update'],
    ['row ?.3@0', 'SAVE ?.0@1.000001', 'replace'],
    ['row ?.0@0', 'SAVE ?.0@5', 'update'],
    ['row 7.3@0', 'SAVE ?.3@0', 'skip duplicate'],
    ['row ?.3@0', 'SAVE 7.3@0', 'skip duplicate'],
    ['row 7.3@0', 'SAVE ?.4@5', 'update'],
    ['row ?.3@0', 'SAVE 7.4@5', 'update'],
    ['row ?.3@0', 'SYNC ?.3@0', 'update'],
    ['row ?.3@0', 'SYNC ?.3@-0.5', 'skip stale'],
    ['row ?.3@0', 'SYNC ?.2@0', 'skip stale'],
    ['row ?.3@0', 'SYNC ?.4@0', 'update'],
    ['row ?.3@0', 'DELETE ?.1@0', 'delete'],
    ['row ?.3@0', 'DELETE ?.1@-1', 'delete'],
    ['row ?.3@0', 'DELETE ?.9@-1.000001', 'skip stale'],
    ['tombstone ?.3@0', 'SAVE ?.4@1.000001', 'create'],
    ['tombstone ?.3@0', 'SAVE ?.0@0.000001', 'create'],
    ['tombstone ?.3@0', 'SAVE ?.4@1', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.3@0', 'SAVE ?.4@0', 'skip stale'],
    ['tombstone ?.3@0', 'SAVE ?.0@0', 'skip stale'],
    ['tombstone ?.3@0', 'SYNC ?.9@0.5', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.3@0', 'SYNC ?.3@-1', 'skip stale'],
    ['tombstone ?.3@0', 'DELETE ?.3@0', 'skip duplicate'],
    ['tombstone ?.3@0', 'DELETE ?.1@2', 'remember'],
    ['tombstone ?.3@0', 'DELETE ?.5@0', 'remember'],
    ['tombstone ?.3@0', 'DELETE ?.9@-2', 'skip stale'],
  ])('%s, %s → %s', (before, message, expected) => {
    expect(brief(decide(stored(before), incoming(message), rules))).toBe(expected);
  });

  test('a deletion raises the tombstone to the greatest revision and time, of no life in particular', () => {
    expect(decide(stored('row 7.9@0.5'), incoming('DELETE ?.2@0'), rules)).toEqual({
      action: 'delete',
      version: version('?.9@0.5'),
    });
  });

  test('a master restored from a backup may take its rows back by SYNC, if the service says so', () => {
    const downgrade: RuleOptions = { ...rules, syncDowngrade: 'always' };
    expect(brief(decide(stored('row ?.9@50'), incoming('SYNC ?.2@0'), downgrade))).toBe('update');
    expect(brief(decide(stored('row ?.9@5000'), incoming('SYNC ?.2@0'), downgrade))).toBe('update');
    for (const at of [0, 49.5, 51]) {
      expect(brief(decide(stored('row ?.9@50'), incoming(`SYNC ?.0@${at}`), downgrade))).toBe('update');
    }
    expect(brief(decide(stored('row ?.9@50'), incoming('SAVE ?.2@0'), downgrade))).toBe('skip stale');
    expect(brief(decide(stored('row 1.9@50'), incoming('SYNC 1.2@0'), downgrade))).toBe('skip stale');
  });
});

describe('a clock that is ahead', () => {
  // 1000 is now, 1001 still within the tolerance
  test.each([
    ['row ?.3@0', 'SAVE ?.4@5000', 'update', 4000],
    ['row ?.3@5000', 'SAVE ?.4@0', 'update', 4000],
    ['row ?.3@5000', 'SAVE ?.3@6000', 'skip stale', 5000],
    ['row ?.3@5000', 'SYNC ?.3@0', 'update', 4000],
    ['row ?.3@5000', 'SYNC ?.2@6000', 'skip stale', 5000],
    ['row ?.3@5000', 'DELETE ?.4@0', 'delete', 4000],
    ['row ?.3@5000', 'DELETE ?.3@6000', 'delete', 5000],
    ['row ?.3@5000', 'DELETE ?.2@6000', 'skip stale', 5000],
    ['tombstone ?.3@5000', 'DELETE ?.3@6000', 'skip stale', 5000],
    ['tombstone ?.3@5000', 'SAVE ?.4@0', 'create', 4000],
    ['tombstone ?.3@5000', 'SAVE ?.3@6000', 'skip stale', 5000],
    ['row ?.3@0', 'SAVE ?.2@1001', 'update', undefined],
    ['row 1.3@5000', 'SAVE 1.4@0', 'update', undefined],
  ])('%s, %s → %s', (before, message, expected, aheadSeconds) => {
    const decision = decide(stored(before), incoming(message), rules);
    expect(brief(decision)).toBe(expected);
    expect(decision.aheadBy).toBe(aheadSeconds === undefined ? undefined : aheadSeconds * SECOND);
  });
});

describe('fold', () => {
  const run = (before: string, messages: string[]) => {
    const folded = fold(stored(before), messages.map(incoming), rules);
    return [
      folded.change ? `${folded.change.action} ${folded.change.winner}` : 'none',
      folded.decisions.map((one) => one.action),
    ];
  };

  test.each([
    ['nothing', ['SAVE 1.0@0', 'SAVE 1.1@1', 'SAVE 1.2@2'], ['create 2', ['superseded', 'superseded', 'update']]],
    ['nothing', ['SAVE 1.2@2', 'SAVE 1.0@0', 'SAVE 1.1@1'], ['create 0', ['create', 'skip', 'skip']]],
    ['nothing', ['SAVE 1.0@0', 'DELETE 1.1@1'], ['remember 1', ['superseded', 'delete']]],
    ['nothing', ['DELETE 1.1@1', 'SAVE 1.0@0'], ['remember 0', ['remember', 'skip']]],
    ['row 1.0@0', ['SAVE 1.1@1', 'DELETE 1.2@2'], ['delete 1', ['superseded', 'delete']]],
    ['row 1.0@0', ['DELETE 1.1@1', 'SAVE 2.0@2'], ['replace 1', ['superseded', 'create']]],
    ['row 1.0@0', ['SAVE 2.0@2', 'SAVE 2.1@3'], ['replace 1', ['superseded', 'update']]],
    ['row 1.0@0', ['DELETE 1.1@1', 'SAVE 1.2@2'], ['replace 1', ['superseded', 'create']]],
    ['tombstone 1.1@1', ['SAVE 2.0@2', 'DELETE 2.1@3'], ['remember 1', ['superseded', 'delete']]],
    ['row 1.5@5', ['SAVE 1.4@4', 'SAVE 1.5@5'], ['none', ['skip', 'skip']]],
    ['tombstone ?.3@0', ['SAVE ?.4@0.5', 'SAVE ?.0@0.5'], ['create 1', ['dead-letter', 'create']]],
  ] as const)('%s, %j', (before, messages, expected) => {
    expect(run(before, [...messages])).toEqual(expected);
  });
});

test('numbered messages end in one state in every order and number', () => {
  const messages = [
    'SAVE 1.0@0',
    'SAVE 1.1@1',
    'DELETE 1.2@2',
    'SAVE 1.3@3',
    'SAVE 2.0@4',
    'SYNC 2.0@4',
    'DELETE 2.1@5',
  ].map(incoming);
  for (const order of permutations(messages)) {
    expect(fold({ kind: 'none' }, order, rules).final).toEqual(stored('tombstone 2.1@5'));
  }
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}
