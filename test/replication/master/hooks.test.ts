import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import type { MetaContext } from '../../../src/kernel/settings.js';
import { type MasterService, masterService } from '../../support/master-service.js';

const AuthorSchema = defineEntity({
  name: 'Author',
  extends: MasterEntity,
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    books: () => p.oneToMany(Book).mappedBy('author'),
  },
});
class Author extends masterClass(AuthorSchema) {
  static override CQRS_ID = 'author';
  override isSyncInstance(): boolean {
    return !this.name.startsWith('skip');
  }
  override getCqrsMeta({ signalType, instanceData }: MetaContext) {
    return { signal: signalType, fields: Object.keys(instanceData).length };
  }
  override getCustomCqrsDeleteData() {
    return { goodbye: this.name };
  }
}
AuthorSchema.setClass(Author);

class BookCard {
  constructor(private readonly book: Book) {}
  get data() {
    return {
      id: this.book.id,
      title: this.book.title,
      author: { id: this.book.author.id, name: this.book.author.name },
    };
  }
}
const BookSchema = defineEntity({
  name: 'Book',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), title: p.string(), author: () => p.manyToOne(Author) },
});
class Book extends masterClass(BookSchema) {
  static override CQRS_ID = 'book';
  static override CQRS_SERIALIZER = BookCard;
  static override relateCqrsSerialization() {
    return ['author'];
  }
}
BookSchema.setClass(Book);

const ReviewSchema = defineEntity({
  name: 'Review',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), book: () => p.manyToOne(Book).deleteRule('cascade') },
});
class Review extends masterClass(ReviewSchema) {
  static override CQRS_ID = 'review';
}
ReviewSchema.setClass(Review);

const QuietSchema = defineEntity({
  name: 'Quiet',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), name: p.string() },
});
class Quiet extends masterClass(QuietSchema) {
  static override CQRS_ID = 'quiet';
  static override CQRS_PRODUCE = false;
}
QuietSchema.setClass(Quiet);

const PlainSchema = defineEntity({
  name: 'Plain',
  extends: MasterEntity,
  properties: { id: p.integer().primary(), shown: p.string(), hiddenNote: p.string().nullable() },
});
class Plain extends masterClass(PlainSchema) {
  static override CQRS_ID = 'plain';
  static override CQRS_FIELDS = ['id', 'shown'] as const;
}
PlainSchema.setClass(Plain);

