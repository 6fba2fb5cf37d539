import { wrap } from '@mikro-orm/postgresql';
import type { Loose } from './entities.js';
import type { Way } from './observe.js';

/** Unit of work, relations, embeddables, inheritance: changes of entities that a flush finds. */
export const WAYS_OF_ENTITIES: Readonly<Record<string, Way>> = {
  'a new entity': {
    run: async ({ em, Author }) => {
      const author = em.create(Author, { name: 'Dan', email: 'dan@x', home: { city: 'Rome' } });
      await em.flush();
      return [author, author.version, wrap(author).toObject()];
    },
  },
  'a new entity by persist': {
    run: async ({ em, Code }) => {
      const code = em.create(Code, { code: 'c', value: 3 }, { persist: false });
      await em.persist(code).flush();
      return code;
    },
  },
  'several new entities': {
    run: async ({ em, Book }) => {
      const books = [1, 2, 3].map((n) => em.create(Book, { title: `Book ${n}`, author: n }));
      await em.flush();
      return books;
    },
  },
  'new entities with their relations': {
    run: async ({ em, Author }) => {
      const author = em.create(Author, {
        name: 'Dan',
        books: [{ title: 'One', tags: [{ name: 'blue' }] }, { title: 'Two' }],
      });
      await em.flush();
      return author;
    },
  },
  'one changed property': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1);
      author.name = 'Ada L.';
      await em.flush();
      return [author, author.version, author.changes];
    },
  },
  'several changed entities': {
    run: async ({ em, Author, Book }) => {
      const authors = await em.find(Author, {}, { orderBy: { id: 1 } });
      for (const author of authors) author.name += '!';
      for (const book of await em.find(Book, {}, { orderBy: { id: 1 } })) book.title = `About ${book.id}`;
      await em.flush();
      return authors;
    },
  },
  'a changed property of a reference that was not loaded': {
    run: async ({ em, Code }) => {
      em.getReference(Code, 'a').value = 9;
      await em.flush();
    },
  },
  'nothing changed': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1);
      author.name = `${author.name}`;
      await em.flush();
      return author;
    },
  },
  'two flushes': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1);
      author.name = 'x';
      await em.flush();
      author.name = 'y';
      await em.flush();
      return [author, author.version];
    },
  },
  'em.assign': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1, { populate: ['books'] });
      em.assign(author, { name: 'Z', home: { zip: 'E2' }, books: [{ id: 1, title: 'Renamed' }, { title: 'New' }] });
      await em.flush();
      return author;
    },
  },
  removed: {
    run: async ({ em, Code }) => {
      await em.remove(await em.findOneOrFail(Code, 'a')).flush();
    },
  },
  'removed with what cascades': {
    run: async ({ em, Author, Tag }) => {
      await em.nativeDelete(Tag, {}).catch(() => {});
      const author = await em.findOneOrFail(Author, 1, { populate: ['books.tags'] });
      for (const book of author.books) book.tags.removeAll();
      await em.remove(author).flush();
    },
  },
  'taken out of a collection with orphan removal': {
    run: async ({ em, Author }) => {
      const author = await em.findOneOrFail(Author, 1, { populate: ['books'] });
      author.books.remove(author.books[1]);
      await em.flush();
      return author;
    },
  },
  'moved from one collection to another': {
    run: async ({ em, Author, Book }) => {
      const book = await em.findOneOrFail(Book, 3);
      const author = await em.findOneOrFail(Author, 1, { populate: ['books'] });
      author.books.add(book);
      await em.flush();
      return [author, book];
    },
  },
  'a relation set and unset': {
    run: async ({ em, Author, Book }) => {
      const [first, second] = await em.find(Book, { id: [1, 2] }, { orderBy: { id: 1 } });
      em.assign(first, { author: 3 });
      second.author = null;
      await em.flush();
      return [first, second, await em.count(Author)];
    },
  },
  'many to many': {
    run: async ({ em, Book, Tag }) => {
      const book = await em.findOneOrFail(Book, 1, { populate: ['tags'] });
      book.tags.add(em.getReference(Tag, 2));
      book.tags.remove(book.tags[0]);
      await em.flush();
      return book;
    },
  },
  'an embeddable changed, replaced and removed': {
    run: async ({ em, Author }) => {
      const [first, second, third] = await em.find(Author, {}, { orderBy: { id: 1 } });
      first.home.city = 'Bath';
      em.assign(second, { home: { city: 'Oslo', zip: '0150' }, settings: { theme: 'dark', size: 3 } });
      third.home = null;
      third.settings.size = 7;
      await em.flush();
      return [first, second, third];
    },
  },
  'an array': {
    run: async ({ em, Book }) => {
      const book = await em.findOneOrFail(Book, 1);
      book.keywords.push('new');
      await em.flush();
      return book;
    },
  },
  'a composite key': {
    run: async ({ em, Line }) => {
      const line = await em.findOneOrFail(Line, [1, 2]);
      line.quantity = 60;
      em.create(Line, { order: 3, product: 1, quantity: 1 });
      em.remove(await em.findOneOrFail(Line, { order: 2, product: 1 }));
      await em.flush();
      return line;
    },
  },
  'entities of several classes in one table': {
    run: async ({ em, Employee, Manager, Person }) => {
      em.create(Manager, { name: 'Meg', salary: 30, bonus: 9 });
      em.create(Employee, { name: 'Edd', salary: 11 });
      for (const person of await em.find(Person, {}, { orderBy: { id: 1 } })) person.name = `${person.name}.`;
      await em.flush();
      return await em.find(Person, {}, { orderBy: { id: 1 } });
    },
  },
  'a subclass alone': {
    run: async ({ em, Manager }) => {
      const manager = await em.findOneOrFail(Manager, 2);
      manager.bonus = 50;
      await em.flush();
      return manager;
    },
  },
  'a key that changes': {
    run: async ({ em, Code }) => {
      const code = await em.findOneOrFail(Code, 'a');
      code.code = 'z';
      await em.flush();
      return code;
    },
  },
  'values that swap, beside a new row': {
    run: async ({ em, Code }) => {
      const [first, second] = await em.find(Code, {}, { orderBy: { code: 1 } });
      [first.value, second.value] = [second.value, first.value];
      em.create(Code, { code: 'n', value: 0 });
      await em.flush();
      return [first, second];
    },
  },
  'em.refresh after a write beside it': {
    run: async ({ em, Code }) => {
      const code = await em.findOneOrFail(Code, 'a');
      await em.nativeUpdate(Code, { code: 'a' }, { value: 8 });
      await em.refresh(code);
      return code;
    },
  },
  'JSON with populate, partial loading and groups': {
    run: async ({ em, Author }) => {
      const whole = await em.find(Author, {}, { populate: ['books'], orderBy: { id: 1, books: { id: 1 } } });
      const part = await em.fork().find(Author, {}, { fields: ['name'], orderBy: { id: 1 } });
      return [whole, part, wrap(whole[0] as Loose).serialize({ populate: ['books.tags'] } as Loose)];
    },
  },
};
