import { defineEntity, p } from '@mikro-orm/postgresql';
import { masterClass, MasterEntity, replicaClass, ReplicaEntity } from '../../../src/index.js';

/** Books come first, so that rows which they refer to are compared after them. */

const BookSchema = defineEntity({
  name: 'Book',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), author: p.integer(), title: p.text() },
});
export class Book extends masterClass(BookSchema) {
  static override CQRS_ID = 'book';
}
BookSchema.setClass(Book);
const AuthorSchema = defineEntity({
  name: 'Author',
  extends: MasterEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.text() },
});
export class Author extends masterClass(AuthorSchema) {
  static override CQRS_ID = 'author';
}
AuthorSchema.setClass(Author);

const AuthorRefSchema = defineEntity({
  name: 'AuthorRef',
  extends: ReplicaEntity,
  properties: { id: p.integer().primary().autoincrement(false), name: p.text() },
});
/** With a hook, as rows that take part in user code. */
export class AuthorRef extends replicaClass(AuthorRefSchema) {
  static override CQRS_ID = 'author';
  static override async cqrsDelete(...[em, context]: Parameters<(typeof ReplicaEntity)['cqrsDelete']>): Promise<void> {
    await super.cqrsDelete(em, context);
  }
}
AuthorRefSchema.setClass(AuthorRef);
const BookRefSchema = defineEntity({
  name: 'BookRef',
  extends: ReplicaEntity,
  properties: {
    id: p.integer().primary().autoincrement(false),
    author: () => p.manyToOne(AuthorRef).deleteRule('no action'),
    title: p.text(),
  },
});
export class BookRef extends replicaClass(BookRefSchema) {
  static override CQRS_ID = 'book';
}
BookRefSchema.setClass(BookRef);
