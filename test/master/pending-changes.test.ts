import { describe, expect, test } from '@jest/globals';
import type { MasterTable, RowImage } from '../../src/master/master-table.js';
import { type PendingChange, PendingChanges } from '../../src/master/pending-changes.js';

/** A table of `id, value, cqrs_updated`; what the changes ask a table for, and no more. */
function table(name: string): MasterTable {
  return {
    name,
    keyOf: (row: RowImage) => `["${row[0]}"]`,
    value: (row: RowImage, field: string) => (field === 'cqrs_updated' ? row[2]! : null),
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
    changes.moved(accounts, '"account"', row('a', '1', 't1'), row('a', '2', 't2'));
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

  test('tells which rows of a table it has written and are still there', () => {
    const changes = new PendingChanges();
    for (const step of [insert('a'), insert('b', '2'), insert('c', '3'), remove('b', '2')]) step(changes);
    changes.inserted(invoices, '"invoice"', row('d', '4'));
    expect(changes.writtenRows(accounts)).toEqual([row('a'), row('c', '3')]);
  });
});

describe('a savepoint', () => {
  const inside = (...steps: Step[]) => {
    const parent = new PendingChanges();
    update('b', 'a')(parent);
    const savepoint = new PendingChanges(parent);
    for (const step of steps) step(savepoint);
    return { parent, savepoint };
  };

  test('begins with what its parent knows', () => {
    const { savepoint } = inside(update('c', 'b'), insert('x', '2'));
    expect(savepoint.list().map(brief)).toEqual(['["1"] a → c', '["2"] (new) → x']);
    expect(savepoint.writtenRows(accounts)).toEqual([row('c'), row('x', '2')]);
  });

  test('hides rows of its parent that it has deleted', () => {
    const { parent, savepoint } = inside(remove('b'));
    expect(savepoint.writtenRows(accounts)).toEqual([]);
    expect(parent.writtenRows(accounts)).toEqual([row('b')]);
  });

  test('released, hands its rows up, once', () => {
    const { parent, savepoint } = inside(update('c', 'b'), insert('x', '2'));
    savepoint.mergeIntoParent();
    expect(parent.list().map(brief)).toEqual(['["1"] a → c', '["2"] (new) → x']);
    update('d', 'c')(parent);
    savepoint.mergeIntoParent();
    expect(parent.list().map(brief)[0]).toBe('["1"] a → d');
  });

  test('rolled back, leaves its parent as it was', () => {
    const { parent } = inside(update('c', 'b'), insert('x', '2'));
    expect(parent.list().map(brief)).toEqual(['["1"] a → b']);
  });

  test('of a savepoint', () => {
    const { savepoint } = inside(insert('x', '2'));
    const inner = new PendingChanges(savepoint);
    remove('b')(inner);
    expect(inner.find(accounts, '["2"]')?.current).toEqual(row('x', '2'));
    expect(inner.list().map(brief)).toEqual(['["1"] a → nothing deleted b', '["2"] (new) → x']);
  });

  test('the outermost has nobody to hand its rows to, and keeps them', () => {
    const changes = new PendingChanges();
    insert('a')(changes);
    changes.mergeIntoParent();
    expect(changes.drain()).toHaveLength(1);
  });
});