const request = new AsyncLocalStorage<{ id: string; user: string }>();
let service: MasterService;
beforeAll(async () => {
  service = await masterService([Author, Book, Review, Quiet, Plain], {
    settings: {
      master: {
        correlationFunction: () => request.getStore()?.id ?? null,
        metaFunction: ({ cqrsId }) => ({ by: request.getStore()?.user ?? 'nobody', of: cqrsId }),
      },
    },
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await service.take();
});
const fork = () => service.orm.em.fork();

describe('isSyncInstance', () => {
  test('a row outside is not announced; entering is a SAVE, leaving a DELETE with its own revision', async () => {
    const em = fork();
    const author = em.create(Author, { name: 'skip me' });
    await em.flush();
    author.name = 'skip again';
    await em.flush();
    expect(await service.take()).toEqual([]);
    author.name = 'ada';
    await em.flush();
    expect(await service.take()).toMatchObject([{ signal: 'SAVE', data: { name: 'ada', cqrs_revision: 2 } }]);
    author.name = 'skip once more';
    await em.flush();
    expect(await service.take()).toMatchObject([{ signal: 'DELETE', data: { id: author.id, cqrs_revision: 3 } }]);
    author.name = 'back';
    await em.flush();
    expect(await service.take()).toMatchObject([{ signal: 'SAVE', data: { cqrs_revision: 4 } }]);
  });

  test('holds for bulk updates, on the row as the database has it', async () => {
    await fork().insertMany(Author, [{ name: 'a' }, { name: 'skip' }]);
    expect((await service.take()).map((one) => one.data['name'])).toEqual(['a']);
    await fork().nativeUpdate(Author, { name: 'a' }, { name: 'skip b' });
    expect((await service.take()).map((one) => one.signal)).toEqual(['DELETE']);
  });
});

test('getCqrsMeta and getCustomCqrsDeleteData', async () => {
  const em = fork();
  const author = em.create(Author, { name: 'meta' });
  await em.flush();
  expect(await service.take()).toMatchObject([{ meta: { signal: 'SAVE', fields: 4 } }]);
  em.remove(author);
  await em.flush();
  expect(await service.take()).toMatchObject([
    { signal: 'DELETE', meta: { signal: 'DELETE' }, data: { custom: { goodbye: 'meta' } } },
  ]);
});

test('correlation and meta functions see the request', async () => {
  await request.run({ id: 'r-1', user: 'eve' }, () => fork().insert(Plain, { shown: 's' }));
  expect(await service.take()).toMatchObject([{ correlationId: 'r-1', meta: { by: 'eve', of: 'plain' } }]);
});

test('a serializer class with relations loaded once for all rows', async () => {
  const em = fork();
  const author = em.create(Author, { name: 'ada' });
  for (const title of ['one', 'two']) em.create(Book, { title, author });
  await em.flush();
  const books = (await service.take()).filter((one) => one.cqrsId === 'book');
  expect(books.map((one) => one.data)).toMatchObject([
    {
      title: 'one',
      author: { id: author.id, name: 'ada' },
      cqrs_revision: 0,
      cqrs_updated: expect.stringMatching(/\+00:00$/),
    },
    { title: 'two', author: { id: author.id, name: 'ada' } },
  ]);
});

test('CQRS_PRODUCE = false announces nothing; CQRS_FIELDS announces what it lists', async () => {
  await fork().insert(Quiet, { name: 'q' });
  await fork().insert(Plain, { shown: 's', hiddenNote: 'h' });
  const [sent, ...more] = await service.take();
  expect(more).toEqual([]);
  expect(Object.keys(sent!.data)).toEqual(['id', 'shown', 'cqrs_revision', 'cqrs_updated']);
});

test('withoutReplication announces nothing and moves revisions', async () => {
  await fork().insert(Plain, { id: 900, shown: 's' });
  await service.take();
  await service.cqrs.withoutReplication(async () => {
    await fork().nativeUpdate(Plain, { id: 900 }, { shown: 'imported' });
    await fork().createQueryBuilder(Quiet).truncate().execute();
  });
  expect(await service.take()).toEqual([]);
  await fork().nativeUpdate(Plain, { id: 900 }, { shown: 'again' });
  expect(await service.take()).toMatchObject([{ data: { cqrs_revision: 2 } }]);
});

describe('what passes by capture', () => {
  test('raw SQL is spoken of, and announced by callPostBulkCreate and callPostUpdate in the same transaction', async () => {
    const heard: unknown[] = [];
    const off = service.cqrs.events.on('cqrs.master.uncaptured', (event) => heard.push(event.entity));
    await fork().transactional(async (em) => {
      await em.execute(`insert into plain (id, shown) values (1001, 'raw'), (1002, 'raw')`);
      expect(await Plain.callPostBulkCreate([{ id: 1001 }, { id: 1002 }], { em })).toBe(2);
    });
    expect((await service.take()).map((one) => [one.data['id'], one.data['cqrs_revision']])).toEqual([
      [1001, 0],
      [1002, 0],
    ]);
    await fork().transactional(async (em) => {
      await em.execute(`update plain set shown = 'again' where id = 1001`);
      expect(await Plain.callPostUpdate([{ id: 1001 }], { em })).toBe(1);
    });
    expect(await service.take()).toMatchObject([
      { signal: 'SAVE', data: { id: 1001, shown: 'again', cqrs_revision: 1 } },
    ]);
    off();
    expect(heard).toEqual(['Plain', 'Plain']);
  });

  test('a transaction begun behind the EntityManager is captured statement by statement', async () => {
    const em = fork();
    await em
      .getKysely()
      .transaction()
      .execute(async (transaction) => {
        em.setTransactionContext(transaction);
        await em.nativeUpdate(Plain, { id: 1001 }, { shown: 'kysely' });
      });
    expect(await service.take()).toMatchObject([{ data: { shown: 'kysely' } }]);
  });
});

test('foreign keys through which the database writes by itself are spoken of at start', async () => {
  const heard: string[] = [];
  const off = service.cqrs.events.on('cqrs.master.uncaptured', ({ entity, reason }) =>
    heard.push(`${entity}: ${reason}`),
  );
  await service.cqrs.check();
  off();
  expect(heard).toEqual([
    expect.stringContaining('Review: its foreign key "review_book_id_foreign" to book has ON DELETE CASCADE'),
  ]);
});

describe('cqrsSync', () => {
  test('sends the database row, to one queue; false when it is new, gone or filtered', async () => {
    const em = fork();
    const author = em.create(Author, { name: 'sync' });
    expect(await author.cqrsSync({ em })).toBe(false);
    await em.flush();
    await service.take();
    author.name = 'not flushed';
    expect(await author.cqrsSync({ queue: 'reports' })).toBe(true);
    expect(await service.take()).toMatchObject([
      { signal: 'SYNC', queue: 'reports', data: { name: 'sync', cqrs_revision: 0 }, previous: null },
    ]);
    await service.cqrs.withoutReplication(() => fork().nativeUpdate(Author, { id: author.id }, { name: 'skip' }));
    expect(await author.cqrsSync()).toBe(false);
    expect(await service.take()).toMatchObject([{ signal: 'DELETE', data: { id: author.id, cqrs_revision: 1 } }]);
    await service.cqrs.withoutReplication(() => fork().nativeDelete(Author, { id: author.id }));
    expect(await author.cqrsSync()).toBe(false);
    expect(await service.take()).toEqual([]);
  });
});

test('toCqrsDict and getTrackedFieldsData show the entity in memory', async () => {
  const em = fork();
  const plain = em.create(Plain, { id: 77, shown: 'a' });
  await em.flush();
  plain.shown = 'b';
  expect(await plain.toCqrsDict()).toEqual({ id: 77, shown: 'b', cqrs_revision: 0, cqrs_updated: expect.any(String) });
  expect(plain.getTrackedFieldsData()).toBeNull();
});

test('many writers of one row: distinct revisions, and the outbox in their order', async () => {
  await fork().insert(Plain, { id: 5, shown: 'start' });
  await service.take();
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const em = fork();
      if (index % 2) return void (await em.nativeUpdate(Plain, { id: 5 }, { shown: `n${index}` }));
      (await em.findOneOrFail(Plain, 5)).shown = `f${index}`;
      await em.flush();
    }),
  );
  const sent = await service.take();
  expect(sent.map((one) => one.data['cqrs_revision'])).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  const stored = await service.sql('select shown from plain where id = 5');
  expect(sent.at(-1)!.data['shown']).toBe(stored[0]!['shown']);
});

test('two writers of different columns: each payload is the row at its revision', async () => {
  await fork().insert(Plain, { id: 6, shown: 'a', hiddenNote: 'x' });
  const first = fork();
  const second = fork();
  await first.begin();
  const one = await first.findOneOrFail(Plain, 6);
  await second.begin();
  const two = await second.findOneOrFail(Plain, 6);
  one.shown = 'b';
  await first.flush();
  two.hiddenNote = 'y';
  const waiting = second.flush();
  await first.commit();
  await waiting;
  await second.commit();
  expect((await service.take()).slice(1).map((sent) => [sent.data['shown'], sent.data['cqrs_revision']])).toEqual([
    ['b', 1],
    ['b', 2],
  ]);
});
