import { IsolationLevel, LockMode, TransactionPropagation } from '@mikro-orm/postgresql';
import type { Loose } from './entities.js';
import type { Way } from './observe.js';

/** Transactions, savepoints, locks, and what fails. */
export const WAYS_OF_TRANSACTIONS: Readonly<Record<string, Way>> = {
  'em.transactional': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        inner.create(Code, { code: 'n', value: 1 });
        await inner.nativeUpdate(Code, { code: 'a' }, { value: 2 });
        return 'done';
      }),
  },
  'em.transactional that throws': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        await inner.nativeDelete(Code, {});
        throw new RangeError('mine');
      }),
  },
  'begin and commit': {
    ownTransactions: true,
    run: async ({ em, Code }) => {
      await em.begin();
      em.create(Code, { code: 'n', value: 1 });
      await em.commit();
    },
  },
  'begin and rollback': {
    ownTransactions: true,
    run: async ({ em, Code }) => {
      await em.begin();
      em.create(Code, { code: 'n', value: 1 });
      await em.flush();
      await em.rollback();
      return em.fork().count(Code);
    },
  },
  'a nested transaction': {
    run: ({ em, Code }) =>
      em.transactional(async (outer: Loose) => {
        await outer.insert(Code, { code: 'o', value: 1 });
        await outer.transactional((inner: Loose) => inner.insert(Code, { code: 'i', value: 1 }));
      }),
  },
  'a nested transaction rolled back': {
    run: ({ em, Code }) =>
      em.transactional(async (outer: Loose) => {
        await outer.insert(Code, { code: 'o', value: 1 });
        await outer
          .transactional(async (inner: Loose) => {
            await inner.nativeUpdate(Code, {}, { value: 0 });
            throw new Error('inner');
          })
          .catch(() => {});
        return outer.find(Code, {}, { orderBy: { code: 1 } });
      }),
  },
  'a new transaction beside an open one': {
    ownTransactions: true,
    run: ({ em, Code }) =>
      em.transactional(async (outer: Loose) => {
        await outer.insert(Code, { code: 'o', value: 1 });
        await outer.transactional((inner: Loose) => inner.insert(Code, { code: 'i', value: 1 }), {
          propagation: TransactionPropagation.REQUIRES_NEW,
        });
      }),
  },
  isolation: {
    ownTransactions: true,
    run: ({ em, other, Code }) =>
      em.transactional(
        async (inner: Loose) => {
          const before = await inner.count(Code);
          await other().insert(Code, { code: 'n', value: 1 });
          return [await inner.execute('show transaction_isolation'), before, await inner.count(Code)];
        },
        { isolationLevel: IsolationLevel.REPEATABLE_READ },
      ),
  },
  'a conflict of serializable transactions': {
    ownTransactions: true,
    run: ({ em, other, Code }) =>
      em.transactional(
        async (inner: Loose) => {
          await inner.find(Code, {});
          await other().nativeUpdate(Code, { code: 'a' }, { value: 5 });
          await inner.nativeUpdate(Code, { code: 'a' }, { value: 6 });
        },
        { isolationLevel: IsolationLevel.REPEATABLE_READ },
      ),
  },
  'a read-only transaction that writes': {
    ownTransactions: true,
    run: ({ em, Code }) =>
      em.transactional((inner: Loose) => inner.nativeUpdate(Code, { code: 'a' }, { value: 6 }), { readOnly: true }),
  },
  'now() of a transaction': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        const [{ at }] = await inner.execute('select now()::text as at');
        await inner.nativeUpdate(Code, { code: 'a' }, { value: 1 });
        const [{ same }] = await inner.execute('select now()::text = ? as same', [at]);
        return same;
      }),
  },
  'settings of a transaction': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        await inner.execute(`set local statement_timeout = '4321ms'`);
        await inner.nativeUpdate(Code, { code: 'a' }, { value: 1 });
        return inner.execute('show statement_timeout');
      }),
  },
  'an optimistic lock held': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1, { lockMode: LockMode.OPTIMISTIC, lockVersion: 1 });
      author.name = 'held';
      await em.flush();
      return author.version;
    },
  },
  'an optimistic lock lost': {
    ownTransactions: true,
    run: async ({ em, other, Author }) => {
      const author = await em.findOneOrFail(Author, 1);
      await other().nativeUpdate(Author, { id: 1 }, { version: 7 });
      author.name = 'lost';
      await em.flush();
    },
  },
  'several optimistic locks, one lost': {
    ownTransactions: true,
    run: async ({ em, other, Author }) => {
      const authors = await em.find(Author, {});
      await other().nativeUpdate(Author, { id: 2 }, { version: 7 });
      for (const author of authors) author.name = 'lost';
      await em.flush();
    },
  },
  'a pessimistic lock': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        const code = await inner.findOneOrFail(Code, 'a', { lockMode: LockMode.PESSIMISTIC_WRITE });
        code.value = 3;
      }),
  },
  'em.lock': {
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        const code = await inner.findOneOrFail(Code, 'a');
        await inner.lock(code, LockMode.PESSIMISTIC_READ);
        await inner.nativeUpdate(Code, { code: 'b' }, { value: 1 });
      }),
  },
  'a changed row that is gone': {
    ownTransactions: true,
    run: async ({ em, other, Tag }) => {
      const tag = await em.findOneOrFail(Tag, 2);
      await other().nativeDelete(Tag, { id: 2 });
      tag.name = 'gone';
      await em.flush();
    },
  },
  'a unique violation of a flush': {
    run: async ({ em, Author }) => {
      em.create(Author, { name: 'x', email: 'ada@x' });
      await em.flush();
    },
  },
  'a unique violation of a flush of several': {
    run: async ({ em, Author }) => {
      for (const author of await em.find(Author, { id: [2, 3] })) author.email = 'ada@x';
      await em.flush();
    },
  },
  'a unique violation of em.insert': { run: ({ em, Code }) => em.insert(Code, { code: 'a', value: 1 }) },
  'a unique violation of em.insertMany': {
    run: ({ em, Code }) =>
      em.insertMany(Code, [
        { code: 'n', value: 1 },
        { code: 'a', value: 1 },
      ]),
  },
  'a unique violation of em.nativeUpdate': {
    run: ({ em, Author }) => em.nativeUpdate(Author, {}, { email: 'same@x' }),
  },
  'a unique violation of a builder': { run: ({ em, Code }) => em.qb(Code).insert({ code: 'a', value: 1 }).execute() },
  'a foreign key violation': { run: ({ em, Author }) => em.nativeDelete(Author, { id: 1 }) },
  'a NOT NULL violation': { run: ({ em, Code }) => em.nativeUpdate(Code, { code: 'a' }, { value: null }) },
  'a value of a wrong type': { run: ({ em, Code }) => em.nativeUpdate(Code, { code: 'a' }, { value: 'text' }) },
  'a missing required value': {
    run: async ({ em, Code }) => {
      em.create(Code, { code: 'x' });
      await em.flush();
    },
  },
  'an unknown property': { run: ({ em, Code }) => em.nativeUpdate(Code, { nothing: 1 }, { value: 1 }) },
  // PostgreSQL makes a ROLLBACK of the COMMIT, and MikroORM resolves though nothing is stored. Here the messages cannot be
  // stored, and that is told.
  'a failed statement that is caught within a transaction': {
    ownTransactions: true,
    refused: '25P02',
    run: ({ em, Code }) =>
      em.transactional(async (inner: Loose) => {
        await inner.insert(Code, { code: 'n', value: 1 });
        await inner.insert(Code, { code: 'a', value: 1 }).catch(() => {});
      }),
  },
  'a failed flush, and another one': {
    ownTransactions: true,
    run: async ({ em, Author }) => {
      const author = em.create(Author, { name: 'x', email: 'ada@x' });
      const failed = await em.flush().catch((error: Error) => error.constructor.name);
      author.email = 'free@x';
      await em.flush();
      return [failed, author];
    },
  },
  'a lock that is not had in time': {
    ownTransactions: true,
    run: async ({ em, other, Code }) => {
      const blocker = other();
      await blocker.begin();
      await blocker.nativeUpdate(Code, { code: 'a' }, { value: 1 });
      try {
        return await em.transactional(async (inner: Loose) => {
          await inner.execute(`set local lock_timeout = '50ms'`);
          await inner.nativeUpdate(Code, { code: 'a' }, { value: 2 });
        });
      } finally {
        await blocker.rollback();
      }
    },
  },
};
