import { describe, expect, test } from '@jest/globals';
import { DecodedLines } from './decoding.ts';
import { MODES } from './mode.ts';
import { Oracle } from './oracle.ts';
import { TABLES } from './tables.ts';

/** An oracle that finds nothing shows nothing: each kind of error in one transaction, as `test_decoding` prints it. */

const T0 = '2026-11-30 12:00:00.000001+00';
const T1 = '2026-11-30 12:00:01.5+00';
const T2 = '2026-11-30 12:00:03+00';

const org = ({ code = 'a', name = 'n', rank = '1', revision = 0, updated = T0, incarnation = 100 } = {}): string =>
  `code[character varying]:'${code}' cqrs_revision[integer]:${revision} cqrs_updated[timestamp with time zone]:'${updated}' ` +
  `cqrs_incarnation[bigint]:${incarnation} name[character varying]:'${name.replaceAll("'", "''")}' rank[integer]:${rank} head_id[integer]:null ` +
  `memo[text]:null note[character varying]:'0.0.0'`;

let id = 1;
const message = (
  signal: string,
  data: object,
  {
    previous = null,
    incarnation = 100,
    pk = 'a',
  }: { previous?: object | null; incarnation?: number; pk?: string } = {},
): string => {
  const body = {
    signal_type: signal,
    cqrs_id: 'org',
    instance_data: data,
    previous_data: previous,
    instance_pk: pk,
    correlation_id: '0.0',
    cqrs_incarnation: incarnation,
  };
  return (
    `table public.cqrs_outbox: INSERT: id[bigint]:${id++} bucket[smallint]:1 cqrs_id[text]:'org' signal[text]:'${signal}' ` +
    `key[text]:'["${pk}"]' queue[text]:null body[text]:'${JSON.stringify(body).replaceAll("'", "''")}' failure[text]:null ` +
    `created_at[timestamp with time zone]:'${T1}'`
  );
};
const state = (changes: object = {}): object => ({
  code: 'a',
  name: 'n',
  rank: 1,
  head: null,
  note: '0.0.0',
  cqrs_revision: 0,
  cqrs_updated: '2026-11-30 12:00:00.000001+00:00',
  ...changes,
});
const later = { cqrs_revision: 1, cqrs_updated: '2026-11-30 12:00:01.500000+00:00' };
const born = { name: null, rank: null };

const insert = (row: string): string => `table public.c_org: INSERT: ${row}`;
const update = (before: string, after: string): string =>
  `table public.c_org: UPDATE: old-key: ${before.replaceAll(/\w+\[[\w ]+\]:null /g, '')} new-tuple: ${after}`;
const remove = (row: string): string => `table public.c_org: DELETE: ${row.replaceAll(/\w+\[[\w ]+\]:null /g, '')}`;

function problemsOf(...lines: string[]): readonly string[] {
  const decoded = new DecodedLines(new Set([...TABLES.map(({ name }) => name), 'cqrs_outbox']));
  const oracle = new Oracle(MODES.driver);
  return decoded
    .read(['BEGIN 1', ...lines, `COMMIT 1 (at ${T1})`])
    .flatMap((one) => oracle.judge(one, () => undefined).problems);
}

describe('what is right is found right', () => {
  test.each([
    ['a row that is created', [insert(org()), message('SAVE', state(), { previous: born })]],
    [
      'a row that changes twice, and is sent as it is at the end',
      [
        update(org(), org({ revision: 1, updated: T1, name: 'between' })),
        update(org({ revision: 1, updated: T1, name: 'between' }), org({ revision: 1, updated: T1, name: "o'x" })),
        message('SAVE', state({ ...later, name: "o'x" }), { previous: { name: 'n' } }),
      ],
    ],
    ['a row that goes', [remove(org()), message('DELETE', { id: 'a', ...later })]],
    ['a row that comes and goes', [insert(org()), remove(org())]],
    [
      'a key that moves',
      [
        update(org(), org({ code: 'b', revision: 1, updated: T1, incarnation: 200 })),
        message('DELETE', { id: 'a', ...later }),
        message('SAVE', state({ ...later, code: 'b' }), { pk: 'b', previous: born, incarnation: 200 }),
      ],
    ],
    ['columns that do not travel', [update(org(), org({ revision: 1, updated: T1 }))]],
  ])('%s', (_, lines) => {
    expect(problemsOf(...lines)).toEqual([]);
  });
});

