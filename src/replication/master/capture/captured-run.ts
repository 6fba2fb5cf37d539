import { UnsupportedWriteError } from '../../../kernel/errors.js';
import {
  type BeforeImages,
  compileWithBefore,
  formerOf,
  type Place,
  readByColumns,
  takeBefore,
} from './before-images.js';
import type { MasterTable, RowImage } from '../definition/master-table.js';
import type { NativeQuery, Row } from '../mikro-orm-internals.js';
import type { NativeWrite } from './native-write.js';
import { reveal } from './own-columns.js';
import type { PendingChanges } from './pending-changes.js';
import { raiseReplaced, type ReplacedRow } from './replaced-rows.js';
import type { CapturedRows } from './session-watch.js';
import type { TransactionLog } from './transaction-log.js';

/** One captured statement in its transaction, and what it did. */
export class CapturedRun {
  readonly #replaced: ReplacedRow[] = [];
  readonly #moved: [before: RowImage, image: RowImage][] = [];
  /** The rows that were locked before the statement, and how often savepoints had been rolled back by then. */
  #locked?: { readonly found: BeforeImages; readonly rollbacks: number };

  constructor(
    readonly place: Place,
    /** The table as SQL names it, with its schema. */
    readonly sqlName: string,
    private readonly parts: {
      readonly log: TransactionLog;
      /** Where its rows are noted instead of with its transaction: nobody is told, or it is not followed. */
      readonly apart?: PendingChanges;
    },
  ) {}

  get table(): MasterTable {
    return this.place.table;
  }

  /** Runs the statement; `note` is given its rows, as soon as they are there, with the changes of the transaction. */
  async capture<T extends { rows?: Row[] }>(
    statement: () => Promise<T>,
    note: (rows: Row[], changes: PendingChanges) => void,
  ): Promise<T> {
    const { log, apart } = this.parts;
    const rows: CapturedRows = {
      noted: false,
      note: (answered, changes) => {
        rows.noted = true;
        note(answered, apart ?? changes);
        this.#noteMovedKeys(apart ?? changes);
      },
    };
    const result = await log.capture(rows, statement);
    // Not seen on its connection: it belongs to a transaction that is not followed, or has another text there.
    if (!rows.noted) rows.note(result.rows ?? [], this.#changes()!);
    return result;
  }

  /** Whether nothing was captured in the table yet, in this transaction; asked once, before the statement is compiled. */
  begins(): boolean {
    return !this.parts.apart && this.#changes()!.begins(this.table);
  }

  #changes(): PendingChanges | undefined {
    return this.parts.apart ?? this.parts.log.changesOf(this.place.transaction);
  }

  /** Whether rows are needed as they were before. */
  needsBefore({ movesKeys, movesKind }: Pick<NativeWrite, 'movesKeys' | 'movesKind'>): boolean {
    return movesKeys || movesKind || this.table.needsBefore;
  }

  /** The statement of a query builder, with what it has to return. */
  compile(write: NativeWrite, native: NativeQuery): { sql: string; params: unknown[]; returning: string } {
    const { table } = this;
    write.settle(this.begins());
    if (write.kind === 'delete') return { ...native.compile(), returning: table.returningDeleted };
    if (!this.needsBefore(write)) return { ...native.compile(), returning: table.returning };
    if (write.kind === 'insert') {
      const former = write.target ? `, ${formerOf(table, this.sqlName, write)}` : '';
      return { ...native.compile(), returning: table.returning + former };
    }
    const { returning, ...compiled } = compileWithBefore(native, table, write);
    return { ...compiled, returning: `${table.returning}, ${returning}` };
  }

  /** Locks the rows that an upsert will find, where somebody needs them as they were. */
  async lockFound(write: NativeWrite): Promise<void> {
    if (!write.target || !this.needsBefore(write)) return;
    const { fields, values } = write.target;
    if (fields && values) {
      const { rollbacks } = this.#changes()!;
      const lock = write.movesKeys ? 'update' : 'no key update';
      this.#locked = { found: await readByColumns(this.place, this.sqlName, fields, values, lock), rollbacks };
    } else if (write.movesKeys) {
      throw new UnsupportedWriteError(
        this.table.root.className,
        'it may change the keys of rows that are there already, and does not say by columns and values which these are',
        'Name the columns in onConflict(), give the values, or leave the key out of the merge.',
      );
    }
  }

