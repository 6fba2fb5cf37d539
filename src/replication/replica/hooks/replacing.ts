import { type EntityManager, type EntityProperty, wrap } from '@mikro-orm/core';
import { toError } from '../../../kernel/describe-error.js';
import { classifyDatabaseError } from '../rows/database-errors.js';
import type { Prepared } from '../prepare.js';
import type { CreateContext } from '../definition/replica-hooks.js';
import type { ReplicaDefinition } from '../definition/replica-definition.js';
import { keyCondition } from '../definition/row-keys.js';
import { SqlSession } from '../rows/sql-session.js';

/**
 * A new incarnation of a row through the methods of its class:
 *
 *   cqrsDelete, replaced: true ─▶ what no message fills begins anew (SAVE) ─▶ cqrsCreate ─▶ its entity as an UPDATE
 *
 * The row stays where it is, and foreign keys go on pointing to it. Where a hook has deleted it, the entity is inserted;
 * where `cqrsCreate` makes nothing, the row goes.
 */
export async function replaceRow(
  em: EntityManager,
  definition: ReplicaDefinition,
  message: Prepared,
  { farewell, context }: { farewell: () => Promise<void>; context: CreateContext },
): Promise<object | undefined> {
  try {
    await farewell();
    await em.flush();
  } catch (error) {
    // No wait helps: the rows that point to it are right.
    if (classifyDatabaseError(error) === 'foreign-key-missing') throw new StillReferenced(toError(error));
    throw error;
  }
  em.clear();
  const session = new SqlSession(em);
  const table = definition.table!;
  const { parts } = message.key;
  if (!context.sync) await session.run(table.resetRow(parts, message.row?.columns ?? []));
  const former = (await session.run(table.placeOf(parts)))[0]?.['place'];
  const answer = await definition.statics.cqrsCreate(em, context);
  const answered = answer instanceof definition.entity && isRowOf(em, definition, message, answer);
  const created = answered ? answer : persisted(em, definition, message);
  if (answer instanceof definition.entity && !answered) em.persist(answer);
  if (created && former !== undefined) takeAsStored(em, definition, created, context.sync ? message : undefined);
  else if (created) em.persist(created);
  await em.flush();
  if (created || former === undefined) return created;
  if ((await session.run(table.placeOf(parts)))[0]?.['place'] === former) await session.run(table.deleteRows([parts]));
  return undefined;
}

/** A hook has deleted a row that is to be replaced, and that others point to. */
export class StillReferenced extends Error {
  override readonly name = 'StillReferenced';

  constructor(readonly error: Error) {
    super('A row that is replaced was deleted, and others point to it.', { cause: error });
  }
}

/** What a hook has persisted and not answered with. */
function persisted(em: EntityManager, definition: ReplicaDefinition, message: Prepared): object | undefined {
  return [...em.getUnitOfWork().getPersistStack()].find((entity) => isRowOf(em, definition, message, entity));
}

/** Whether an entity is the row that a message is about. */
export function isRowOf(em: EntityManager, definition: ReplicaDefinition, { key }: Prepared, entity: object): boolean {
  if (!(entity instanceof definition.entity)) return false;
  const wanted = Object.entries(keyCondition(definition, key, em.getPlatform()));
  return wanted.every(([name, value]) => String(Reflect.get(entity, name)) === String(value));
}

/**
 * Has MikroORM take an entity for one that is stored, of which nothing is known but its key: all else is to be updated.
 * @param keeping a SYNC, which leaves alone what the entity has by default only.
 */
function takeAsStored(
  em: EntityManager,
  { meta }: ReplicaDefinition,
  entity: object,
  keeping: Prepared | undefined,
): void {
  for (const { name, onCreate } of meta.props) {
    if (onCreate && Reflect.get(entity, name) == null) Reflect.set(entity, name, onCreate(entity as never, em));
  }
  em.getUnitOfWork().merge(entity as never);
  const helper = wrap(entity, true) as unknown as { __originalEntityData: Record<string, unknown> };
  const filled = new Set(keeping?.row?.columns.map(({ property }) => property.name as string));
  const isKnown = ({ name, primary, default: byDefault }: EntityProperty): boolean =>
    primary === true || (keeping !== undefined && !filled.has(name) && Reflect.get(entity, name) === byDefault);
  const known = new Set<string>(meta.props.filter(isKnown).map(({ name }) => name));
  helper.__originalEntityData = Object.fromEntries(
    Object.entries(helper.__originalEntityData).filter(([name]) => known.has(name)),
  );
}
