import { type MasterTable, type RowImage, UPDATED } from '../definition/master-table.js';

/**
 * What one transaction has done to masters so far: one entry per row, however often it was written.
 *
 *   (existed before, exists at the end)   →  what is announced
 *   no,  no                               →  nothing
 *   no,  yes · yes, yes                   →  SAVE
 *   yes, no                               →  DELETE
 *   yes, replaced by a new row            →  SAVE of the new incarnation
 *
 * Savepoints are PostgreSQL's own: a stack for the whole connection, each with a list of what its writes have replaced.
 *
 *   SAVEPOINT a      pushes a list
 *   RELEASE a        joins the lists of a, and of what is above it, to the one below
 *   ROLLBACK TO a    undoes what is in the lists of a and above, removes those above, keeps a with an empty list
 */
export interface PendingChange {
  readonly table: MasterTable;
  /** The table as it is named in SQL, with its schema. */
  readonly sqlName: string;
  readonly key: string;
  /** Whether the row was there before the transaction. */
  readonly existedBefore: boolean;
  /** The row as it was before the transaction, where somebody needs it (tracked fields, `isSyncInstance`). */
  readonly before?: RowImage;
  /** The row as the database has it now; undefined once it is deleted. */
  readonly current?: RowImage;
  /** The row as it was when it was last deleted in this transaction. */
  readonly deleted?: RowImage;
  /** A row that was there before, as it was when its discriminator, and with it perhaps its master, first changed. */
  readonly formerKind?: RowImage;
}

export class PendingChanges {
  /** What is to be called once all this is committed; a savepoint that is rolled back forgets it, too. */
  readonly afterCommit: (() => void)[] = [];
  /** Why it is not known what PostgreSQL keeps of the transaction: it must not be committed. */
  doubt?: string;
  /** How often savepoints were rolled back: what was locked before may not be locked any more. */
  rollbacks = 0;
  /** Tables in which something may have been written, kept or not. */
  readonly #written = new Set<MasterTable>();
  #entries = new Map<string, PendingChange>();
  /** The outermost is the transaction itself, which undoes nothing. */
  readonly #savepoints: Savepoint[] = [];

  get size(): number {
    return this.#entries.size;
  }

  find(table: MasterTable, key: string): PendingChange | undefined {
    return this.#entries.get(entryId(table, key));
  }

  inserted(table: MasterTable, sqlName: string, row: RowImage): void {
    const key = table.keyOf(row);
    const known = this.find(table, key);
    const existedBefore = known?.existedBefore ?? false;
    const formerKind = known?.formerKind ?? kindLeft(table, existedBefore ? known?.deleted : undefined, row);
    this.#set({ ...known, table, sqlName, key, existedBefore, current: row, ...(formerKind ? { formerKind } : {}) });
  }

