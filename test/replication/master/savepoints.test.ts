import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p, RequestContext, type SqlEntityManager } from '@mikro-orm/postgresql';
import { UnsupportedWriteError } from '../../../src/kernel/errors.js';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { expectKept } from '../../support/kept.js';
import { type MasterService, masterService } from '../../support/master-service.js';

/**
 * A savepoint belongs to the connection. Whatever EntityManager, builder or text has opened, released or rolled one back,
 * what PostgreSQL has kept is what is announced: the table is the oracle.
 */
const ItemSchema = defineEntity({
  name: 'Item',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), v: p.integer() },
});
class Item extends masterClass(ItemSchema) {
  static override CQRS_ID = 'item';
  static override CQRS_TRACKED_FIELDS = ['v'] as const;
}
ItemSchema.setClass(Item);

let service: MasterService;
beforeAll(async () => {
  service = await masterService([Item]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.cqrs.withoutReplication(async () => {
    await fork().nativeDelete(Item, {});
    await fork().insertMany(
      Item,
      Array.from({ length: 10 }, (_, id) => ({ id, v: 0 })),
    );
  });
});
type Em = SqlEntityManager;
const fork = (): Em => service.orm.em.fork() as Em;
const set = (em: Em, id: number, v: number): Promise<unknown> => em.nativeUpdate(Item, { id }, { v });
const fails = (): never => {
  throw new Error('rolled back');
};
const swallow = (work: Promise<unknown>): Promise<unknown> => work.catch(() => {});
const flush = async (em: Em, ids: number[], v: number): Promise<void> => {
  for (const item of await em.find(Item, ids, { refresh: true })) item.v = v;
  await em.flush();
};

// claims: savepoints
describe('what PostgreSQL keeps is what is announced', () => {
  test.each<[string, (em: Em) => Promise<unknown>, string[]]>([
    [
      'the outer EntityManager writes last in a nested transaction',
      (em) =>
        em.transactional(async (inner) => {
          await set(inner as Em, 1, 1);
          await set(em, 1, 2);
        }),
      ['SAVE 1'],
    ],
    [
      'the inner one deletes, the outer one inserts',
      (em) =>
        em.transactional(async (inner) => {
          await inner.nativeDelete(Item, { id: 2 });
          await em.insert(Item, { id: 2, v: 22 });
        }),
      ['SAVE 2'],
    ],
    [
      'the outer one inserts in a nested transaction that is rolled back',
      (em) =>
        swallow(
          em.transactional(async () => {
            await em.insert(Item, { id: 99, v: 1 });
            fails();
          }),
        ),
      [],
    ],
    [
      'the outer one changes what the inner one has changed, and the inner one is rolled back',
      async (em) => {
        await set(em, 1, 1);
        await swallow(
          em.transactional(async (inner) => {
            await set(inner as Em, 1, 2);
            await set(em, 2, 3);
            fails();
          }),
        );
        await set(em, 3, 4);
      },
      ['SAVE 1', 'SAVE 3'],
    ],
    [
      'changed before and after a rolled-back savepoint: one step',
      async (em) => {
        await em.nativeUpdate(Item, {}, { v: 1 });
        await swallow(
          em.transactional(async (inner) => {
            await inner.nativeUpdate(Item, {}, { v: 2 });
            fails();
          }),
        );
        await em.nativeUpdate(Item, { id: { $lt: 2 } }, { v: 3 });
      },
      Array.from({ length: 10 }, (_, id) => `SAVE ${id}`),
    ],
    [
      'nested transactions at once, one of them fails',
      (em) =>
        Promise.all(
          [3, 4, 5].map((id) =>
            swallow(
              em.transactional(async (inner) => {
                await flush(inner as Em, [id], 50 + id);
                if (id === 4) fails();
              }),
            ),
          ),
        ),
      undefined as never, // whose savepoint is rolled back is a matter of their order
    ],
    [
      'one deletes and inserts a row again, another one beside it is rolled back',
      (em) =>
        Promise.all([
          em.transactional(async (inner) => {
            await inner.nativeDelete(Item, { id: 6 });
            await inner.insert(Item, { id: 6, v: 66 });
          }),
          swallow(
            em.transactional(async (inner) => {
              await set(inner as Em, 7, 7);
              fails();
            }),
          ),
        ]),
      undefined as never,
    ],
    [
      'savepoints as SQL, released, rolled back and with one name',
      async (em) => {
        await em.execute('savepoint a');
        await set(em, 1, 1);
        await em.execute('savepoint a');
        await set(em, 2, 1);
        await em.execute('rollback to savepoint a');
        await set(em, 3, 1);
        await em.execute('release a');
        await em.execute('  /* a comment */ SAVEPOINT "B"');
        await set(em, 4, 1);
        await em.execute('ROLLBACK WORK TO "B"');
        await em.execute('savepoint c; savepoint d');
        await set(em, 5, 1);
        await em.execute('rollback to c');
      },
      ['SAVE 1', 'SAVE 3'],
    ],
    [
      'a nested transaction around savepoints as SQL',
      (em) =>
        swallow(
          em.transactional(async (inner) => {
            await inner.execute('savepoint a');
            await set(inner as Em, 1, 1);
            await inner.execute('release savepoint a');
            fails();
          }),
        ),
      [],
    ],
    [
      'an error that is swallowed inside fails the release, and all of it is undone',
      async (em) => {
        await set(em, 1, 1);
        await swallow(
          em.transactional(async (inner) => {
            await set(inner as Em, 2, 1);
            await swallow(inner.insert(Item, { id: 1, v: 9 }));
          }),
        );
        await set(em, 3, 1);
      },
      ['SAVE 1', 'SAVE 3'],
    ],
    [
      'rows of a savepoint that is rolled back, written again',
      async (em) => {
        await swallow(
          em.transactional(async (inner) => {
            await flush(inner as Em, [1, 2, 3], 7);
            await inner.nativeDelete(Item, { id: 4 });
            await inner.insert(Item, { id: 50, v: 7 });
            fails();
          }),
        );
        await flush(em, [2, 3, 4], 8);
        await em.insert(Item, { id: 50, v: 8 });
      },
      ['SAVE 2', 'SAVE 3', 'SAVE 4', 'SAVE 50'],
    ],
    [
      'a savepoint in a savepoint in a savepoint',
      (em) =>
        em.transactional(async (one) => {
          await set(one as Em, 1, 1);
          await swallow(
            one.transactional(async (two) => {
              await set(two as Em, 2, 1);
              await two.transactional(async (three) => {
                await set(three as Em, 3, 1);
                await set(em, 1, 3);
              });
              fails();
            }),
          );
          await set(em, 4, 1);
        }),
      ['SAVE 1', 'SAVE 4'],
    ],
  ])('%s', async (_, work, expected) => {
    const told = await expectKept(service, 'item', () => fork().transactional((em) => work(em as Em)));
    if (expected) expect(told.toSorted()).toEqual(expected);
  });

  test('with begin, commit and rollback by hand', async () => {
    expect(
      await expectKept(service, 'item', async () => {
        const em = fork();
        await em.begin();
        await set(em, 1, 1);
        await swallow(
          em.transactional(async (inner) => {
            await set(inner as Em, 2, 1);
            fails();
          }),
        );
        await set(em, 3, 1);
        await em.commit();
      }),
    ).toEqual(['SAVE 1', 'SAVE 3']);
    await expectKept(service, 'item', async () => {
      const em = fork();
      await em.begin();
      await set(em, 1, 2);
      await em.rollback();
    });
  });

  test('with the global EntityManager in a request', async () => {
    await expectKept(service, 'item', () =>
      RequestContext.create(service.orm.em, async () => {
        const { em } = service.orm;
        await em.transactional(async () => {
          await swallow(
            em.transactional(async () => {
              await em.insert(Item, { id: 98, v: 1 });
              fails();
            }),
          );
          await em.insert(Item, { id: 97, v: 1 });
        });
      }),
    );
  });

  test('previous values are those before the transaction, not those of a savepoint that is gone', async () => {
    await service.take();
    await fork().transactional(async (em) => {
      await swallow(
        em.transactional(async (inner) => {
          await set(inner as Em, 1, 5);
          fails();
        }),
      );
      await set(em as Em, 1, 6);
      await set(em as Em, 1, 7);
    });
    expect((await service.take()).map(({ data, previous }) => [data['v'], previous])).toEqual([[7, { v: 0 }]]);
  });
});

describe("a transaction that is ended by SQL of the user's own", () => {
  test.each(['commit', 'END', '/* done */ commit work', 'select 1; commit', "prepare transaction 'x'"])(
    '%s is refused while changes wait, and nothing is kept',
    async (text) => {
      let refused: unknown;
      await expectKept(service, 'item', () =>
        fork().transactional(async (em) => {
          await set(em as Em, 1, 1);
          await em.execute(text).catch((error: unknown) => {
            refused = error;
            throw error;
          });
        }),
      );
      expect(refused).toBeInstanceOf(UnsupportedWriteError);
      expect(String(refused)).toMatch(/would end the transaction before its messages are written.*em\.commit\(\)/);
    },
  );

  test('rollback forgets what was written, and what follows is refused: it would be on its own', async () => {
    let refused: unknown;
    await expectKept(service, 'item', () =>
      fork().transactional(async (em) => {
        await set(em as Em, 1, 1);
        await em.execute('rollback');
        await set(em as Em, 2, 1).catch((error: unknown) => (refused = error));
      }),
    );
    expect(refused).toBeInstanceOf(UnsupportedWriteError);
    expect(String(refused)).toMatch(/ended by ROLLBACK as SQL of your own/);
  });

  test('rollback and chain begins the next one', async () => {
    expect(
      await expectKept(service, 'item', () =>
        fork().transactional(async (em) => {
          await set(em as Em, 1, 1);
          await em.execute('rollback and chain');
          await set(em as Em, 2, 1);
        }),
      ),
    ).toEqual(['SAVE 2']);
  });

  test('a text of several savepoints that fails half-way leaves it unknown what was kept: the commit is refused', async () => {
    let refused: unknown;
    await expectKept(service, 'item', () =>
      fork()
        .transactional(async (em) => {
          await em.execute('savepoint a');
          await set(em as Em, 1, 1);
          await swallow(em.execute('savepoint b; savepoint c; no sql'));
          await em.execute('rollback to a');
          await set(em as Em, 2, 1);
        })
        .catch((error: unknown) => (refused = error)),
    );
    expect(refused).toBeInstanceOf(UnsupportedWriteError);
    expect(String(refused)).toMatch(/which writes the transaction has kept/);
  });
});
