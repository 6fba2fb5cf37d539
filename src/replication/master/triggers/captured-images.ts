import type { NotedChange } from './captured-changes.js';
import { shapeOf } from './capture-triggers.js';
import type { MasterDefinition, MasterTable, RowImage } from '../definition/master-table.js';
import type { PendingChange } from '../capture/pending-changes.js';
import { readRecord } from '../definition/record-text.js';

/**
 * What a trigger has noted → the change as driver capture would have seen it. Images say which columns they have: those that
 * were noted before a migration, or by triggers of another release, have others than this one reads. What it does not know
 * is left; what an image lacks does not travel in its message, and an entity made of it has no value there.
 */
export class CapturedImages {
  readonly #tables: ReadonlyMap<string, MasterTable>;
  readonly #shapes = new Map<string, Shape>();
  /** Of changes whose images lack columns, which. */
  readonly #lacking = new WeakMap<PendingChange, Shape>();

  constructor(
    tables: readonly MasterTable[],
    private readonly sqlNameOf: (table: MasterTable) => string,
  ) {
    this.#tables = new Map(tables.map((table) => [table.name, table]));
  }

  changeOf({ source, existed, op, before, image, shape, context, createdAt }: NotedChange): CapturedChangeOfRow {
    const table = this.#tables.get(source)!;
    const known = this.#shape(table, shape);
    const row = known.read(image);
    const former = before === null ? undefined : known.read(before);
    const change: CapturedChangeOfRow = {
      table,
      sqlName: this.sqlNameOf(table),
      key: table.keyOf(row),
      existedBefore: existed,
      createdAt,
      context,
      ...(former ? { before: former } : {}),
      ...(op === 'S' ? { current: row } : { deleted: row }),
      ...(existed && former && table.changesKind(former, row) ? { formerKind: former } : {}),
    };
    if (known.lacks.size > 0) this.#lacking.set(change, known);
    return change;
  }

  /** The definition by which a message of this change is made: without the columns that its image lacks. */
  definitionFor(change: PendingChange): (definition: MasterDefinition) => MasterDefinition {
    const shape = this.#lacking.get(change);
    return shape ? (definition) => shape.without(definition) : (definition) => definition;
  }

  #shape(table: MasterTable, text: string): Shape {
    const id = `${table.name}\u0000${text}`;
    let shape = this.#shapes.get(id);
    if (!shape) this.#shapes.set(id, (shape = new Shape(table, text)));
    return shape;
  }
}

export interface CapturedChangeOfRow extends PendingChange {
  /** When the row was first written in its transaction. */
  readonly createdAt: string;
  /** What the transaction says of itself, as JSON. */
  readonly context: string | null;
}

/** The columns of some images, in their order. */
class Shape {
  /** Columns that these images do not have. */
  readonly lacks: ReadonlySet<string>;
  readonly #definitions = new Map<MasterDefinition, MasterDefinition>();
  /** Where each column of the table stands in an image; undefined: as the table has them. */
  readonly #places: readonly number[] | undefined;

  constructor(
    private readonly table: MasterTable,
    text: string,
  ) {
    const fields = JSON.parse(text) as string[];
    const wanted = table.readColumns.map(({ field }) => field);
    this.lacks = new Set(wanted.filter((field) => !fields.includes(field)));
    this.#places = text === shapeOf(table) ? undefined : wanted.map((field) => fields.indexOf(field));
  }

  read(text: string): RowImage {
    const values = readRecord(text);
    return this.table.inUtc(this.#places ? this.#places.map((place) => values[place]!) : values);
  }

  without(definition: MasterDefinition): MasterDefinition {
    let known = this.#definitions.get(definition);
    if (!known) {
      const has = ({ field }: { field: string }): boolean => !this.lacks.has(field);
      known = {
        ...definition,
        announced: definition.announced.filter(has),
        tracked: definition.tracked.filter(has),
      };
      this.#definitions.set(definition, known);
    }
    return known;
  }
}
