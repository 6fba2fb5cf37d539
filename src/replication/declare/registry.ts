import { UnknownCqrsIdError } from '../../kernel/errors.js';

/** What master and replica definitions have in common. */
export interface Definition {
  readonly cqrsId: string;
  /** The entity's class; for entities declared without one, the class that MikroORM made. */
  readonly entity: Function;
}

/** The masters, or the replicas, of one `Cqrs`: declared at start, never changed afterwards. */
export class Registry<D extends Definition> implements Iterable<D> {
  readonly #byId = new Map<string, D>();
  readonly #byEntity = new Map<Function, D>();

  /** Called while MikroORM discovers entities; duplicates have been reported before. */
  add(definition: D): void {
    this.#byId.set(definition.cqrsId, definition);
    this.#byEntity.set(definition.entity, definition);
  }

  /** The entity class declared under that `CQRS_ID`; undefined when this service has none. */
  getModelByCqrsId(cqrsId: string): Function | undefined {
    return this.#byId.get(cqrsId)?.entity;
  }

  find(cqrsId: string): D | undefined {
    return this.#byId.get(cqrsId);
  }

  /** @throws UnknownCqrsIdError when nothing is declared under that id. */
  get(cqrsId: string): D {
    const definition = this.#byId.get(cqrsId);
    if (!definition) throw new UnknownCqrsIdError(cqrsId, this.ids);
    return definition;
  }

  /** The definition of an entity's class, or of the nearest class it inherits from. */
  byEntity(entity: Function): D | undefined {
    for (let current: unknown = entity; typeof current === 'function'; current = Object.getPrototypeOf(current)) {
      const found = this.#byEntity.get(current);
      if (found) return found;
    }
    return undefined;
  }

  get ids(): string[] {
    return [...this.#byId.keys()];
  }

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): Iterator<D> {
    return this.#byId.values();
  }
}