  updated(table: MasterTable, sqlName: string, row: RowImage, before?: RowImage): void {
    const key = table.keyOf(row);
    const known = this.find(table, key);
    const existedBefore = known?.existedBefore ?? true;
    const formerKind = known?.formerKind ?? kindLeft(table, existedBefore ? before : undefined, row);
    this.#set({
      ...known,
      table,
      sqlName,
      key,
      existedBefore,
      before: known ? known.before : before,
      current: row,
      ...(formerKind ? { formerKind } : {}),
    });
  }

  deleted(table: MasterTable, sqlName: string, row: RowImage): void {
    const key = table.keyOf(row);
    const known = this.find(table, key);
    this.#set({
      ...known,
      table,
      sqlName,
      key,
      existedBefore: known?.existedBefore ?? true,
      before: known ? known.before : row,
      current: undefined,
      deleted: row,
    });
  }

  /** A row whose key changed is two rows to a replica: the old key ends, and the new one begins an incarnation of its own. */
  ended(table: MasterTable, sqlName: string, former: RowImage, row: RowImage): void {
    this.deleted(table, sqlName, table.withValue(former, UPDATED, table.value(row, UPDATED)!));
  }

  /** A key that is spelt otherwise and equal to the database (1.0 → 1.00) is the same row. */
  respelled(table: MasterTable, sqlName: string, former: RowImage, row: RowImage, before?: RowImage): void {
    const known = this.find(table, table.keyOf(former));
    if (known) {
      this.#remove(known);
      this.#set({ ...known, key: table.keyOf(row) });
    }
    this.updated(table, sqlName, row, before);
  }

  /** Told before a statement is sent. @returns whether nothing was written in the table before. */
  begins(table: MasterTable): boolean {
    const first = !this.#written.has(table);
    this.#written.add(table);
    return first;
  }

  savepoint(name: string): void {
    this.#savepoints.push({ name, undo: [], written: new Set(), afterCommit: this.afterCommit.length });
  }

  /** False when there is no such savepoint. */
  release(name: string): boolean {
    const at = this.#savepoints.findLastIndex((one) => one.name === name);
    if (at < 0) return false;
    const released = this.#savepoints.splice(at);
    const below = this.#savepoints.at(-1);
    // a list of lists: joining costs the same however long they are
    for (const { undo } of below ? released : []) if (undo.length > 0) below!.undo.push(undo);
    return true;
  }

  /** False when there is no such savepoint. */
  rollbackTo(name: string): boolean {
    const at = this.#savepoints.findLastIndex((one) => one.name === name);
    if (at < 0) return false;
    const undone = this.#savepoints.splice(at);
    for (const { undo } of undone.toReversed()) this.#undo(undo);
    this.afterCommit.length = undone[0]!.afterCommit;
    this.savepoint(name);
    this.rollbacks++;
    return true;
  }

  /** Everything to announce, in the order of the rows' first writes; afterwards there is nothing left. */
  drain(): PendingChange[] {
    const changes = this.list();
    this.forget();
    return changes;
  }

  /** What `drain` would answer with; nothing ends. */
  list(): PendingChange[] {
    return [...this.#entries.values()].filter((change) => change.existedBefore || change.current);
  }

  forget(): void {
    this.#entries = new Map();
    this.#savepoints.length = 0;
  }

  #set(change: PendingChange): void {
    const id = entryId(change.table, change.key);
    this.#written.add(change.table);
    this.#remember(id);
    this.#entries.set(id, change);
  }

  #remove({ table, key }: PendingChange): void {
    const id = entryId(table, key);
    this.#remember(id);
    this.#entries.delete(id);
  }

  #remember(id: string): void {
    const innermost = this.#savepoints.at(-1);
    if (!innermost || innermost.written.has(id)) return;
    innermost.written.add(id);
    innermost.undo.push([id, this.#entries.get(id)]);
  }

  #undo(list: UndoList): void {
    // not by recursion: lists nest as deep as savepoints were released into each other
    const open: { list: UndoList; at: number }[] = [{ list, at: list.length }];
    for (let top = open.at(-1); top; top = open.at(-1)) {
      const step = top.list[--top.at];
      if (step === undefined) open.pop();
      else if (isUndone(step)) this.#restore(step);
      else open.push({ list: step, at: step.length });
    }
  }

  #restore([id, former]: Undone): void {
    if (former) this.#entries.set(id, former);
    else this.#entries.delete(id);
  }
}

interface Savepoint {
  readonly name: string;
  /** In the order of the writes. */
  readonly undo: UndoList;
  /** What it need not remember again. */
  readonly written: Set<string>;
  /** How much was to be called before it. */
  readonly afterCommit: number;
}

/** The entry that a write has replaced; undefined: there was none. */
type Undone = readonly [id: string, former: PendingChange | undefined];
type UndoList = (Undone | UndoList)[];

function isUndone(step: Undone | UndoList): step is Undone {
  return typeof step[0] === 'string';
}

/** The former row, if the discriminator is another one now. */
function kindLeft(table: MasterTable, former: RowImage | undefined, row: RowImage): RowImage | undefined {
  return former && table.changesKind(former, row) ? former : undefined;
}

function entryId(table: MasterTable, key: string): string {
  return `${table.name}\u0000${key}`;
}
