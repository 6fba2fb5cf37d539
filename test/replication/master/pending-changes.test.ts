import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { MasterTable, RowImage } from '../../../src/replication/master/definition/master-table.js';
import { type PendingChange, PendingChanges } from '../../../src/replication/master/capture/pending-changes.js';

/** A table of `id, value, cqrs_updated`; what the changes ask a table for, and no more. */
function table(name: string): MasterTable {
  return {
    name,
    keyOf: (row: RowImage) => `["${row[0]}"]`,
    value: (row: RowImage, field: string) => (field === 'cqrs_updated' ? row[2]! : null),
    changesKind: () => false,
    withValue: (row: RowImage, field: string, value: string) => (field === 'cqrs_updated' ? row.with(2, value) : row),
  } as unknown as MasterTable;
}
const accounts = table('account');
const invoices = table('invoice');

const row = (value: string, id = '1', updated = 't0'): RowImage => [id, value, updated];

type Step = (changes: PendingChanges) => void;
const insert =
  (value: string, id?: string): Step =>
  (changes) =>
    changes.inserted(accounts, '"account"', row(value, id));
const update =
  (value: string, before?: string): Step =>
  (changes) =>
    changes.updated(accounts, '"account"', row(value), before === undefined ? undefined : row(before));
const updateOf =
  (value: string, id: string): Step =>
  (changes) =>
    changes.updated(accounts, '"account"', row(value, id));
const remove =
  (value: string, id?: string): Step =>
  (changes) =>
    changes.deleted(accounts, '"account"', row(value, id));

/** `before → current`, with what was deleted; `(new)` for a row that was not there before the transaction. */
function brief({ key, existedBefore, before, current, deleted }: PendingChange): string {
  const left = existedBefore ? (before?.[1] ?? '?') : '(new)';
  const gone = deleted ? ` deleted ${deleted[1]}` : '';
  return `${key} ${left} → ${current?.[1] ?? 'nothing'}${gone}`;
}

describe('one transaction', () => {
  test.each<[string, Step[], string[]]>([
    ['nothing', [], []],
    ['a new row', [insert('a')], ['["1"] (new) → a']],
    ['a new row, changed', [insert('a'), update('b', 'a')], ['["1"] (new) → b']],
    ['a new row, deleted again', [insert('a'), remove('a')], []],
    ['a new row, deleted and made again', [insert('a'), remove('a'), insert('b')], ['["1"] (new) → b deleted a']],
    ['a row, changed', [update('b', 'a')], ['["1"] a → b']],
    ['a row, changed, former values unknown', [update('b')], ['["1"] ? → b']],
    ['a row, changed twice: the first former values count', [update('b', 'a'), update('c', 'b')], ['["1"] a → c']],
    ['unknown former values stay unknown', [update('b'), update('c', 'b')], ['["1"] ? → c']],
    ['a row, deleted', [remove('a')], ['["1"] a → nothing deleted a']],
    ['a row, changed and deleted', [update('b', 'a'), remove('b')], ['["1"] a → nothing deleted b']],
    ['a row, replaced', [remove('a'), insert('b')], ['["1"] a → b deleted a']],
    ['a row, replaced and deleted', [remove('a'), insert('b'), remove('b')], ['["1"] a → nothing deleted b']],
    [
      'two rows, in the order of their first writes',
      [insert('a', '2'), insert('b'), remove('a', '2')],
      ['["1"] (new) → b'],
    ],
    [
      'the order is that of first writes',
      [insert('a', '2'), insert('b'), (changes) => changes.updated(accounts, '"account"', row('c', '2'))],
      ['["2"] (new) → c', '["1"] (new) → b'],
    ],
  ])('%s', (_, steps, expected) => {
    const changes = new PendingChanges();
    for (const step of steps) step(changes);
    expect(changes.list().map(brief)).toEqual(expected);
    expect(changes.drain().map(brief)).toEqual(expected);
    expect([changes.drain(), changes.list()]).toEqual([[], []]);
  });

  test('a row whose key changed is two: the old one ends at the time of the change', () => {
    const changes = new PendingChanges();
    changes.ended(accounts, '"account"', row('a', '1', 't1'), row('a', '2', 't2'));
    changes.inserted(accounts, '"account"', row('a', '2', 't2'));
    expect(changes.drain().map((change) => [brief(change), change.deleted?.[2], change.current?.[2]])).toEqual([
      ['["1"] a → nothing deleted a', 't2', undefined],
      ['["2"] (new) → a', undefined, 't2'],
    ]);
  });

  test('rows of two tables with one key are two rows', () => {
    const changes = new PendingChanges();
    insert('a')(changes);
    changes.inserted(invoices, '"invoice"', row('b'));
    expect(changes.list().map((change) => [change.table.name, change.sqlName, change.key])).toEqual([
      ['account', '"account"', '["1"]'],
      ['invoice', '"invoice"', '["1"]'],
    ]);
    expect(changes.find(invoices, '["1"]')?.current).toEqual(row('b'));
    expect(changes.find(invoices, '["2"]')).toBeUndefined();
  });

  test('a key that is spelt otherwise is the same row, wherever it was written before', () => {
    const changes = new PendingChanges();
    insert('a', '1.0')(changes);
    changes.respelled(accounts, '"account"', row('a', '1.0'), row('b', '1.00'));
    expect(changes.list().map(brief)).toEqual(['["1.00"] (new) → b']);
  });
});

