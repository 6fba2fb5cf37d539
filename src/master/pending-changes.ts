import { type MasterTable, type RowImage, UPDATED } from './master-table.js';

/**
 * What one transaction (or savepoint) has done to masters so far: one entry per row, however often it was written.
 *
 *   (existed before, exists at the end)   →  what is announced
 *   no,  no                               →  nothing
 *   no,  yes · yes, yes                   →  SAVE
 *   yes, no                               →  DELETE
 *   yes, replaced by a new row            →  SAVE of the new incarnation
 *
 * A savepoint has entries of its own, each begun as a copy of its parent's; releasing it hands them up, rolling it
 * back forgets them.
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
}

export class PendingChanges {
  readonly #own = new Map<string, PendingChange>();
  constructor(readonly parent?: PendingChanges) {}

  find(table: MasterTable, key: string): PendingChange | undefined {
    const id = entryId(table, key);
    return this.#own.get(id) ?? this.parent?.find(table, key);
  }

  inserted(table: MasterTable, sqlName: string, row: RowImage): void {
    const key = table.keyOf(row);
    const known = this.find(table, key);
    this.#set({ ...known, table, sqlName, key, existedBefore: known?.existedBefore ?? false, current: row });
  }

  updated(table: MasterTable, sqlName: string, row: RowImage, before?: RowImage): void {
    const key = table.keyOf(row);
    const known = this.find(table, key);
    this.#set({
      ...known,
      table,
      sqlName,
      key,
      existedBefore: known?.existedBefore ?? true,
      before: known ? known.before : before,
      current: row,
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

  /** A row whose key changed is two rows to a replica: the old key ends, the new one begins a life of its own. */
  moved(table: MasterTable, sqlName: string, former: RowImage, row: RowImage): void {
    this.deleted(table, sqlName, table.withValue(former, UPDATED, table.value(row, UPDATED)!));
    this.inserted(table, sqlName, row);
  }

  /** The rows of a table written so far in this transaction and still there: their revision has already moved. */
  writtenRows(table: MasterTable): RowImage[] {
    const rows = new Map<string, RowImage | undefined>();
    this.#collect(table, rows);
    return [...rows.values()].filter((row) => row !== undefined);
  }

  /** A released savepoint's entries become those of its parent. */
  mergeIntoParent(): void {
    if (!this.parent) return;
    for (const change of this.#own.values()) this.parent.#set(change);
    this.#own.clear();
  }

  /** Everything to announce, in the order of the rows' first writes; afterwards there is nothing left. */
  drain(): PendingChange[] {
    const changes = [...this.#own.values()].filter((change) => change.existedBefore || change.current);
    this.#own.clear();
    return changes;
  }

  /** What `drain` would answer with if every savepoint were released now; nothing ends. */
  list(): PendingChange[] {
    return [...this.#entries().values()].filter((change) => change.existedBefore || change.current);
  }

  #entries(): Map<string, PendingChange> {
    return new Map([...(this.parent ? this.parent.#entries() : []), ...this.#own]);
  }

  #collect(table: MasterTable, rows: Map<string, RowImage | undefined>): void {
    if (this.parent) this.parent.#collect(table, rows);
    for (const change of this.#own.values()) if (change.table === table) rows.set(change.key, change.current);
  }

  #set(change: PendingChange): void {
    this.#own.set(entryId(change.table, change.key), change);
  }
}

function entryId(table: MasterTable, key: string): string {
  return `${table.name}\u0000${key}`;
}
