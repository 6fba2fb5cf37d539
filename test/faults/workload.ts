import type { EntityManager, MikroORM } from '@mikro-orm/postgresql';
import { Plain, Watched } from './scene.ts';

/** One round of writes: its keys begin at `base`, its values follow from the seed. */
export interface Round {
  readonly base: number;
  readonly round: number;
  readonly seed: number;
}

/** A small generator of our own, so that a seed means the same in every run. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** The keys that end as dead letters: two a round. */
export function poisonKeys({ base, round }: Pick<Round, 'base' | 'round'>): number[] {
  return [base + 40 + round * 2, base + 41 + round * 2];
}

/**
 * Creates, changes, deletes and creates again, in transactions of their own; two rows fail once on the replica, two for
 * ever. Answers how many of the transactions were refused: a fault may refuse one, and the application goes on.
 */
export async function write(orm: MikroORM, { base, round, seed }: Round): Promise<{ refused: number }> {
  const random = generator(seed + round);
  // Rounds share no keys: what the first one loses, the second must not mend.
  const keys = [1, 2, 3, 4, 5].map((offset) => base + round * 5 + offset);
  const value = (): number => random(1_000_000);
  const one = (): number => keys[random(keys.length)]!;
  const steps: ((em: EntityManager) => Promise<unknown>)[] = [
    (em) =>
      em.upsertMany(
        Plain,
        keys.map((id) => ({ id, value: value(), text: 'new' })),
      ),
    (em) =>
      em.upsertMany(
        Watched,
        keys.map((id) => ({ id, value: value(), text: 'new' })),
      ),
    ...[20, 21].map(
      (offset) => (em: EntityManager) =>
        em.insert(Watched, { id: base + offset + round * 2, value: value(), text: 'flaky' }),
    ),
    ...poisonKeys({ base, round }).map(
      (id) => (em: EntityManager) => em.insert(Watched, { id, value: value(), text: 'poison' }),
    ),
    ...[Plain, Watched].flatMap((entity) => [
      (em: EntityManager) => em.nativeUpdate(entity, { id: one() }, { value: value() }),
      (em: EntityManager) => em.nativeDelete(entity, { id: one() }),
      (em: EntityManager) => em.upsert(entity, { id: one(), value: value(), text: 'again' }),
      async (em: EntityManager) => {
        const id = one();
        await em.nativeDelete(entity, { id });
        await em.insert(entity, { id, value: value(), text: 'replaced' });
      },
      (em: EntityManager) => em.nativeUpdate(entity, { id: { $in: keys } }, { value: value() }),
      (em: EntityManager) => em.nativeDelete(entity, { id: one() }),
    ]),
  ];
  let refused = 0;
  for (const [index, step] of steps.entries()) {
    try {
      await orm.em.fork().transactional(async (em) => {
        await step(em);
        // Never written again: a later message cannot make up for the one that is lost.
        await em.insert(index % 2 ? Plain : Watched, {
          id: base + 25 + round * 25 + index,
          value: value(),
          text: 'once',
        });
      });
    } catch {
      refused++;
    }
  }
  return { refused };
}