describe('what is wrong is found', () => {
  const changed = update(org(), org({ revision: 1, updated: T1, name: 'x' }));
  const previous = { name: 'n' };
  test.each([
    ['no message', 'no SAVE', [changed]],
    ['a deletion without a message', 'no DELETE', [remove(org())]],
    ['a message without a change', 'SAVE for a row that did not change', [message('SAVE', state())]],
    [
      'a message for a row that came and went',
      'SAVE for a row',
      [insert(org()), remove(org()), message('SAVE', state())],
    ],
    [
      'a state that is not the last',
      'name is "x", SAVE says "y"',
      [changed, message('SAVE', state({ ...later, name: 'y' }), { previous })],
    ],
    [
      'a member too few',
      '6 members instead of 7',
      [changed, message('SAVE', { ...state({ ...later, name: 'x' }), head: undefined }, { previous })],
    ],
    [
      'other previous data',
      'previous data is name="n", SAVE says null',
      [changed, message('SAVE', state({ ...later, name: 'x' }))],
    ],
    ['DELETE instead of SAVE', 'DELETE instead of SAVE', [changed, message('DELETE', { id: 'a', ...later })]],
    [
      'a revision that stands still',
      'revision 0 → 0',
      [
        update(org(), org({ updated: T1, name: 'x' })),
        message('SAVE', state({ ...later, cqrs_revision: 0, name: 'x' }), { previous }),
      ],
    ],
    [
      'a revision of two steps',
      'revision 0 → 2',
      [
        update(org(), org({ revision: 2, updated: T1, name: 'x' })),
        message('SAVE', state({ ...later, cqrs_revision: 2, name: 'x' }), { previous }),
      ],
    ],
    [
      'a time that stands still',
      'cqrs_updated did not grow',
      [
        update(org(), org({ revision: 1, name: 'x' })),
        message('SAVE', state({ cqrs_revision: 1, name: 'x' }), { previous }),
      ],
    ],
    [
      'an old incarnation after a new beginning',
      'incarnation is not greater',
      [remove(org()), insert(org({ revision: 1, updated: T1 })), message('SAVE', state(later), { previous: {} })],
    ],
    [
      'two messages for one row',
      'more than one message',
      [
        changed,
        message('SAVE', state({ ...later, name: 'x' }), { previous }),
        message('SAVE', state({ ...later, name: 'x' }), { previous }),
      ],
    ],
  ])('%s', (_, problem, lines) => {
    expect(problemsOf(...lines).join('\n')).toContain(problem);
  });
});

test('an upsert that met a row inserted meanwhile may not know it, and only then', () => {
  const decoded = new DecodedLines(new Set([...TABLES.map(({ name }) => name), 'cqrs_outbox']));
  const birth = ['BEGIN 1', insert(org()), message('SAVE', state(), { previous: born }), `COMMIT 1 (at ${T1})`];
  const changed = [
    update(org(), org({ revision: 1, updated: T1, name: 'x' })),
    message('SAVE', state({ ...later, name: 'x' })),
  ];
  const verdicts = (beganAt: string): readonly (readonly string[])[] => {
    const oracle = new Oracle(MODES.driver);
    return decoded
      .read([...birth, 'BEGIN 2', ...changed, `COMMIT 2 (at ${T2})`])
      .map((one) => oracle.judge(one, () => Date.parse(beganAt)).problems);
  };
  expect(verdicts('2026-11-30T12:00:01Z')).toEqual([[], []]);
  expect(verdicts('2026-11-30T12:00:02Z')).toEqual([[], [expect.stringContaining('SAVE says null')]]);
});
