import { describe, expect, test } from '@jest/globals';
import type { SignalType, Version } from '../../../src/wire/payload.js';
import { fold } from '../../../src/replication/replica/rules/fold.js';
import {
  decide,
  type Decision,
  type RuleOptions,
  type Stored,
} from '../../../src/replication/replica/rules/revision-rules.js';

const SECOND = 1_000_000;
const NOW = 1_800_000_000 * SECOND;
const rules: RuleOptions = { now: NOW, tolerance: SECOND, lockWait: 30 * SECOND, syncDowngrade: 'never' };

const at = (seconds: string) => NOW - 1_000 * SECOND + Math.round(Number(seconds) * SECOND);

/**
 * `2.5@3`: incarnation 2, revision 5, three seconds after the epoch of these tests; `?` for an unknown incarnation,
 * `F1.5` for a floor and `I1.5` for an incarnation of that time.
 */
function version(text: string): Version {
  const [, incarnation, revision, seconds] = /^(\?|\d+|[FI]-?[\d.]+?)\.(\d+)@(-?[\d.]+)$/.exec(text)!;
  return { incarnation: incarnationOf(incarnation!), revision: Number(revision), updated: at(seconds!) };
}

function incarnationOf(text: string): number | null {
  if (text === '?') return null;
  if (text.startsWith('F')) return -at(text.slice(1));
  return text.startsWith('I') ? at(text.slice(1)) : Number(text);
}

/** What is stored, in the words of `version`. */
function told({ incarnation, revision, updated }: Version): string {
  const seconds = (time: number): string => String((time - at('0')) / SECOND);
  const number =
    incarnation === null
      ? '?'
      : incarnation < 0
        ? `F${seconds(-incarnation)}`
        : incarnation > SECOND
          ? `I${seconds(incarnation)}`
          : incarnation;
  return `${number}.${revision}@${seconds(updated)}`;
}

function stored(text: string): Stored {
  if (text === 'nothing') return { kind: 'none' };
  const [kind, state] = text.split(' ');
  return { kind: kind as 'row' | 'tombstone', version: version(state!) };
}

function incoming(text: string) {
  const [signalType, state, age] = text.split(' ');
  return { signalType: signalType as SignalType, version: version(state!), tooOld: age === 'old' };
}

function brief(decision: Decision): string {
  return 'reason' in decision ? `${decision.action} ${decision.reason}` : decision.action;
}

