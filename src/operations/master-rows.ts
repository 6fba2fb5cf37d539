import { comparedValue } from '../wire/exact-texts.js';
import { quoted } from '../postgres/identifiers.js';
import { parseJson, type WireObject, type WireValue } from '../wire/values.js';
import { forkInside, hydrate, populate } from '../replication/master/definition/hydrate.js';
import {
  type MasterDefinition,
  needsEntity,
  INCARNATION,
  type RowImage,
} from '../replication/master/definition/master-table.js';
import { instanceJson, textsJson } from '../replication/master/announce/serializer.js';
import type { TransactionContext } from '../replication/master/mikro-orm-internals.js';
import type { Cqrs } from '../cqrs.js';
import { amongKeys, keyArrays, keyTypes } from '../replication/compare/find-rows.js';
import type { KeyedTable } from '../replication/compare/keyed-table.js';
import { masterTable } from './keyed-table.js';
import type { Snapshot } from './snapshot.js';

/** A row of a master as it would be sent. */
export interface MasterRow {
  readonly key: readonly string[];
  readonly image: RowImage;
  /** Its instance data as JSON, with `cqrs_revision` and `cqrs_updated`. Rejects with what a serializer throws. */
  data(): Promise<string>;
  /** PostgreSQL's texts of the columns whose JSON says less, as they are sent beside it. */
  texts(): string | undefined;
  /** The same data, so that they can be compared: nothing looks like what it is not. */
  content(): Promise<WireObject>;
}

/** Rows of one master inside a snapshot: those that replicas are to have, with what is sent about them. */
export class MasterRows {
  readonly table: KeyedTable;
  readonly #definition: MasterDefinition;
  readonly #em: ReturnType<typeof forkInside>;
  readonly #cqrs: Cqrs;
  readonly #snapshot: Snapshot;
  #types?: Promise<string[]>;

  /** @throws UnknownCqrsIdError */
  constructor(cqrs: Cqrs, snapshot: Snapshot, cqrsId: string) {
    this.table = masterTable(cqrs, cqrsId);
    this.#definition = cqrs.masters.get(cqrsId);
    this.#cqrs = cqrs;
    this.#snapshot = snapshot;
    this.#em = snapshot.em;
  }

  /** Whether a row must be looked at to know if replicas are to have it: a filter, or a table shared with others. */
  get isSelective(): boolean {
    return (
      this.#definition.hooks.isSyncInstance !== undefined ||
      this.#definition.meta.root.discriminatorColumn !== undefined
    );
  }

  incarnation(image: RowImage): string | null {
    return this.#definition.table.value(image, INCARNATION);
  }

  /** Those of the keys that have a row which replicas are to have, in the order of the keys in the table. */
  async find(keys: readonly (readonly string[])[]): Promise<MasterRow[]> {
    const { table } = this.#definition;
    const images = (await this.#read(keys)).filter((image) => this.#belongs(image));
    const entities = await this.#entities(images);
    return images.map((image, index) => {
      const data = async (): Promise<string> =>
        instanceJson({ definition: this.#definition, row: image, entity: entities[index] });
      return {
        key: table.keyValues(image),
        image,
        data,
        texts: () => textsJson({ definition: this.#definition, row: image }),
        content: async () => Object.assign(parseJson(await data()) as WireObject, this.#compared(image)),
      };
    });
  }

  #compared(image: RowImage): WireObject {
    const { announced, serializer } = this.#definition;
    const columns = serializer ? [] : announced.filter(({ mayLose, type }) => mayLose || BLANK_PADDED.test(type));
    return Object.fromEntries(
      columns.map(({ wire, kind, type, position }): [string, WireValue] => {
        const text = image[position]!;
        return [wire, comparedValue(kind, BLANK_PADDED.test(type) ? (text?.replace(/ +$/, '') ?? null) : text)];
      }),
    );
  }

  async #read(keys: readonly (readonly string[])[]): Promise<RowImage[]> {
    if (keys.length === 0) return [];
    const { table } = this.#definition;
    const types = await (this.#types ??= keyTypes(this.#snapshot.session, this.table));
    const fields = table.keyColumns.map(({ field }) => quoted(field)).join(', ');
    const rows = await this.#snapshot.session.run({
      text: `select ${table.returning} from ${this.table.name} where ${amongKeys(table, types)} order by ${fields}`,
      parameters: keyArrays(keys, types),
    });
    return rows.map((row) => table.takeImage(row));
  }

  #belongs(image: RowImage): boolean {
    const definition = this.#definition;
    if ((definition.table.definitionOf(image) ?? definition) !== definition) return false;
    const filter = definition.hooks.isSyncInstance;
    return !filter || filter(hydrate(this.#fork(), definition, image));
  }

  async #entities(images: readonly RowImage[]): Promise<readonly (object | undefined)[]> {
    const definition = this.#definition;
    if (!needsEntity(definition)) return images.map(() => undefined);
    const em = this.#fork();
    const entities = images.map((image) => hydrate(em, definition, image));
    await populate(em, definition, entities);
    return entities;
  }

  #fork(): ReturnType<typeof forkInside> {
    return forkInside(this.#cqrs.orm, this.#em.getTransactionContext() as TransactionContext);
  }
}

// Its blanks at the end mean nothing, and are not in its text as replicas read it.
const BLANK_PADDED = /^bpchar$/i;
