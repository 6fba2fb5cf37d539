import { type EntityManager, type EntityMetadata, LockMode, wrap } from '@mikro-orm/core';
import type { Prepared } from '../prepare.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import type { Decision } from '../rules/revision-rules.js';
import { keyCondition } from '../definition/row-keys.js';
import { toEntity, type WholeRows } from './whole-rows.js';

export type Writing = Exclude<Decision, { reason: string }>;

/** A message and what the rules have decided about it. */
export interface Decided {
  readonly message: Prepared;
  readonly decision: Writing;
}

/** The entities of messages that share an EntityManager, and a watch over what their hooks do to it. */
export class Together {
  readonly #own: EntityMetadata;
  readonly #others: readonly EntityMetadata[];
  #cleared = false;

  private constructor(
    private readonly em: EntityManager,
    private readonly definition: ReplicaDefinition,
    private readonly entities: ReadonlyMap<Prepared, object>,
    /** Messages that make rows. */
    private readonly creating: number,
  ) {
    this.#own = definition.meta.root;
    this.#others = [...new Set([...em.getMetadata().getAll().values()].map((meta) => meta.root))].filter(
      (meta) => meta !== this.#own,
    );
    const clear = em.clear.bind(em);
    em.clear = () => {
      this.#cleared = true;
      clear();
    };
  }

  /** Has the entities of the rows to be updated ready. @param rows read already, and used up here; else one query reads them. */
  static async load(
    em: EntityManager,
    definition: ReplicaDefinition,
    run: readonly Decided[],
    rows?: WholeRows,
  ): Promise<Together> {
    const updates = run.filter(({ decision }) => decision.action === 'update').map(({ message }) => message);
    const entities = new Map<Prepared, object>();
    if (rows) {
      for (const message of updates) {
        const row = rows.get(message.key.text);
        if (row) entities.set(message, toEntity(em, definition, row));
      }
      // Nobody needs them any more; what lives on is copied by the garbage collector.
      rows.clear();
      await em.getUnitOfWork().dispatchOnLoadEvent();
    } else if (updates.length > 0) {
      await find(em, definition, updates, entities);
    }
    return new Together(em, definition, entities, run.length - updates.length);
  }

  /** The entity of a message's row; undefined when it is not at hand. */
  entityOf(message: Prepared): object | undefined {
    return this.entities.get(message);
  }

  /** Whether anything is loaded that belongs to no message. A reference alone is not. */
  hasReadOthers(): boolean {
    const loaded = this.em.getUnitOfWork().getIdentityMap();
    const own = loaded.getStore(this.#own);
    const expected = this.entities.size + this.creating;
    if (own.size > expected && countInitialized(own.values()) > expected) return true;
    return this.#others.some((meta) => countInitialized(loaded.getStore(meta).values()) > 0);
  }

  /** @throws Error when a hook has cleared the EntityManager, and with it what the hooks before it have changed. */
  check(): void {
    if (this.#cleared) throw new Error('A hook has cleared the EntityManager that it shared.');
  }
}

async function find(
  em: EntityManager,
  definition: ReplicaDefinition,
  messages: readonly Prepared[],
  entities: Map<Prepared, object>,
): Promise<void> {
  const keys = messages.map(({ key }) => keyCondition(definition, key, em.getPlatform()));
  const [property, ...more] = Object.keys(keys[0]!);
  const where = more.length === 0 ? { [property!]: { $in: keys.map((key) => key[property!]) } } : { $or: keys };
  await em.find(definition.entity as never, where as never, { filters: false, ...lockOf(definition) });
  for (const [index, message] of messages.entries()) {
    const parts = Object.values(keys[index]!);
    const entity: object | undefined = em
      .getUnitOfWork()
      .getById(definition.entity as never, (parts.length === 1 ? parts[0] : parts) as never);
    if (entity) entities.set(message, entity);
  }
}

function countInitialized(entities: Iterable<object>): number {
  let count = 0;
  for (const entity of entities) if (wrap(entity).isInitialized()) count++;
  return count;
}

export function lockOf({ statics }: ReplicaDefinition): { lockMode?: LockMode.PESSIMISTIC_WRITE } {
  return statics.CQRS_SELECT_FOR_UPDATE ? { lockMode: LockMode.PESSIMISTIC_WRITE } : {};
}