/** The same with what is stored afterwards, and what is said. */
function full(decision: Decision): string {
  const stores = 'version' in decision && decision.version ? ` ${told(decision.version)}` : '';
  return `${brief(decision)}${stores}${decision.doubt ? `, ${decision.doubt}` : ''}`;
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

describe('neither numbered', () => {
  test.each([
    ['nothing', 'SAVE ?.0@5', 'create F5.0@5'],
    ['nothing', 'SYNC ?.0@5', 'create F5.0@5'],
    ['nothing', 'SAVE ?.3@5', 'create ?.3@5'],
    ['nothing', 'DELETE ?.3@5', 'remember ?.3@5'],
    // a higher revision, as early as a lock may have made it
    ['row ?.3@0', 'SAVE ?.4@5', 'update ?.4@5'],
    ['row ?.3@0', 'SAVE ?.4@-30', 'update ?.4@-30'],
    ['row ?.3@0', 'SAVE ?.4@-30.000001', 'skip beyond-lock-wait, beyond-lock-wait'],
    ['row F-9.3@0', 'SAVE ?.4@-10', 'update F-9.4@-10'],
    ['row F-9.3@0', 'SAVE ?.4@-10.000001', 'skip former-incarnation'],
    ['row F-90.3@0', 'SYNC ?.4@-3', 'update F-90.4@-3'],
    // the same revision
    ['row ?.3@0', 'SAVE ?.3@0.000002', 'update ?.3@0.000002, tie'],
    // it was stored without a reference, a microsecond older
    ['row ?.3@0', 'SAVE ?.3@0.000001', 'update ?.3@0.000001'],
    ['row F4.999999.0@4.999999', 'SAVE ?.0@5', 'update F5.0@5'],
    ['row ?.0@4.999999', 'SYNC ?.0@5', 'update F5.0@5'],
    ['row ?.3@0', 'SAVE ?.3@0', 'skip duplicate'],
    ['row ?.3@0', 'SAVE ?.3@-1', 'skip stale, tie'],
    ['row ?.3@0', 'SYNC ?.3@0', 'update ?.3@0'],
    ['row F-5.3@0', 'SYNC ?.3@-3', 'update F-5.3@0'],
    ['row F-5.3@0', 'SYNC ?.3@-7', 'skip former-incarnation'],
    // a lower one
    ['row ?.3@0', 'SAVE ?.2@30', 'skip stale'],
    ['row ?.3@0', 'SAVE ?.2@30.000001', 'update F0.2@30.000001'],
    ['row F7.3@8', 'SAVE ?.2@90', 'update F8.2@90'],
    ['row ?.3@0', 'SYNC ?.2@0', 'skip stale'],
    // births
    ['row F-5.3@0', 'SAVE ?.0@0.000001', 'replace F0.000001.0@0.000001'],
    ['row ?.3@0', 'SAVE ?.0@1.000001', 'replace F1.000001.0@1.000001'],
    ['row ?.3@0', 'SAVE ?.0@1', 'skip stale F1.3@0'],
    ['row F0.9.1@0', 'SAVE ?.0@0.9', 'skip stale'],
    ['row ?.0@0', 'SAVE ?.0@5', 'replace F5.0@5'],
    ['row F0.0@0', 'SAVE ?.0@5', 'replace F5.0@5'],
    ['row F0.0@0', 'SAVE ?.0@0', 'skip duplicate'],
    ['row F0.0@0', 'SYNC ?.0@0', 'update F0.0@0'],
    ['row F0.0@0', 'SAVE ?.0@-1', 'skip stale'],
    ['row ?.3@0', 'SAVE ?.0@-5', 'skip stale F-5.3@0'],
    ['row F-9.3@0', 'SYNC ?.0@-5', 'skip stale F-5.3@0'],
    ['row F-3.3@0', 'SAVE ?.0@-5', 'skip stale'],
    // deletions
    ['row ?.3@0', 'DELETE ?.1@0', 'delete ?.3@0'],
    ['row F-5.3@0', 'DELETE ?.1@-1', 'delete F-5.3@0'],
    ['row F-5.3@0', 'DELETE ?.7@4', 'delete F-5.7@4'],
    ['row ?.3@0', 'DELETE ?.9@-1.000001', 'skip stale F-1.000001.3@0'],
    ['row F-1.3@0', 'DELETE ?.9@-2', 'skip stale'],
    // tombstones
    ['tombstone ?.3@0', 'SAVE ?.4@1.000001', 'create F0.4@1.000001'],
    ['tombstone ?.3@0', 'SAVE ?.0@0.000001', 'create F0.000001.0@0.000001'],
    ['tombstone ?.3@0', 'SAVE ?.4@1', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.3@0', 'SAVE ?.4@0', 'skip stale'],
    ['tombstone ?.3@0', 'SAVE ?.0@0', 'skip stale'],
    ['tombstone F-50.3@0', 'SAVE ?.0@0', 'dead-letter ambiguous-incarnation'],
    ['tombstone F-50.3@0', 'SAVE ?.0@-29.9', 'dead-letter ambiguous-incarnation'],
    ['tombstone F-50.3@0', 'SAVE ?.0@-30', 'skip stale'],
    ['tombstone F-50.3@0', 'SAVE ?.0@-50', 'skip stale'],
    ['tombstone ?.3@0', 'SYNC ?.9@0.5', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.3@0', 'SYNC ?.3@-1', 'skip stale'],
    ['tombstone ?.3@0', 'DELETE ?.3@0', 'skip duplicate'],
    ['tombstone F-5.3@0', 'DELETE ?.1@2', 'remember F-5.3@2'],
    ['tombstone ?.3@0', 'DELETE ?.5@0', 'remember ?.5@0'],
    ['tombstone ?.3@0', 'DELETE ?.9@-2', 'skip stale'],
  ])('%s, %s → %s', (before, message, expected) => {
    expect(full(decide(stored(before), incoming(message), rules))).toBe(expected);
  });

  test('lockWaitSeconds is the bound', () => {
    const short: RuleOptions = { ...rules, lockWait: SECOND };
    expect(full(decide(stored('row ?.3@0'), incoming('SAVE ?.4@-1'), short))).toBe('update ?.4@-1');
    expect(brief(decide(stored('row ?.3@0'), incoming('SAVE ?.4@-1.000001'), short))).toBe('skip beyond-lock-wait');
    expect(full(decide(stored('row ?.3@0'), incoming('SAVE ?.2@1.000001'), short))).toBe('update F0.2@1.000001');
  });

  test('a master restored from a backup may take its rows back by SYNC, if the service says so', () => {
    const downgrade: RuleOptions = { ...rules, syncDowngrade: 'always' };
    expect(full(decide(stored('row ?.9@50'), incoming('SYNC ?.2@0'), downgrade))).toBe('update ?.2@0');
    expect(full(decide(stored('row F7.9@50'), incoming('SYNC ?.2@0'), downgrade))).toBe('update F7.2@0');
    expect(brief(decide(stored('row ?.9@5000'), incoming('SYNC ?.2@0'), downgrade))).toBe('update');
    for (const seconds of [0, 49.5]) {
      expect(brief(decide(stored('row ?.9@50'), incoming(`SYNC ?.0@${seconds}`), downgrade))).toBe('update');
    }
    expect(brief(decide(stored('row ?.9@50'), incoming('SYNC ?.0@52'), downgrade))).toBe('replace');
    expect(full(decide(stored('tombstone F7.9@50'), incoming('SYNC ?.2@0'), downgrade))).toBe('create F7.2@0');
    expect(brief(decide(stored('row ?.9@50'), incoming('SAVE ?.2@0'), downgrade))).toBe('skip stale');
    expect(brief(decide(stored('row 1.9@50'), incoming('SYNC 1.2@0'), downgrade))).toBe('skip stale');
  });
});

describe('one of both numbered', () => {
  test.each([
    // ours over what Python has left
    ['row F-9.3@0', 'SAVE I1.1.0@2', 'replace I1.1.0@2'],
    ['row F-9.3@0', 'SAVE I1.3@2', 'update I1.3@2'],
    ['row F-9.3@0', 'SAVE I1.2@2', 'skip stale'],
    ['row F-9.3@0', 'SYNC I-10.3@-1', 'update I-10.3@-1'],
    ['row F-9.3@0', 'SAVE I-10.1.5@9', 'skip former-incarnation'],
    ['row ?.3@0', 'SAVE I-900.4@9', 'update I-900.4@9'],
    ['row F-9.3@0', 'DELETE I-9.4@1', 'delete I-9.4@1'],
    ['row F-9.3@0', 'DELETE I-9.2@1', 'skip stale'],
    ['tombstone F-9.3@0', 'SAVE I0.1.0@0.2', 'create I0.1.0@0.2'],
    ['tombstone F-9.3@0', 'SAVE I0.0@0.2', 'dead-letter ambiguous-incarnation'],
    ['tombstone F-9.3@0', 'SAVE I-1.5@9', 'skip stale'],
    ['tombstone F-9.3@0', 'DELETE I1.5@9', 'remember I1.5@9'],
    ['tombstone F-9.3@0', 'DELETE I-5.5@9', 'remember F-9.5@9'],
    // numbers are up to two seconds ahead: Python changed the row that ours made at 0, our message comes behind
    ['row ?.1@0.5', 'SAVE I2.0@0', 'skip stale'],
    ['row ?.2@0.5', 'SAVE I2.1@0.2', 'skip stale'],
    ['row ?.1@0.5', 'SAVE I2.2@1', 'update I2.2@1'],
    // … and deleted it
    ['tombstone ?.1@0.5', 'SAVE I2.0@0', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.1@1.5', 'SAVE I2.0@0', 'skip stale'],
    ['tombstone ?.2@0.5', 'SAVE I2.1@0.2', 'dead-letter ambiguous-incarnation'],
    ['tombstone ?.3@9', 'SAVE I2.1@0.2', 'skip stale'],
    // … and what ours made since, whatever their clock says
    ['tombstone ?.3@9', 'SAVE I11.1.0@9.1', 'create I11.1.0@9.1'],
    ['tombstone ?.3@9', 'SAVE I11.1.1@10.1', 'create I11.1.1@10.1'],
    ['tombstone ?.3@9', 'SAVE I11.1.0@-51', 'create I11.1.0@-51'],
    ['row ?.3@9', 'SAVE I13.0@-51', 'replace I13.0@-51'],
    // Python over what ours have left
    ['row I2.0@0', 'SAVE ?.1@0.3', 'update F0.1@0.3'],
    // … the row keeps no number: the change may be of the next incarnation, whose message comes behind
    ['row I-9.3@0', 'SAVE ?.4@-5', 'update F-11.4@-5'],
    ['row I-9.3@0', 'SAVE ?.4@-12', 'update F-11.4@-12'],
    ['row I-9.3@0', 'SAVE ?.4@-12.1', 'skip former-incarnation'],
    ['row I-9.3@0', 'SAVE ?.0@5', 'replace F5.0@5'],
    ['row I-9.3@0', 'SAVE ?.0@-5', 'skip stale'],
    ['row I-9.3@0', 'SAVE ?.2@50', 'update F0.2@50'],
    ['row I-9.3@0', 'SYNC ?.3@-1', 'update F-11.3@0'],
    ['row I-9.3@0', 'DELETE ?.1@4', 'delete F-11.3@4'],
    ['tombstone I-9.3@0', 'SAVE ?.0@5', 'create F5.0@5'],
    ['tombstone I-9.3@0', 'SAVE ?.0@-5', 'dead-letter ambiguous-incarnation'],
    ['tombstone I-9.3@0', 'DELETE ?.4@1', 'remember F-11.4@1'],
  ])('%s, %s → %s', (before, message, expected) => {
    expect(full(decide(stored(before), incoming(message), rules))).toBe(expected);
  });
});

describe('a clock that is ahead', () => {
  // 1000 is now, 1001 still within the tolerance
  test.each([
    ['row ?.3@0', 'SAVE ?.4@5000', 'update ?.4@5000', 4000],
    ['row ?.3@5000', 'SAVE ?.4@0', 'update ?.4@0', 4000],
    ['row F5000.3@5000', 'SAVE ?.4@0', 'update ?.4@0', 4000],
    ['row ?.3@5000', 'SYNC ?.3@0', 'update ?.3@0', 4000],
    ['row ?.3@5000', 'DELETE ?.4@0', 'delete ?.4@0', 4000],
    ['row ?.3@0', 'DELETE ?.4@5000', 'delete ?.4@0', 4000],
    ['row ?.3@5000', 'DELETE ?.2@0', 'skip stale', 4000],
    ['tombstone ?.3@5000', 'SAVE ?.4@0', 'create ?.4@0', 4000],
    ['tombstone ?.3@5000', 'SAVE ?.3@0', 'skip stale', 4000],
    ['row ?.3@0', 'SAVE ?.2@1001', 'update F0.2@1001', undefined],
    // both: as if none was
    ['row ?.3@5000', 'SAVE ?.3@6000', 'update ?.3@6000, tie', undefined],
    ['row ?.3@5000', 'SYNC ?.2@5010', 'skip stale', undefined],
    ['row ?.3@5000', 'DELETE ?.3@6000', 'delete ?.3@6000', undefined],
    ['row F5500.3@6000', 'SAVE ?.4@5990', 'update ?.4@5990', undefined],
    ['tombstone ?.3@5000', 'DELETE ?.3@6000', 'remember ?.3@6000', undefined],
    ['row 1.3@5000', 'SAVE 1.4@0', 'update 1.4@0', undefined],
  ])('%s, %s → %s', (before, message, expected, aheadSeconds) => {
    const decision = decide(stored(before), incoming(message), rules);
    expect(full(decision)).toBe(expected);
    expect(decision.aheadBy).toBe(aheadSeconds === undefined ? undefined : aheadSeconds * SECOND);
  });
});

describe('fold', () => {
  const run = (before: string, messages: string[]) => {
    const folded = fold(stored(before), messages.map(incoming), rules);
    return [
      folded.change
        ? `${folded.change.action} ${folded.change.winner}`
        : folded.learned
          ? `learned ${told((folded.final as { version: Version }).version)}`
          : 'none',
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
    ['row ?.3@9', ['DELETE ?.1@0', 'SAVE ?.0@4'], ['learned F4.3@9', ['skip', 'skip']]],
    ['row ?.3@9', ['SAVE ?.0@4', 'SAVE ?.4@8'], ['update 1', ['skip', 'update']]],
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

describe('a numbered message over what Python has left, and when it was committed', () => {
  test.each([
    // Python's first message of a row comes before ours of the life before it
    ['row ?.1@9', 'SAVE I2.5@4', '4', 'skip former-incarnation'],
    ['row ?.1@9', 'DELETE I2.6@4', '4', 'skip former-incarnation F4.1@9'],
    ['row F6.1@9', 'DELETE I2.6@4', '4', 'skip former-incarnation'],
    ['row F-9.1@9', 'DELETE I-20.6@-9.5', '-9.5', 'skip former-incarnation'],
    // as far as clocks differ
    ['row ?.1@9', 'SAVE I2.5@4', '8', 'update I2.5@4'],
    ['row ?.1@9', 'SAVE I2.5@4', '7.999999', 'skip former-incarnation'],
    ['row ?.1@9', 'DELETE I2.6@4', '8', 'delete I2.6@4'],
  ])('%s, %s at %s → %s', (before, message, committed, expected) => {
    const decision = decide(stored(before), { ...incoming(message), committed: at(committed) }, rules);
    expect(full(decision)).toBe(expected);
  });
});

describe('a lower incarnation that was committed later', () => {
  test.each([
    ['tombstone 5.3@0', 'SAVE 4.0@-50', '1.1', 'skip incarnation-behind, incarnation-behind'],
    ['tombstone 5.3@0', 'SYNC 4.0@-50', '1.1', 'skip incarnation-behind, incarnation-behind'],
    ['row 5.3@0', 'SAVE 4.7@-50', '1.1', 'skip incarnation-behind, incarnation-behind'],
    ['row 5.3@0', 'DELETE 4.7@-50', '1.1', 'skip incarnation-behind, incarnation-behind'],
    // as far as clocks differ, and of what is gone in both
    ['tombstone 5.3@0', 'SAVE 4.0@-50', '1', 'skip stale'],
    ['tombstone 5.3@0', 'DELETE 4.0@-50', '9', 'skip stale'],
    // its own
    ['row 5.3@0', 'SAVE 5.2@-1', '9', 'skip stale'],
    ['row 5.3@0', 'SAVE 6.0@-50', '9', 'replace 6.0@-50'],
  ])('%s, %s at %s → %s', (before, message, committed, expected) => {
    const decision = decide(stored(before), { ...incoming(message), committed: at(committed) }, rules);
    expect(full(decision)).toBe(expected);
  });
});
