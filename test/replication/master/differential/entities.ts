import { type AnyEntity, Cascade, defineEntity, p } from '@mikro-orm/postgresql';
import { master, MasterEntity } from '../../../../src/index.js';

// Two declarations of one entity have no type in common that TypeScript could infer.
// oxlint-disable-next-line typescript/no-explicit-any
export type Loose = any;

/** The same entities, as an application declares them, and as masters. */
export interface Entities {
  readonly Author: Loose;
  readonly Book: Loose;
  readonly Tag: Loose;
  readonly Line: Loose;
  readonly Person: Loose;
  readonly Employee: Loose;
  readonly Manager: Loose;
  readonly Code: Loose;
}

/** What a way of writing gets. */
export interface Scope extends Entities {
  readonly em: Loose;
  /** Another EntityManager, beside it. */
  other(): Loose;
}

/** Those that others point to come first. */
export const TABLES = ['author', 'book', 'tag', 'book_tags', 'line', 'person', 'code'] as const;

/** Those whose keys the database numbers. */
export const SERIALS = ['author', 'book', 'tag', 'person'] as const;

export const SEED = `
  insert into author (name, email, born, version, home_city, home_zip, settings, created) values
    ('Ada', 'ada@x', '1815-12-10', 1, 'London', 'W1', '{"theme":"dark","size":2}', '2020-01-01'),
    ('Bob', 'bob@x', null, 1, null, null, null, '2020-01-01'),
    ('Cyd', null, null, 1, 'Paris', null, '{"theme":"light","size":1}', '2020-01-01');
  insert into book (title, price, author_id, tenant, keywords) values
    ('First', '1.50', 1, 1, '{a,b}'), ('Second', '20.00', 1, 1, '{}'), ('Third', '3.00', 2, 2, '{c}');
  insert into tag (name) values ('red'), ('green');
  insert into book_tags (book_id, tag_id) values (1, 1);
  insert into line ("order", product, quantity) values (1, 1, 5), (1, 2, 6), (2, 1, 7);
  insert into person (kind, name, salary, bonus) values ('employee', 'Eve', 10, null), ('manager', 'Max', 20, 5);
  insert into code (code, value) values ('a', 1), ('b', 2);`;

export function declare(masters: boolean): { entities: Loose[] } & Entities {
  const base = masters ? { extends: MasterEntity } : {};
  const own = (schema: Loose, options: object): Loose => (masters ? master(schema, options as never) : schema);

  const Address = defineEntity({
    name: 'Address',
    embeddable: true,
    properties: { city: p.string().nullable(), zip: p.string().nullable() },
  });
  const Settings = defineEntity({
    name: 'Settings',
    embeddable: true,
    properties: { theme: p.string(), size: p.integer() },
  });
  const Author = own(
    defineEntity({
      name: 'Author',
      tableName: 'author',
      ...base,
      properties: {
        id: p.integer().primary(),
        name: p.string(),
        email: p.string().unique().nullable(),
        born: p.date().nullable(),
        version: p.integer().version(),
        home: () => p.embedded(Address).nullable(),
        settings: () => p.embedded(Settings).object().nullable(),
        created: p.datetime().onCreate(() => new Date('2021-02-03T04:05:06.000Z')),
        changes: p
          .integer()
          .onUpdate((author: AnyEntity) => ((author as { changes?: number }).changes ?? 0) + 1)
          .nullable(),
        books: () =>
          p
            .oneToMany(Book as Loose)
            .mappedBy('author')
            .orphanRemoval()
            .cascade(Cascade.PERSIST, Cascade.REMOVE),
      },
    } as Loose),
    { id: 'author', trackedFields: ['name', 'home'] },
  );
  const Book: Loose = own(
    defineEntity({
      name: 'Book',
      tableName: 'book',
      ...base,
      filters: {
        cheap: { name: 'cheap', cond: { price: { $lt: 10 } } },
        tenant: { name: 'tenant', cond: ({ tenant }: Loose) => ({ tenant }) },
      },
      properties: {
        id: p.integer().primary(),
        title: p.string(),
        price: p.decimal('string').precision(10).scale(2).default('9.99'),
        tenant: p.integer().default(1),
        keywords: p.array().default([]),
        author: () => p.manyToOne(Author).ref().nullable(),
        tags: () => p.manyToMany(Tag).owner(),
      },
    } as Loose),
    { id: 'book', isSyncInstance: (book: Loose) => book.title !== 'Hidden' },
  );
  const Tag = own(
    defineEntity({
      name: 'Tag',
      tableName: 'tag',
      ...base,
      properties: { id: p.integer().primary(), name: p.string() },
    } as Loose),
    { id: 'tag' },
  );
  const Line = own(
    defineEntity({
      name: 'Line',
      tableName: 'line',
      ...base,
      properties: { order: p.integer().primary(), product: p.integer().primary(), quantity: p.integer() },
    } as Loose),
    { id: 'line', trackedFields: ['quantity'] },
  );
  const Person = own(
    defineEntity({
      name: 'Person',
      tableName: 'person',
      abstract: true,
      discriminatorColumn: 'kind',
      ...base,
      properties: { id: p.integer().primary(), name: p.string() },
    } as Loose),
    { id: 'person' },
  );
  const Employee = own(
    defineEntity({
      name: 'Employee',
      extends: Person,
      discriminatorValue: 'employee',
      properties: { salary: p.integer().nullable() },
    } as Loose),
    { id: 'employee' },
  );
  const Manager = own(
    defineEntity({
      name: 'Manager',
      extends: Employee,
      discriminatorValue: 'manager',
      properties: { bonus: p.integer().nullable() },
    } as Loose),
    { id: 'manager' },
  );
  const Code = own(
    defineEntity({
      name: 'Code',
      tableName: 'code',
      ...base,
      properties: { code: p.string().primary(), value: p.integer() },
    } as Loose),
    { id: 'code' },
  );
  const all = { Author, Book, Tag, Line, Person, Employee, Manager, Code };
  return { ...all, entities: [Address, Settings, ...Object.values(all)] };
}