  /** Notes a row of a query builder's statement; answers with it, and takes what was ours out of what MikroORM sees. */
  note(write: NativeWrite, row: Row, changes: PendingChanges): RowImage {
    if (write.kind === 'update') return this.noteUpdated(row, changes);
    const { before, sameKey } = takeBefore(this.table, row);
    const image = this.table.takeImage(row);
    if (write.kind === 'delete') changes.deleted(this.table, this.sqlName, image);
    else if (!write.target || this.#isNew(image, before, changes)) this.noteInserted(image, changes);
    else if (before && this.#precedes(before, image, changes)) this.#noteMoved(image, { before, sameKey }, changes);
    else if (write.movesKeys || write.movesKind) throw this.#unknownFormer(changes);
    else changes.updated(this.table, this.sqlName, image);
    return image;
  }

  /** Notes a row of an UPDATE, which may have brought it as it was before. */
  noteUpdated(row: Row, changes: PendingChanges): RowImage {
    const { table, sqlName } = this;
    const { before, sameKey } = takeBefore(table, row);
    const image = table.takeImage(row);
    if (before) this.#noteMoved(image, { before, sameKey }, changes);
    else changes.updated(table, sqlName, image);
    return image;
  }

  noteInserted(image: RowImage, changes: PendingChanges): void {
    this.#replaces(image, changes);
    changes.inserted(this.table, this.sqlName, image);
  }

  #noteMoved(
    image: RowImage,
    { before, sameKey }: { before: RowImage; sameKey: boolean },
    changes: PendingChanges,
  ): void {
    const { table, sqlName } = this;
    if (table.keyOf(before) === table.keyOf(image)) changes.updated(table, sqlName, image, before);
    else if (sameKey) changes.respelled(table, sqlName, before, image, before);
    else this.#moved.push([before, image]);
  }

  /** At the end of a statement: one row may have the key that another one had. */
  #noteMovedKeys(changes: PendingChanges): void {
    const { table, sqlName } = this;
    const moved = this.#moved.splice(0);
    for (const [before, image] of moved) changes.ended(table, sqlName, before, image);
    for (const [, image] of moved) this.noteInserted(image, changes);
  }

  // An update moves the revision, but for rows of this transaction; and those were noted. A row that was found when the
  // statement began may have been deleted by another transaction since.
  #isNew(image: RowImage, before: RowImage | undefined, changes: PendingChanges): boolean {
    const { table } = this;
    const isNoted = (row: RowImage): boolean => changes.find(table, table.keyOf(row))?.current !== undefined;
    return table.revision(image) === 0 && !isNoted(image) && !(before && isNoted(before));
  }

  // A row that is locked is what the statement has seen; a savepoint that is rolled back gives locks back. Without a lock:
  // each transaction moves the revision by a step, and a row made anew has a later incarnation.
  #precedes(before: RowImage, image: RowImage, changes: PendingChanges): boolean {
    const { table } = this;
    const locked = this.#locked;
    if (locked?.rollbacks === changes.rollbacks && locked.found.has(table.keyOf(before))) return true;
    const sameRow =
      table.keyOf(before) === table.keyOf(image) && table.incarnation(before) === table.incarnation(image);
    return sameRow && table.revision(image) <= table.revision(before) + 1;
  }

  #unknownFormer(changes: PendingChanges): Error {
    changes.doubt = 'the key or discriminator was changed of a row that another transaction may have written meanwhile';
    return new UnsupportedWriteError(
      this.table.root.className,
      'it changed the key or discriminator of a row that another transaction may have written meanwhile, and what it was is not known',
      'Run the transaction again.',
    );
  }

  #replaces(image: RowImage, changes: PendingChanges): void {
    const { table } = this;
    const deleted = changes.find(table, table.keyOf(image))?.deleted;
    if (deleted) this.#replaced.push({ image, deleted });
  }

  /**
   * Rows with the keys of deleted ones become later than these. `shown` are the rows that MikroORM will read: they follow.
   */
  async finish(shown: readonly Row[] = [], images: readonly RowImage[] = []): Promise<void> {
    const replaced = this.#replaced.splice(0);
    if (replaced.length === 0) return;
    const { place, table, sqlName } = this;
    const raised = new Map<string, RowImage>();
    await this.capture(
      async () => ({ rows: await raiseReplaced(place, sqlName, replaced) }),
      (rows, changes) => {
        for (const row of rows) {
          const image = table.takeImage(row);
          raised.set(table.keyOf(image), image);
          changes.updated(table, sqlName, image);
        }
      },
    );
    for (const [index, row] of shown.entries()) {
      const image = images[index] && raised.get(table.keyOf(images[index]));
      if (image) reveal(table, image, row);
    }
  }
}
