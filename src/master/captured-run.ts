import { UnsupportedWriteError } from '../core/errors.js';
import { quoted } from '../core/identifiers.js';
import { type BeforeImages, compileWithBefore, type Place, readByColumns, takeBefore } from './before-images.js';
import type { MasterTable, RowImage } from './master-table.js';
import type { NativeQuery, Row } from './mikro-orm-internals.js';
import type { NativeWrite } from './native-write.js';
import { reveal } from './own-columns.js';
import type { PendingChanges } from './pending-changes.js';
import { readRecord } from './record-text.js';
import { raiseReplaced, type ReplacedRow } from './replaced-rows.js';
import type { CapturedRows } from './session-watch.js';
import type { TransactionLog } from './transaction-log.js';

/** What a statement answers of a key that may have moved, next to the row. */
const FORMER = 'cqrs:former';

/** One captured statement in its transaction, and what it did. */
export class CapturedRun {
  readonly #replaced: ReplacedRow[] = [];
  #undoneAtRead?: number;
  readonly #moved: [before: RowImage, image: RowImage][] = [];

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
    if (write.kind === 'insert') {
      const former = write.movesKeys ? `, ${this.#formerKey(write)}` : '';
      return { ...native.compile(), returning: table.returning + former };
    }
    if (!this.needsBefore(write)) return { ...native.compile(), returning: table.returning };
    const { returning, ...compiled } = compileWithBefore(native, table, write);
    return { ...compiled, returning: `${table.returning}, ${returning}` };
  }

  /** The rows that an upsert will find, where somebody needs them as they were. */
  async readFound(write: NativeWrite): Promise<BeforeImages | undefined> {
    if (!write.target || !this.needsBefore(write)) return undefined;
    const { fields, values } = write.target;
    if (fields && values) {
      const lock = write.movesKeys ? 'update' : 'no key update';
      const found = await readByColumns(this.place, this.sqlName, fields, values, lock);
      this.#undoneAtRead = this.#changes()?.undone;
      return found;
    }
    if (!write.movesKeys) return new Map();
    throw new UnsupportedWriteError(
      this.table.root.className,
      'it may change the keys of rows that are there already, and does not say by columns and values which these are',
      'Name the columns in onConflict(), give the values, or leave the key out of the merge.',
    );
  }

  /** The key that the row had: sub-queries of a statement do not see what it writes. */
  #formerKey({ qualifier, target }: NativeWrite): string {
    const keys = this.table.keyColumns.map(({ field }) => quoted(field));
    const equal = (fields: readonly string[]): string =>
      fields.map((field) => `"${FORMER}".${field} = ${qualifier}.${field}`).join(' and ');
    const texts = keys.map((key) => `"${FORMER}".${key}::text`).join(', ');
    return `(select row(${equal(keys)}, ${texts})::text from ${this.sqlName} as "${FORMER}" where ${equal(target!.fields!.map(quoted))}) as "${FORMER}"`;
  }

  /** Notes a row of a query builder's statement; answers with it, and takes what was ours out of what MikroORM sees. */
  note(write: NativeWrite, row: Row, found: BeforeImages | undefined, changes: PendingChanges): RowImage {
    if (write.kind === 'update') return this.noteUpdated(row, changes);
    const former = takeFormer(row);
    const image = this.table.takeImage(row);
    if (write.kind === 'delete') changes.deleted(this.table, this.sqlName, image);
    else if (write.target) this.#noteUpsert(write, image, { found, former }, changes);
    else this.noteInserted(image, changes);
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

  #noteUpsert(write: NativeWrite, image: RowImage, { found, former }: Found, changes: PendingChanges): void {
    const { table, sqlName } = this;
    // A nested transaction beside this one was rolled back since: the rows may never have been as they were read.
    if (found && changes.undone !== this.#undoneAtRead) found = new Map();
    if (former) {
      const [same, ...key] = former;
      const before = found?.get(JSON.stringify(key));
      if (!before) throw this.#unknownKey(changes);
      this.#noteMoved(image, { before, sameKey: same === 't' }, changes);
    } else if (this.#isNew(image, changes)) this.noteInserted(image, changes);
    else if (write.movesKeys) throw this.#unknownKey(changes);
    else changes.updated(table, sqlName, image, found?.get(table.keyOf(image)));
  }

  // An update moves the revision, but for rows of this transaction; and those were noted.
  #isNew(image: RowImage, changes: PendingChanges): boolean {
    return this.table.revision(image) === 0 && !changes.find(this.table, this.table.keyOf(image))?.current;
  }

  #unknownKey(changes: PendingChanges): Error {
    changes.doubt = 'a key was changed of a row that another transaction has written meanwhile';
    return new UnsupportedWriteError(
      this.table.root.className,
      'it changed the key of a row that another transaction has written meanwhile, and which it was is not known',
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

interface Found {
  readonly found: BeforeImages | undefined;
  readonly former: readonly (string | null)[] | undefined;
}

function takeFormer(row: Row): readonly (string | null)[] | undefined {
  const former = row[FORMER];
  delete row[FORMER];
  return typeof former === 'string' ? readRecord(former) : undefined;
}