describe('savepoints', () => {
  const names = ['a', 'b'] as const;
  const write = fc.record({
    kind: fc.constantFrom('insert', 'update', 'remove'),
    id: fc.constantFrom('1', '2', '3'),
    value: fc.string({ minLength: 1, maxLength: 2 }),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: write },
    fc.record({ kind: fc.constantFrom('savepoint', 'release', 'rollbackTo'), name: fc.constantFrom(...names) }),
  );

  test('undo what PostgreSQL undoes, however they nest and whatever they are called', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const changes = new PendingChanges();
        // the model replays everything that PostgreSQL would have kept
        let kept: Step[] = [];
        const stack: { name: string; kept: Step[]; calls: number }[] = [];
        let calls = 0;
        for (const one of steps) {
          if ('id' in one) {
            const { kind, id, value } = one;
            const act: Step =
              kind === 'insert' ? insert(value, id) : kind === 'remove' ? remove(value, id) : updateOf(value, id);
            act(changes);
            changes.afterCommit.push(() => {});
            calls++;
            kept = kept.concat(act);
            continue;
          }
          const at = stack.findLastIndex(({ name }) => name === one.name);
          if (one.kind === 'savepoint') {
            stack.push({ name: one.name, kept, calls });
            changes.savepoint(one.name);
          } else if (one.kind === 'release') {
            expect(changes.release(one.name)).toBe(at >= 0);
            if (at >= 0) stack.splice(at);
          } else {
            expect(changes.rollbackTo(one.name)).toBe(at >= 0);
            if (at < 0) continue;
            ({ kept, calls } = stack[at]!);
            stack.splice(at + 1);
          }
        }
        const model = new PendingChanges();
        for (const act of kept) act(model);
        expect(changes.list().map(brief).toSorted()).toEqual(model.list().map(brief).toSorted());
        expect(changes.afterCommit).toHaveLength(calls);
      }),
      { numRuns: 2_000 },
    );
  });

  test('cost the same however many were rolled back or released before', () => {
    const time = (count: number): number => {
      const changes = new PendingChanges();
      changes.savepoint('outermost');
      const began = process.hrtime.bigint();
      for (let n = 0; n < count; n++) {
        changes.savepoint('a');
        insert('x', String(n))(changes);
        if (n % 2) changes.rollbackTo('a');
        else changes.release('a');
      }
      expect(changes.list()).toHaveLength(count / 2);
      changes.rollbackTo('outermost');
      expect(changes.list()).toEqual([]);
      return Number(process.hrtime.bigint() - began) / count;
    };
    time(10_000);
    expect(time(100_000)).toBeLessThan(20 * time(10_000));
  });
});
