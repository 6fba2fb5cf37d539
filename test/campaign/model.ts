import { expectedText, type Row, rowName, type Tables } from './rows.ts';

/** A transaction whose COMMIT was never answered: either all of it happened, or nothing. */
interface Doubt {
  readonly keys: readonly string[];
  /** What these keys are then, one possibility a row. */
  readonly possible: readonly ReadonlyMap<string, string | undefined>[];
}

/** What the master's tables hold: a plain map, and the transactions nobody knows the end of. */
export class Model {
  readonly #rows = new Map<string, Row>();
  readonly #doubts: Doubt[] = [];
  readonly #doubtful = new Set<string>();

  /** Keys that may be written: nobody can say what a write on top of an unknown state comes to. */
  isKnown(name: string): boolean {
    return !this.#doubtful.has(name);
  }

  get(name: string): Row | undefined {
    return this.#rows.get(name);
  }

  /** A copy to work on; nothing counts until `commit`. */
  draft(): Draft {
    return new Draft(this);
  }

  commit(draft: Draft): void {
    for (const [name, row] of draft.changes) {
      if (row) this.#rows.set(name, row);
      else this.#rows.delete(name);
    }
  }

  /** One of several ends, none of which is known. `undefined` among the drafts: nothing happened. */
  doubt(drafts: readonly (Draft | undefined)[]): void {
    const keys = [...new Set(drafts.flatMap((draft) => [...(draft?.changes.keys() ?? [])]))];
    const possible = drafts.map(
      (draft) =>
        new Map(keys.map((key) => [key, text(draft?.changes.has(key) ? draft.changes.get(key) : this.get(key))])),
    );
    this.#doubts.push({ keys, possible });
    for (const key of keys) this.#doubtful.add(key);
  }

  /** Where the real rows are not what was committed, or show half a transaction. */
  differences(real: Tables): string[] {
    const known = [...new Set([...this.#rows.keys(), ...real.keys()])].filter((name) => this.isKnown(name));
    const wrong = known.filter((name) => real.get(name) !== text(this.#rows.get(name)));
    const torn = this.#doubts.filter(
      ({ keys, possible }) => !possible.some((rows) => keys.every((key) => rows.get(key) === real.get(key))),
    );
    return [
      ...wrong.map((name) => `${name}: master has ${real.get(name)}, committed was ${text(this.#rows.get(name))}`),
      ...torn.map(({ keys }) => `half a transaction: ${keys.map((key) => `${key} = ${real.get(key)}`).join(', ')}`),
    ];
  }
}

/** What one transaction comes to if it commits. */
export class Draft {
  readonly changes = new Map<string, Row | undefined>();

  constructor(private readonly model: Model) {}

  get(name: string): Row | undefined {
    return this.changes.has(name) ? this.changes.get(name) : this.model.get(name);
  }

  set(row: Row): void {
    this.changes.set(rowName(row), row);
  }

  remove(name: string): void {
    if (this.get(name) !== undefined) this.changes.set(name, undefined);
  }
}

const text = (row: Row | undefined): string | undefined => row && expectedText(row);
