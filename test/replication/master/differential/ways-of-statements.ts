import { raw, sql } from '@mikro-orm/postgresql';
import type { Way } from './observe.js';

/** Calls and query builders that write without the unit of work. */
export const WAYS_OF_STATEMENTS: Readonly<Record<string, Way>> = {
  'em.insert': { run: ({ em, Book }) => em.insert(Book, { title: 'New', author: 2 }) },
  'em.insert of an entity': {
    run: async ({ em, Code }) => {
      const code = em.create(Code, { code: 'n', value: 1 }, { persist: false });
      return [await em.insert(code), code];
    },
  },
  'em.insert with raw values': { run: ({ em, Code }) => em.insert(Code, { code: 'n', value: raw('1 + 1') }) },
  'em.insertMany': { run: ({ em, Tag }) => em.insertMany(Tag, [{ name: 'M' }, { name: 'N' }]) },
  'em.insertMany of a natural key': {
    run: ({ em, Code }) =>
      em.insertMany(Code, [
        { code: 'm', value: 1 },
        { code: 'n', value: 2 },
      ]),
  },
  'em.insertMany of a composite key': {
    run: ({ em, Line }) =>
      em.insertMany(Line, [
        { order: 9, product: 1, quantity: 1 },
        { order: 9, product: 2, quantity: 1 },
      ]),
  },
  'em.nativeUpdate': { run: ({ em, Book }) => em.nativeUpdate(Book, { price: { $lt: 10 } }, { title: 'Cheap' }) },
  'em.nativeUpdate of none': { run: ({ em, Book }) => em.nativeUpdate(Book, { id: 99 }, { title: 'x' }) },
  'em.nativeUpdate with a raw value': {
    run: ({ em, Book }) => em.nativeUpdate(Book, { id: 1 }, { price: raw('price * 2') }),
  },
  'em.nativeUpdate by a relation': {
    run: ({ em, Book }) => em.nativeUpdate(Book, { author: { name: 'Ada' } }, { title: 'By Ada' }),
  },
  'em.nativeUpdate of an embeddable': {
    run: ({ em, Author }) => em.nativeUpdate(Author, { home: { city: 'London' } }, { home: { city: 'York' } }),
  },
  'em.nativeUpdate of a subclass': { run: ({ em, Manager }) => em.nativeUpdate(Manager, {}, { bonus: 1 }) },
  'em.nativeUpdate of an abstract root': { run: ({ em, Person }) => em.nativeUpdate(Person, {}, { name: 'all' }) },
  'em.nativeUpdate of a composite key': {
    run: ({ em, Line }) => em.nativeUpdate(Line, { order: 1, product: 2 }, { quantity: 1 }),
  },
  'em.nativeUpdate of a key': { run: ({ em, Code }) => em.nativeUpdate(Code, { code: 'a' }, { code: 'q' }) },
  'em.nativeDelete': { run: ({ em, Code }) => em.nativeDelete(Code, { value: { $gt: 1 } }) },
  'em.nativeDelete of none': { run: ({ em, Code }) => em.nativeDelete(Code, { value: 99 }) },
  'em.nativeDelete by a relation': { run: ({ em, Book }) => em.nativeDelete(Book, { author: { name: 'Bob' } }) },
  'em.nativeUpdate under filters': {
    run: async ({ em, Book }) => {
      em.setFilterParams('tenant', { tenant: 2 });
      return em.nativeUpdate(Book, {}, { title: 'Of two' }, { filters: ['tenant'] });
    },
  },
  'em.nativeDelete under filters': {
    run: async ({ em, Book, Tag }) => [
      await em
        .createQueryBuilder('book_tags')
        .delete()
        .execute()
        .catch(() => 'no entity'),
      await em.nativeUpdate(Tag, { id: 1 }, { name: 'x' }),
      await em.nativeDelete(Book, { id: { $gt: 1 } }, { filters: { cheap: true } }),
    ],
  },
  'em.upsert of a row that is there': {
    run: ({ em, Author }) => em.upsert(Author, { email: 'ada@x', name: 'Ada U.' }),
  },
  'em.upsert of a new row': { run: ({ em, Author }) => em.upsert(Author, { email: 'new@x', name: 'New' }) },
  'em.upsert by its key': { run: ({ em, Code }) => em.upsert(Code, { code: 'a', value: 10 }) },
  'em.upsert of an entity that is loaded': {
    run: async ({ em, Code }) => {
      const code = await em.findOneOrFail(Code, 'a');
      return [await em.upsert(Code, { code: 'a', value: 10 }), code.value];
    },
  },
  'em.upsert that ignores': {
    run: ({ em, Author }) =>
      em.upsert(Author, { email: 'ada@x', name: 'x' }, { onConflictFields: ['email'], onConflictAction: 'ignore' }),
  },
  'em.upsert of chosen fields': {
    run: ({ em, Author }) =>
      em.upsert(
        Author,
        { email: 'ada@x', name: 'x', born: '1900-01-01' },
        { onConflictFields: ['email'], onConflictAction: 'merge', onConflictMergeFields: ['born'] },
      ),
  },
  'em.upsert but of some fields': {
    run: ({ em, Author }) =>
      em.upsert(
        Author,
        { email: 'ada@x', name: 'x', born: '1900-01-01' },
        { onConflictFields: ['email'], onConflictExcludeFields: ['name'] },
      ),
  },
  'em.upsert of an embeddable': {
    run: ({ em, Author }) => em.upsert(Author, { email: 'ada@x', name: 'x', home: { city: 'Ghent', zip: '9' } }),
  },
  'em.upsertMany': {
    run: ({ em, Code }) =>
      em.upsertMany(Code, [
        { code: 'a', value: 7 },
        { code: 'n', value: 8 },
      ]),
  },
  'em.upsertMany of a composite key': {
    run: ({ em, Line }) =>
      em.upsertMany(Line, [
        { order: 1, product: 1, quantity: 50 },
        { order: 5, product: 5, quantity: 1 },
      ]),
  },
  'em.upsertMany that ignores': {
    run: ({ em, Code }) =>
      em.upsertMany(
        Code,
        [
          { code: 'a', value: 7 },
          { code: 'n', value: 8 },
        ],
        { onConflictAction: 'ignore' },
      ),
  },
  'a repository': {
    run: async ({ em, Code }) => {
      const codes = em.getRepository(Code);
      return [await codes.nativeUpdate({ code: 'a' }, { value: 5 }), await codes.insert({ code: 'r', value: 1 })];
    },
  },
  'qb.insert': {
    run: ({ em, Author }) => em.createQueryBuilder(Author).insert({ name: 'Q', created: '2020-01-01' }).execute(),
  },
  'qb.insert of several': {
    run: ({ em, Tag }) =>
      em
        .createQueryBuilder(Tag)
        .insert([{ name: 'x' }, { name: 'y' }])
        .execute(),
  },
  'qb.insert returning': {
    run: ({ em, Tag }) => em.qb(Tag).insert({ name: 'x' }).returning(['id', 'name']).execute('all'),
  },
  'qb.insert returning everything': {
    run: ({ em, Tag }) => em.qb(Tag).insert({ name: 'x' }).returning('*').execute('get'),
  },
  'qb.insert, conflict merged': {
    run: ({ em, Code }) => em.qb(Code).insert({ code: 'a', value: 9 }).onConflict('code').merge().execute(),
  },
  'qb.insert, conflict merged with given values': {
    run: ({ em, Code }) =>
      em.qb(Code).insert({ code: 'a', value: 9 }).onConflict('code').merge({ value: 11 }).execute(),
  },
  'qb.insert, conflict merged by columns': {
    run: ({ em, Author }) =>
      em
        .qb(Author)
        .insert({ name: 'x', email: 'ada@x', home: { city: 'Kiel', zip: '1' }, created: '2020-01-01' })
        .onConflict('email')
        .merge(['name', 'home.city'])
        .execute(),
  },
  'qb.insert, conflict ignored': {
    run: ({ em, Code }) => em.qb(Code).insert({ code: 'a', value: 9 }).onConflict('code').ignore().execute(),
  },
  'qb.update': {
    run: ({ em, Book }) =>
      em
        .qb(Book)
        .update({ title: 'U' })
        .where({ id: [1, 2] })
        .execute(),
  },
  'qb.update returning': {
    run: ({ em, Book }) =>
      em.qb(Book).update({ title: 'U' }).where({ id: 1 }).returning(['id', 'title']).execute('all'),
  },
  'qb.update returning everything': {
    run: ({ em, Book }) => em.qb(Book).update({ title: 'U' }).where({ id: 1 }).returning('*').execute('get'),
  },
  'qb.update with an alias': {
    run: ({ em, Book }) => em.qb(Book, 'b').update({ title: 'U' }).where({ 'b.title': 'First' }).execute(),
  },
  'qb.update with raw SQL': {
    run: ({ em, Book }) =>
      em
        .qb(Book)
        .update({ title: raw('upper(title)') })
        .where(sql`length(title) > ${5}`)
        .execute(),
  },
  'qb.update by a relation': {
    run: ({ em, Book }) =>
      em
        .qb(Book)
        .update({ title: 'R' })
        .where({ author: { email: 'ada@x' } })
        .execute(),
  },
  'qb.update by a sub-query': {
    run: ({ em, Book, Author }) =>
      em
        .qb(Book)
        .update({ title: 'S' })
        .where({ author: { $in: em.qb(Author).select('id').where({ name: 'Bob' }).getNativeQuery() } })
        .execute(),
  },
  'qb.delete': { run: ({ em, Code }) => em.qb(Code).delete({ code: 'a' }).execute() },
  'qb.delete by a relation': {
    run: ({ em, Book }) =>
      em
        .qb(Book)
        .delete({ author: { name: 'Bob' } })
        .execute(),
  },
  'await qb': { run: async ({ em, Code }) => await em.qb(Code).update({ value: 1 }).where({ code: 'a' }) },
};
