import type { EntityManager, MikroORM } from '@mikro-orm/postgresql';
import fc from 'fast-check';
import type { Draft, Model } from './model.ts';
import { ENTITIES, type Row, rowName, type Table } from './rows.ts';

/** How one step of a transaction writes. Together they are every way in which MikroORM can. */
const WAYS = ['insert', 'flush', 'update', 'upsert', 'upsert-many', 'update-many', 'delete', 'delete-many', 'replace', 'remove', 'bulk', 'taken-back'] as const; // prettier-ignore

export interface Step {
  readonly way: (typeof WAYS)[number];
  readonly table: Table;
  /** Which of a lane's keys. */
  readonly key: number;
  readonly value: number;
  /** Its first application on the replica fails. */
  readonly flaky: boolean;
}

export interface Transaction {
  readonly steps: readonly Step[];
  readonly end: 'commit' | 'rollback';
  /** How long the application thinks in the middle, with its locks held. */
  readonly thinksMs: number;
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  way: fc.constantFrom(...WAYS),
  table: fc.constantFrom<Table[]>('plain', 'watched'),
  key: fc.nat(9),
  value: fc.nat(999_999),
  flaky: fc.integer({ min: 0, max: 15 }).map((number) => number === 0),
});

export const transaction: fc.Arbitrary<Transaction> = fc.record({
  steps: fc.array(anyStep, { minLength: 1, maxLength: 5 }),
  end: fc.constantFrom('commit', 'commit', 'commit', 'commit', 'rollback'),
  thinksMs: fc.constantFrom(0, 0, 0, 5, 30),
});

/** What became of transactions. */
export interface Tally {
  committed: number;
  rolledBack: number;
  /** Ended by an error before they asked to commit. */
  failed: number;
  /** The COMMIT had no answer. */
  doubtful: number;
}

class Unwanted extends Error {}

/** Runs a transaction on these keys and tells the model what it came to. */
export async function run(
  orm: MikroORM,
  model: Model,
  { steps, end, thinksMs }: Transaction,
  ids: readonly number[],
  tally: Tally,
): Promise<void> {
  const draft = model.draft();
  let committing = false;
  try {
    await orm.em.fork().transactional(async (em) => {
      for (const [index, one] of steps.entries()) {
        await take(em, draft, one, ids, model);
        if (index === 0 && thinksMs > 0) await new Promise((resolve) => setTimeout(resolve, thinksMs));
      }
      if (end === 'rollback') throw new Unwanted();
      // Every flush is behind us; what fails from here on may have been committed.
      await em.flush();
      committing = true;
    });
    model.commit(draft);
    tally.committed++;
  } catch (error) {
    if (error instanceof Unwanted) tally.rolledBack++;
    else if (!committing) tally.failed++;
    else {
      tally.doubtful++;
      model.doubt([undefined, draft]);
    }
  }
}

async function take(em: EntityManager, draft: Draft, step: Step, ids: readonly number[], model: Model): Promise<void> {
  const { table, way, value } = step;
  const entity = ENTITIES[table];
  const free = ids.filter((id) => model.isKnown(rowName({ table, id })));
  const id = free[step.key % free.length];
  if (id === undefined) return;
  const text = step.flaky ? 'flaky' : way;
  const row: Row = { table, id, value, text };
  const exists = draft.get(rowName(row)) !== undefined;
  const several = free.slice(0, 1 + (step.key % 4));
  const existing = several.filter((one) => draft.get(rowName({ table, id: one })) !== undefined);
  const removeAll = (): void => several.forEach((one) => draft.remove(rowName({ table, id: one })));
  const data = { value, text };
  switch (exists || way === 'upsert-many' || way === 'bulk' || way === 'taken-back' ? way : 'insert') {
    case 'insert':
      if (exists) await em.nativeUpdate(entity, { id }, data);
      else await em.insert(entity, { id, ...data });
      return draft.set(row);
    case 'flush': {
      const found = await em.findOneOrFail(entity, id, { refresh: true });
      em.assign(found, data);
      await em.flush();
      return draft.set(row);
    }
    case 'update':
      await em.nativeUpdate(entity, { id }, data);
      return draft.set(row);
    case 'upsert':
      await em.upsert(entity, { id, ...data });
      return draft.set(row);
    case 'upsert-many':
      await em.upsertMany(
        entity,
        several.map((one) => ({ id: one, ...data })),
      );
      return several.forEach((one) => draft.set({ ...row, id: one }));
    case 'update-many':
      await em.nativeUpdate(entity, { id: { $in: several } }, data);
      return existing.forEach((one) => draft.set({ ...row, id: one }));
    case 'bulk':
      await entity.cqrs(em).bulkUpsert(several.map((one) => ({ id: one, ...data })) as never);
      return several.forEach((one) => draft.set({ ...row, id: one }));
    case 'delete':
      await em.nativeDelete(entity, { id });
      return draft.remove(rowName(row));
    case 'delete-many':
      await entity.cqrs(em).bulkDelete({ id: { $in: several } } as never);
      return removeAll();
    case 'remove':
      em.remove(await em.findOneOrFail(entity, id, { refresh: true }));
      await em.flush();
      return draft.remove(rowName(row));
    case 'replace':
      await em.nativeDelete(entity, { id });
      await em.insert(entity, { id, ...data });
      return draft.set(row);
    case 'taken-back':
      // A savepoint that is rolled back, in a transaction that goes on.
      return em
        .transactional(async (inner) => {
          await inner.upsert(entity, { id, ...data });
          throw new Unwanted();
        })
        .catch((error: unknown) => {
          if (!(error instanceof Unwanted)) throw error;
        });
  }
}
